"""Counts that come from elsewhere: reference code counted after building it, or the papers' tables redone by hand."""

from __future__ import annotations

import pytest

import zoo

# name, width, resolution, classes -> trainable weights, all weights, multiply-adds; None where the source gives none.
# Source of the rows at 1.0 / 224: reference implementations, instantiated and counted (Keras applications for the
# MobileNets; torchvision's definition, equal halves and a bias in the classifier, for ShuffleNetV2).
# Source of the other widths of mobilenet_v2: Keras applications' count_params().
GOLDEN = [
    ("mobilenet_v1", 1.0, 224, 1000, 4_231_976, 4_253_864, 568_740_352),
    ("mobilenet_v2", 1.0, 224, 1000, 3_504_872, 3_538_984, 300_774_272),
    ("mobilenet_v2", 0.35, 224, 1000, None, 1_691_208, None),
    ("mobilenet_v2", 0.5, 224, 1000, None, 1_987_224, None),
    ("mobilenet_v2", 1.4, 224, 1000, None, 6_156_712, None),
    ("shufflenet_v2", 1.0, 224, 1000, 2_278_604, 2_294_784, 144_907_992),
]

# Rounded figures printed in the papers (millions of multiply-adds, millions of weights), within 3 %: enough to catch a
# wrong table row. ShuffleNetV2's printed figures are those of the authors' code, which differs by half a per cent.
PUBLISHED = [
    ("mobilenet_v1", 0.75, 325, 2.59),
    ("mobilenet_v1", 0.5, 150, 1.34),
    ("mobilenet_v1", 0.25, 41, 0.47),
    ("mobilenet_v2", 1.4, 582, 6.06),
    ("mobilenet_v2", 0.75, 209, 2.61),
    ("mobilenet_v2", 0.5, 97, 1.95),
    ("mobilenet_v2", 0.35, 59, 1.66),
    ("shufflenet_v2", 0.5, 41, 1.4),
    ("shufflenet_v2", 1.5, 299, 3.5),
    ("shufflenet_v2", 2.0, 591, 7.4),
]


@pytest.mark.parametrize(("name", "width", "resolution", "classes", "trainable", "params", "macs"), GOLDEN)
def test_counts_equal_the_reference(name, width, resolution, classes, trainable, params, macs):
    cost = zoo.cost(name, width=width, resolution=resolution, classes=classes)
    assert cost.params == params
    assert trainable in (None, cost.trainable_params)
    assert macs in (None, cost.macs)


@pytest.mark.parametrize(("name", "width", "mega_macs", "mega_params"), PUBLISHED)
def test_counts_agree_with_the_printed_tables(name, width, mega_macs, mega_params):
    cost = zoo.cost(name, width=width)
    assert cost.macs == pytest.approx(mega_macs * 1e6, rel=0.03)
    assert cost.trainable_params == pytest.approx(mega_params * 1e6, rel=0.03)


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


def test_small_inputs_cost_what_a_capped_map_would():
    # Total stride 8 at 32 gives the maps of total stride 32 at 128 everywhere but in the first two steps.
    for name in zoo.ARCHITECTURES:
        assert zoo.cost(name, resolution=32).params == zoo.cost(name, resolution=224).params
        last = [row for row in zoo.cost(name, resolution=32).layers if len(row["shape"]) == 3][-1]
        assert last["shape"][:2] == [4, 4]
        last = [row for row in zoo.cost(name, resolution=96).layers if len(row["shape"]) == 3][-1]
        assert last["shape"][:2] == [6, 6]
        last = [row for row in zoo.cost(name, resolution=128).layers if len(row["shape"]) == 3][-1]
        assert last["shape"][:2] == [4, 4]
