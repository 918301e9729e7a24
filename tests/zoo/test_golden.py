"""Counts that come from elsewhere: reference code counted after building it, or the papers' tables redone by hand."""

from __future__ import annotations

from typing import Any

import pytest

import zoo

# Architecture, what is asked for -> trainable weights, all weights, multiply-adds; None where the source gives none.
# Unless the row says otherwise: width 1.0, the paper's resolution, 1,000 classes, as deployed. Source: reference
# implementations (Keras applications, the authors' code, torchvision), instantiated and counted; rows that follow a
# recommendation where references differ say so in the docstring of the architecture.
GOLDEN: list[tuple[str, dict[str, Any], int | None, int | None, int | None]] = [
    ("mobilenet_v1", {}, 4_231_976, 4_253_864, 568_740_352),
    ("mobilenet_v2", {}, 3_504_872, 3_538_984, 300_774_272),
    ("mobilenet_v2", {"width": 0.35}, None, 1_691_208, None),
    ("mobilenet_v2", {"width": 0.5}, None, 1_987_224, None),
    ("mobilenet_v2", {"width": 1.4}, None, 6_156_712, None),
    ("mobilenet_v3", {"variant": "large"}, 5_483_032, 5_507_432, 216_589_760),
    ("mobilenet_v3", {"variant": "small"}, 2_542_856, 2_554_968, 56_510_400),
    ("mobilenet_v3", {"variant": "large_minimalistic"}, 3_924_288, 3_948_688, 209_136_704),
    ("mobilenet_v3", {"variant": "small_minimalistic"}, 2_044_736, 2_056_848, 52_288_448),
    ("shufflenet_v1", {"groups": 3}, 1_865_728, 1_890_208, 137_460_672),
    ("shufflenet_v2", {}, 2_278_604, 2_294_784, 144_907_992),
    ("squeezenet", {"variant": "1.0"}, 1_248_424, 1_248_424, 818_924_576),
    ("squeezenet", {"variant": "1.1"}, 1_235_496, 1_235_496, 349_151_936),
    ("xception", {}, 22_855_952, 22_910_480, 8_357_403_496),
    ("condensenet", {"variant": "74", "groups": 4}, 4_773_944, 4_837_400, 516_640_576),
    ("mnasnet", {"variant": "a1"}, 3_887_038, 3_920_526, 311_579_072),
    ("mnasnet", {"variant": "b1"}, 4_383_312, 4_421_232, 314_415_872),
    ("ghostnet", {}, 5_182_508, 5_204_476, 141_150_512),
    ("espnet_v2", {}, 1_666_942, 1_689_856, 86_744_404),
    ("nasnet", {"variant": "mobile"}, 5_289_978, 5_326_716, 563_638_816),
    ("efficientnet", {"variant": "b0"}, 5_288_548, 5_330_564, 385_814_752),
    ("proxylessnas", {"variant": "mobile"}, 4_080_512, 4_115_008, 320_427_584),
    ("igc", {"variant": "v3"}, 3_491_688, 3_556_232, 312_970_176),
    ("igc", {"variant": "v1", "resolution": 32, "classes": 10}, 155_962, None, 28_755_840),
    ("flgc", {"groups": 4}, 2_782_472, None, 212_188_544),
    ("snet", {"variant": "535"}, 4_535_144, 4_565_344, 535_354_640),
    ("densenet", {"variant": "121"}, 7_978_856, 8_062_504, 2_834_161_664),
    ("resnet", {"variant": "50"}, 25_557_032, 25_610_152, 3_857_973_248),
    ("resnet", {"variant": "cifar20", "shortcut": "identity", "resolution": 32, "classes": 10}, 269_722, None, None),
    ("resnet", {"variant": "cifar20", "shortcut": "projection", "resolution": 32, "classes": 10}, 272_474, None, None),
    ("resnext", {"variant": "50"}, 25_028_904, 25_097_128, 4_230_479_872),
    ("vgg", {"variant": "16"}, 138_357_544, 138_357_544, 15_470_264_320),
    ("alexnet", {}, 61_100_840, 61_100_840, 714_188_480),
]
HELD = [row for row in GOLDEN if row[0] in zoo.ARCHITECTURES]


def named(row: tuple[Any, ...]) -> str:
    return "-".join([row[0], *(f"{value}" for value in row[1].values())])


@pytest.mark.parametrize("row", HELD, ids=named)
def test_counts_equal_the_reference(row):
    name, request, trainable, params, macs = row
    cost = zoo.cost(name, **request)
    assert trainable in (None, cost.trainable_params)
    assert params in (None, cost.params)
    assert macs in (None, cost.macs)


@pytest.mark.slow
@pytest.mark.parametrize("row", HELD, ids=named)
def test_built_models_hold_the_reference_counts(row):
    name, request, trainable, params, macs = row
    model = zoo.build(name, form="deploy", **request)
    cost = zoo.cost_of(zoo.sketch_of(model))
    assert params in (None, model.count_params())
    assert trainable in (None, cost.trainable_params)
    assert macs in (None, cost.macs)


PRINTED = [
    (name, printed)
    for name, family in zoo.ARCHITECTURES.items()
    for printed in family.published
    if "not reproducible" not in printed.note
]


@pytest.mark.parametrize(
    ("name", "printed"), PRINTED, ids=[f"{name}-{p.width}-{p.resolution}-{p.mega_macs}" for name, p in PRINTED]
)
def test_counts_agree_with_the_printed_tables(name, printed):
    # Printed figures are rounded and their conventions differ a little: 3 % catches a wrong table row.
    classes = 10 if "CIFAR-10" in printed.note else 1000
    cost = zoo.cost(name, width=printed.width, resolution=printed.resolution, classes=classes, **printed.options)
    if printed.mega_macs:
        assert cost.macs == pytest.approx(printed.mega_macs * 1e6, rel=0.03, abs=0.5e6)
    if printed.mega_params:
        assert cost.trainable_params == pytest.approx(printed.mega_params * 1e6, rel=0.03, abs=0.05e6)


def test_mobilenet_v1_by_hand():
    stem = 3 * 3 * 3 * 32
    rows = [(32, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), *[(512, 512)] * 5, (512, 1024),
            (1024, 1024)]  # fmt: skip
    separable = sum(3 * 3 * inward + inward * out for inward, out in rows)
    norms = 2 * (32 + sum(inward + out for inward, out in rows))
    classifier = 1024 * 10 + 10
    cost = zoo.cost("mobilenet_v1", classes=10)
    assert cost.trainable_params == stem + separable + norms + classifier
    assert cost.params == stem + separable + 2 * norms + classifier


@pytest.mark.parametrize("name", [name for name, family in zoo.ARCHITECTURES.items() if family.option("small_input")])
def test_the_papers_strides_divide_a_small_side_by_32(name):
    for resolution, last_side in ((96, 3), (32, 1)):
        layers = zoo.cost(name, resolution=resolution, small_input="paper").layers
        assert [row for row in layers if len(row["shape"]) == 3][-1]["shape"][:2] == [last_side, last_side]


def test_with_the_papers_strides_half_the_side_is_a_quarter_of_the_work():
    # The person detector of MLPerf Tiny: MobileNetV1 at width 0.25, 96 pixels, 2 classes.
    half, whole = (
        zoo.cost("mobilenet_v1", width=0.25, resolution=side, classes=2, small_input="paper") for side in (96, 192)
    )
    head = 256 * 2
    assert whole.macs - head == 4 * (half.macs - head)
    assert half.params == whole.params
    assert half.macs == 7_489_664


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "shufflenet_v2"])
def test_small_inputs_cost_what_a_capped_map_would(name):
    # Total stride 8 at 32 gives the maps of total stride 32 at 128 everywhere but in the first two steps.
    for resolution, last_side in ((32, 4), (96, 6), (128, 4)):
        cost = zoo.cost(name, resolution=resolution)
        assert cost.params == zoo.cost(name, resolution=224).params
        assert [row for row in cost.layers if len(row["shape"]) == 3][-1]["shape"][:2] == [last_side, last_side]
