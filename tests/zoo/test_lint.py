"""The guideline linter: the paper's numbers, closed forms, planted violations, published verdicts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from math import sqrt
from typing import Any

import pytest

import zoo
from tests.zoo.designs import NAMES
from zoo import layers, lint
from zoo.blocks.convolution import conv_norm, depthwise_norm
from zoo.blocks.grouped import grouped_conv_norm
from zoo.blocks.inverted_residual import inverted_residual
from zoo.blocks.squeeze_excite import squeeze_excite
from zoo.grid import variants_of
from zoo.lint import elementwise, fragments
from zoo.lint.widths import Pointwise
from zoo.sketches import Sketch

SIDE = 56


def laid(build: Callable[[Any], Any], shape: tuple[int, int, int] = (SIDE, SIDE, 64)) -> Sketch:
    """What `build` makes of an input of `shape`."""
    sketch = Sketch()
    sketch.outputs = (build(sketch.input(shape)).name,)
    return sketch


def found(sketch: Sketch, rule: str, limits: lint.Thresholds = lint.USUAL, **view: Any) -> list[lint.Finding]:
    return [one for one in lint.look(lint.Traffic(sketch, **view), limits) if one.rule == rule]


# Channels of the 1x1 convolution at 56x56 -> elements it moves, ratio to the bound as printed with two digits.
PAPER = [(128, 128, 819_200, 1.00), (90, 180, 862_920, 1.06), (52, 312, 1_157_728, 1.42), (36, 432, 1_483_200, 1.86)]


@pytest.mark.parametrize(("c1", "c2", "moved", "ratio"), PAPER)
def test_equal_widths_reproduce_the_papers_table(c1, c2, moved, ratio):
    # arXiv:1807.11164, guideline 1: MAC = h w (c1 + c2) + c1 c2, bound 2 sqrt(h w B) + B / (h w) with B = h w c1 c2.
    layer = Pointwise(SIDE * SIDE, c1, c2)
    area, macs = SIDE * SIDE, SIDE * SIDE * c1 * c2
    assert layer.moved == moved
    assert layer.least == pytest.approx(2 * sqrt(area * macs) + macs / area)
    assert round(layer.ratio, 2) == ratio
    sketch = laid(lambda x: layers.conv(x, c2, name="only_conv"), (SIDE, SIDE, c1))
    assert lint.Traffic(sketch, 1).all_bytes == moved
    (finding,) = found(sketch, "G1", element_bytes=1) or [None]
    assert (finding is not None) == (ratio > 1.15)
    if finding:
        assert finding.saving_bytes == pytest.approx(moved - layer.least, abs=1)


def test_equal_widths_are_the_least_of_all_with_as_many_multiply_adds():
    product = 96 * 96
    pairs = [(c1, product // c1) for c1 in range(1, product + 1) if product % c1 == 0]
    moved = {pair: Pointwise(28 * 28, *pair).moved for pair in pairs}
    assert min(moved, key=moved.__getitem__) == (96, 96)
    assert all(Pointwise(28 * 28, *pair).least == pytest.approx(moved[96, 96]) for pair in pairs)


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_memory_access_follows_the_closed_form(kernel, stride, groups):
    c1, c2, out = 32, 64, 28 // stride
    grouped = laid(lambda x: layers.conv(x, c2, kernel, stride=stride, groups=groups, name="a_conv"), (28, 28, c1))
    assert lint.Traffic(grouped, 1).all_bytes == 28 * 28 * c1 + out * out * c2 + kernel**2 * c1 * c2 // groups
    each = laid(lambda x: layers.depthwise(x, kernel, stride=stride, multiplier=2, name="a_conv"), (28, 28, c1))
    assert lint.Traffic(each, 1).all_bytes == 28 * 28 * c1 + out * out * 2 * c1 + kernel**2 * 2 * c1


@pytest.mark.parametrize("groups", [2, 4, 8])
@pytest.mark.parametrize("kernel", [1, 3])
def test_grouping_is_compared_with_one_group_at_equal_multiply_adds(kernel, groups):
    # Guideline 2 for 1x1: MAC = h w c1 + B g / c1 + B / (h w), with the input and B fixed.
    c1, c2 = 64, 128
    sketch = laid(lambda x: layers.conv(x, c2, kernel, groups=groups, name="a_conv"), (SIDE, SIDE, c1))
    alone = laid(lambda x: layers.conv(x, c2 // groups, kernel, name="a_conv"), (SIDE, SIDE, c1))
    assert sketch["a_conv"].macs == alone["a_conv"].macs
    (finding,) = found(sketch, "G2", element_bytes=1)
    assert finding.saving_bytes == lint.Traffic(sketch, 1).all_bytes - lint.Traffic(alone, 1).all_bytes
    if kernel == 1:
        area, macs = SIDE * SIDE, sketch["a_conv"].macs
        assert sketch["a_conv"].moved == area * c1 + macs * groups / c1 + macs / area
    assert not found(alone, "G2")


def test_the_split_form_of_a_grouped_convolution_counts_as_the_native_one():
    forms = {
        form: laid(lambda x, form=form: grouped_conv_norm(x, 96, name="stage2_1_a", groups=4, form=form))
        for form in ("train", "deploy")
    }
    savings = {form: [one.saving_bytes for one in found(sketch, "G2")] for form, sketch in forms.items()}
    assert savings["train"] == savings["deploy"] != []
    for sketch in forms.values():
        assert fragments.degrees(lint.Traffic(sketch)) == {}
        assert not found(sketch, "G3")


def test_branches_behind_a_split_grouped_convolution_are_counted_and_its_groups_are_not():
    def build(x: Any) -> Any:
        return parallel(grouped_conv_norm(x, 64, name="stage1_1_a", groups=4, form="train", activation="prelu"), 3, 63)

    (joined,) = [one for one in found(laid(build), "G3") if "side by side" in one.evidence]
    assert joined.layer == "stage2_1_concat"
    assert [name for name, _ in joined.parts] == ["stage2_1_concat"]


@pytest.mark.parametrize("folded", [True, False], ids=["folded", "as laid"])
@pytest.mark.parametrize("name", NAMES)
def test_a_network_is_as_fragmented_in_training_as_deployed(name, folded):
    for options in variants_of(zoo.architecture(name)):
        sketches = [zoo.sketch(name, form=form, **options) for form in ("train", "deploy")]
        # What learns its groups computes whole convolutions while it trains, of which fewer are tiny.
        alike = len({sum(op.macs for op in sketch.ops) for sketch in sketches}) == 1
        counted = {
            (
                max(fragments.degrees(lint.Traffic(sketch, folded=folded)).values(), default=0),
                sum(alike or "side by side" in one.evidence for one in found(sketch, "G3", folded=folded)),
            )
            for sketch in sketches
        }
        assert len(counted) == 1, options


def test_a_depthwise_convolution_is_element_wise_and_no_grouped_one():
    by_word = laid(lambda x: layers.depthwise(x, name="a_conv"))
    by_groups = laid(lambda x: layers.conv(x, 64, 3, groups=64, name="a_conv"))
    for sketch in (by_word, by_groups):
        assert not found(sketch, "G2")
        (finding,) = found(sketch, "G4")
        assert finding.saving_bytes == 4 * 2 * SIDE * SIDE * 64  # its maps, not its weights


def parallel(x: Any, branches: int, channels: int = 64) -> Any:
    parts = [layers.conv(x, channels // branches, 3, name=f"stage2_1_branch{place}_conv") for place in range(branches)]
    return layers.concat(parts, name="stage2_1_concat")


def residual(x: Any, projected: bool) -> Any:
    short = layers.conv(x, 64, name="short_conv") if projected else x
    y = layers.conv(layers.conv(x, 64, 3, name="one_conv"), 64, 3, name="two_conv")
    return layers.add([short, y], name="join_add")


def hierarchical(x: Any) -> Any:
    """Four convolutions side by side, added up one after the other, all sums joined: as ESPNetv2 does."""
    parts = [layers.depthwise(x, dilation=place + 1, name=f"d{place}_conv") for place in range(4)]
    sums = parts[:1]
    for place, part in enumerate(parts[1:], start=1):
        sums.append(layers.add([part, sums[-1]], name=f"d{place}_add"))
    return layers.concat(sums, name="all_concat")


def dense_block(x: Any) -> Any:
    for place in range(4):
        y = layers.conv(layers.conv(x, 32, name=f"in{place}_conv"), 16, 3, name=f"out{place}_conv")
        x = layers.concat([x, y], name=f"grow{place}_concat")
    return x


@pytest.mark.parametrize(
    ("build", "degree"),
    [
        (lambda x: residual(x, projected=False), 1),
        (lambda x: residual(x, projected=True), 2),
        (lambda x: parallel(x, 2), 2),
        (lambda x: parallel(x, 4), 4),
        (hierarchical, 4),
        (dense_block, 1),
        (lambda x: layers.add([x, squeeze_excite(conv_norm(x, 64, 3, name="a"), 16, name="se")], name="b_add"), 1),
    ],
    ids=["residual", "projected", "two", "four", "hierarchical", "dense", "squeeze-excite"],
)
def test_fragmentation_degree_counts_branches_side_by_side(build, degree):
    sketch = laid(build)
    assert max(fragments.degrees(lint.Traffic(sketch)).values()) == degree
    wide = [one for one in found(sketch, "G3") if "side by side" in one.evidence]
    assert len(wide) == (1 if degree > 2 else 0)


def test_a_chain_of_merges_is_reported_once_with_all_it_moves():
    (finding,) = [one for one in found(laid(hierarchical), "G3") if "side by side" in one.evidence]
    assert finding.layer == "all_concat"
    assert {name for name, _ in finding.parts} == {"d1_add", "d2_add", "d3_add", "all_concat"}
    maps = SIDE * SIDE * 64
    assert finding.saving_bytes == 4 * (3 * 3 * maps + 2 * 4 * maps)


def test_tiny_convolutions_in_a_row_are_found_and_side_by_side_are_not():
    excited = laid(lambda x: conv_norm(
        squeeze_excite(conv_norm(x, 64, 3, name="stage2_1_wide"), 8, name="stage2_1_se"), 64, name="stage2_1_last"
    ))  # fmt: skip
    (finding,) = found(excited, "G3")
    assert [name for name, _ in finding.parts] == ["stage2_1_se_reduce_conv", "stage2_1_se_expand_conv"]
    two = laid(lambda x: layers.concat(
        [conv_norm(depthwise_norm(x, name=f"stage2_1_{at}_each"), 64, name=f"stage2_1_{at}") for at in ("a", "b")],
        name="stage2_1_concat",
    ))  # fmt: skip
    assert not found(two, "G3", lint.Thresholds(tiny_share=0.1))


def clean(x: Any) -> Any:
    """Equal widths, no groups, no branches, early stride, channels in eights."""
    x = conv_norm(x, 32, 3, stride=2, name="stem", activation="relu")
    for place in range(1, 5):
        x = conv_norm(x, 64, 3, stride=2 if place % 2 else 1, name=f"stage{place}_1", activation="relu")
        x = conv_norm(x, 64, name=f"stage{place}_2", activation="relu6")
    return layers.dense(layers.global_pool(x, name="head_pool"), 10, name="head_logits")


def test_a_clean_design_raises_nothing():
    for view in ({}, {"element_bytes": 1}):
        assert lint.findings(laid(clean, (160, 160, 3)), **view) == []


def bottleneck(x: Any) -> Any:
    return conv_norm(conv_norm(x, 12, name="stage2_1_reduce"), 64, name="stage2_1_expand")


def alone(x: Any) -> Any:
    """A norm and a ReLU in front of a convolution, where nothing takes them in."""
    return conv_norm(layers.relu(layers.norm(x, name="a_norm"), name="a_relu"), 64, 3, name="b")


def all_depthwise(x: Any) -> Any:
    for place in range(4):
        x = depthwise_norm(x, name=f"stage2_{place}_each", activation="relu")
    return x


def flattened(x: Any) -> Any:
    return layers.dense(layers.flatten(layers.max_pool(x, 8, name="a_pool"), name="a_flat"), 64, name="b_dense")


PLANTED: list[tuple[str, Callable[[Any], Any], tuple[int, int, int]]] = [
    ("G1", bottleneck, (56, 56, 64)),
    ("G2", lambda x: layers.conv(x, 64, 3, groups=4, name="a_conv"), (56, 56, 64)),
    ("G3", lambda x: parallel(x, 4), (56, 56, 64)),
    ("G4", alone, (56, 56, 64)),
    ("G4", all_depthwise, (56, 56, 64)),
    ("G4", lambda x: layers.hard_swish(conv_norm(x, 64, name="a"), name="a_hard_swish"), (56, 56, 64)),
    ("channel_multiple", lambda x: layers.conv(layers.conv(x, 60, name="a_conv"), 64, name="b_conv"), (56, 56, 64)),
    ("early_convolution", lambda x: layers.conv(x, 32, 3, name="a_conv"), (160, 160, 3)),
    ("large_dense", flattened, (56, 56, 64)),
    ("large_kernel", lambda x: layers.conv(x, 64, 5, name="a_conv"), (56, 56, 64)),
    ("edgetpu_operator", lambda x: layers.hard_swish(x, name="a_hard_swish"), (56, 56, 64)),
    ("edgetpu_operator", lambda x: layers.conv(x, 64, groups=4, name="a_conv"), (56, 56, 64)),
    ("int8_training", alone, (56, 56, 64)),
    ("weight_cache", lambda x: layers.conv(x, 2048, 3, name="a_conv"), (8, 8, 512)),
]


@pytest.mark.parametrize(("rule", "build", "shape"), PLANTED, ids=[f"{row[0]}-{at}" for at, row in enumerate(PLANTED)])
def test_a_planted_violation_is_found(rule, build, shape):
    sketch = laid(build, shape)
    hits = [row for row in lint.findings(sketch) if row["rule"] == rule]
    assert hits
    for row in hits:
        assert row["layer"] in sketch
        assert rule in ("edgetpu_operator", "int8_training") or any(sign.isdigit() for sign in row["evidence"])
        assert 0 <= row["saving_bytes"] <= lint.Traffic(sketch).all_bytes
        assert row["saving"] == row["saving_share"] == row["saving_bytes"] / lint.Traffic(sketch).all_bytes
    if rule in lint.GUIDELINES:
        assert min(row["saving_bytes"] for row in hits) > 0


def test_every_rule_has_a_planted_violation():
    assert {rule for rule, _, _ in PLANTED} == set(lint.RULES)


def test_a_planted_violation_stands_out_in_a_clean_design():
    def planted(x: Any) -> Any:
        x = conv_norm(x, 32, 3, stride=2, name="stem", activation="relu")
        x = parallel(x, 4)
        return layers.dense(layers.global_pool(x, name="head_pool"), 10, name="head_logits")

    assert {row["rule"] for row in lint.findings(laid(planted, (160, 160, 3)))} == {"G3"}


# Which guidelines a network breaks according to arXiv:1807.11164, section 2, last paragraph.
VERDICTS = {"shufflenet_v1": {"G1", "G2"}, "mobilenet_v2": {"G1", "G4"}, "nasnet": {"G3"}, "shufflenet_v2": set()}
STRICT = lint.Thresholds(width_ratio=1.0, branches=1, tiny_layers=0, elementwise_share=0.0, alone_share=0.0)


def judged(name: str, limits: lint.Thresholds = lint.USUAL, **view: Any) -> dict[str, Any]:
    traffic = lint.Traffic(zoo.sketch(name), **view)
    return lint.report(traffic, lint.look(traffic, limits))


@pytest.mark.parametrize("name", [name for name in VERDICTS if name in NAMES])
@pytest.mark.parametrize("element_bytes", [4, 1])
def test_published_verdicts_come_out(name, element_bytes):
    breaks = set(judged(name, element_bytes=element_bytes)["breaks"])
    assert VERDICTS[name] <= breaks
    if name in ("mobilenet_v2", "shufflenet_v2"):
        assert breaks == VERDICTS[name]


@pytest.mark.parametrize("limits", [lint.USUAL, STRICT], ids=["usual limits", "no limits"])
def test_shufflenet_v2_has_the_least_to_save(limits):
    # Without limits every byte above a bound counts, so the order is not made by where a limit stands.
    shares = {name: judged(name, limits)["saveable_share"] for name in VERDICTS if name in NAMES}
    assert min(shares, key=shares.__getitem__) == "shufflenet_v2"
    assert sorted(shares.values())[1] > 2 * shares["shufflenet_v2"]


@pytest.mark.parametrize("name", NAMES)
def test_a_report_is_plain_and_adds_nothing_up_twice(name):
    sketch = zoo.sketch(name)
    traffic = lint.Traffic(sketch)
    rows = lint.look(traffic)
    report = lint.report(traffic, rows)
    assert json.loads(json.dumps(report)) == report
    assert report["memory_access_bytes"] == zoo.cost_of(sketch).memory_access_bytes
    assert 0 <= report["saveable_bytes"] <= report["memory_access_bytes"]
    for finding in rows:
        for operation, amount in finding.parts:
            assert 0 <= amount <= traffic.bytes_of(sketch[operation]), finding
    assert report["unknown"] == []


@pytest.mark.parametrize("name", NAMES)
def test_folding_never_adds_traffic(name):
    sketch = zoo.sketch(name)
    folded, as_laid = lint.Traffic(sketch), lint.Traffic(sketch, folded=False)
    assert folded.all_bytes <= as_laid.all_bytes
    assert as_laid.all_bytes == 4 * sum(op.moved for op in sketch.ops)


def test_the_view_as_laid_counts_norms_and_activations():
    sketch = laid(lambda x: conv_norm(x, 64, 3, name="a", activation="relu"))
    assert elementwise.share(lint.Traffic(sketch)) == 0
    maps = SIDE * SIDE * 64
    together = 2 * 2 * maps + 4 * 64
    share = elementwise.share(lint.Traffic(sketch, folded=False))
    assert share == pytest.approx(together / (together + 2 * maps + 9 * 64 * 64))


def test_equal_claims_on_one_operation_count_once():
    # A pair of grouped 1x1 convolutions from thick to thin and back breaks G1 and G2 with the same bytes.
    sketch = laid(lambda x: layers.conv(layers.conv(x, 16, groups=4, name="a_conv"), 64, groups=4, name="b_conv"))
    traffic = lint.Traffic(sketch)
    rows = lint.look(traffic)
    assert {one.rule for one in rows} >= {"G1", "G2"}
    most = max(sum(one.saving_bytes for one in rows if one.rule == rule) for rule in ("G1", "G2"))
    together = sum(one.saving_bytes for one in rows if one.rule in ("G1", "G2"))
    assert most <= lint.report(traffic, rows)["saveable_bytes"] < together


def test_separable_pairs_save_what_the_formula_says():
    # arXiv:1704.04861, section 3.1: 1/N + 1/K^2; the last pair of MobileNetV1 has N = 1024 and K = 3.
    rows = lint.pairs(lint.Traffic(zoo.sketch("mobilenet_v1")))
    assert len(rows) == 13
    for row in rows:
        assert row["ratio"] == pytest.approx(1 / row["channels"] + 1 / 9) == row["formula"]
    assert rows[-1]["full_macs"] == 7 * 7 * 9 * 1024 * 1024
    blocks = lint.pairs(lint.Traffic(laid(lambda x: inverted_residual(x, 64, name="s1_1", expansion=6, stride=2))))
    assert [(row["layer"], row["pointwise"]) for row in blocks] == [("s1_1_depthwise_conv", "s1_1_project_conv")]


def test_class_counts_are_not_held_against_anyone():
    def by_pool(x: Any) -> Any:  # as SqueezeNet ends
        x = layers.conv(layers.conv(x, 64, name="a_conv"), 10, name="head_conv")
        return layers.global_pool(layers.relu(x, name="head_relu"), name="head_logits")

    assert not found(laid(by_pool), "channel_multiple")
    assert not found(zoo.sketch("mobilenet_v1", classes=7), "channel_multiple")


def test_limits_move_and_impossible_ones_are_refused():
    sketch = laid(bottleneck)
    assert found(sketch, "G1")
    assert not found(sketch, "G1", lint.Thresholds(width_ratio=2.0))
    with pytest.raises(ValueError, match=r"width_ratio 0\.5 is outside 1 to 100"):
        lint.Thresholds(width_ratio=0.5)
    with pytest.raises(ValueError, match=r"groups 1\.5 is not a whole number"):
        lint.Thresholds(groups=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="element_bytes 8"):
        lint.Traffic(sketch, 8)


def test_linting_needs_no_tensorflow():
    code = (
        "import sys, zoo; from zoo import lint\n"
        "lint.findings(zoo.sketch('mobilenet_v2')); lint.roofline(zoo.sketch('mobilenet_v2'))\n"
        "sys.exit(bool({'tensorflow', 'tf_keras', 'keras'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
