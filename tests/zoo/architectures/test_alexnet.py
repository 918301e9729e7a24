"""What the counts of AlexNet do not prove: map sizes, and the form for small images."""

from __future__ import annotations

import zoo


def test_maps_are_those_of_the_one_tower_network():
    sketch = zoo.sketch("alexnet")
    sides = {name: sketch[name].shape[0] for name in ("stem_conv", "stem_pool", "stage2_pool", "stage5_pool")}
    assert sides == {"stem_conv": 55, "stem_pool": 27, "stage2_pool": 13, "stage5_pool": 6}
    assert not any(op.kind == "norm" for op in sketch.ops)
    assert all(op.config["use_bias"] for op in sketch.ops if op.kind in ("conv", "dense"))


def test_below_64_pixels_the_stem_keeps_the_map():
    small, large = zoo.sketch("alexnet", resolution=63), zoo.sketch("alexnet", resolution=64)
    assert small["stem_conv"].shape == (63, 63, 64)
    assert small["stage5_pool"].shape == (7, 7, 256)
    assert large["stem_conv"].shape == (15, 15, 64)
    assert large["stage5_pool"].shape == (1, 1, 256)


def test_dropout_stands_behind_each_wide_dense_layer():
    sketch = zoo.sketch("alexnet", dropout=0.5)
    for number in (1, 2):
        assert sketch[f"head_dropout{number}"].inputs == (f"head_fc{number}_relu",)
