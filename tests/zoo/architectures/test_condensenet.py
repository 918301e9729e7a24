"""CondenseNet: what its counts alone do not prove."""

from __future__ import annotations

import pytest

import zoo
from zoo.architectures.condensenet import ARCHITECTURE


@pytest.mark.parametrize("printed", ARCHITECTURE.published, ids=lambda printed: str(printed.options))
def test_weights_are_the_printed_ones_and_multiply_adds_lie_below_the_authors_counter(printed):
    classes = 10 if "CIFAR-10" in printed.note else 1000
    cost = zoo.cost("condensenet", resolution=printed.resolution, classes=classes, **printed.options)
    assert cost.trainable_params == pytest.approx(printed.mega_params * 1e6, rel=0.03)
    assert 0.94 < cost.macs / (printed.mega_macs * 1e6) < 0.98


def test_blocks_are_joined_by_pooling_alone():
    sketch = zoo.sketch("condensenet")
    assert [op.kind for op in sketch.ops[:4]] == ["input", "conv", "gather", "norm"]  # a bare stem
    first = next(op for op in sketch.ops if op.stage == "stage2")
    assert (first.kind, first.inputs) == ("average_pool", ("stage1_4_concat",))
    sides = [sketch[f"stage{number}_1_concat"].shape[0] for number in range(1, 6)]
    assert sides == [112, 56, 28, 14, 7]
    assert sketch["last_norm"].shape == (7, 7, 2064)
    assert sketch["head_gather"].shape == (1032,)


def test_deployed_layer_gathers_normalises_groups_and_shuffles():
    sketch = zoo.sketch("condensenet", groups=8, condensation=4)
    layer = [op for op in sketch.ops if op.name.startswith("stage2_1_")]
    assert [op.kind for op in layer] == [
        "gather", "norm", "relu", "conv", "norm", "relu", "shuffle", "conv", "concat",
    ]  # fmt: skip
    assert layer[0].shape[-1] == 2 * sketch["stage2_pool"].shape[-1]  # 8 groups, a quarter of the inputs each
    assert (layer[3].config["groups"], layer[6].config["groups"], layer[7].config["groups"]) == (8, 8, 8)
    assert layer[8].inputs == ("stage2_pool", "stage2_1_grow_conv")


def test_condensation_follows_the_groups_unless_it_is_said():
    plain, said = zoo.cost("condensenet", groups=8), zoo.cost("condensenet", groups=8, condensation=8)
    assert plain == said
    assert zoo.cost("condensenet", groups=8, condensation=4).macs > said.macs
    # Gathered inputs are data, not weights.
    assert all(row["params"] == 0 for row in plain.layers if row["kind"] in ("gather", "shuffle"))


@pytest.mark.parametrize(("width", "groups", "growths"), [(1.0, 4, [12, 24, 48]), (0.4, 8, [8, 16, 24])])
def test_growth_rounds_to_the_groups(width, groups, growths):
    sketch = zoo.sketch("condensenet", variant="cifar182", width=width, groups=groups)
    assert [sketch[f"stage{number}_1_grow_conv"].shape[-1] for number in (1, 2, 3)] == growths
    assert [sketch[f"stage{number}_1_concat"].shape[0] for number in (1, 2, 3)] == [32, 16, 8]
