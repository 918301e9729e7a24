"""What Xception's counts do not prove."""

from __future__ import annotations

import pytest

import zoo


def test_nothing_stands_between_the_halves_of_a_separable_convolution():
    sketch = zoo.sketch("xception")
    halves = [op for op in sketch.ops if op.name.endswith("_pointwise_conv")]
    assert len(halves) == 2 * 4 + 3 * 8 + 2
    for op in halves:
        assert op.inputs == (op.name.replace("_pointwise_conv", "_depthwise_conv"),)


def test_stem_has_no_padding_and_pools_have():
    sketch = zoo.sketch("xception")
    assert sketch["stem_1_conv"].shape == (149, 149, 32)
    assert sketch["stem_2_conv"].shape == (147, 147, 64)
    pooled = [sketch[f"{block}_pool"].shape[0] for block in ("entry1", "entry2", "entry3", "exit")]
    assert pooled == [74, 37, 19, 10]


def test_shortcuts_start_in_front_of_the_activation():
    sketch = zoo.sketch("xception")
    assert sketch["entry2_shortcut_conv"].inputs == sketch["entry2_relu"].inputs == ("entry1_add",)
    assert sketch["entry1_one_depthwise_conv"].inputs == (
        "stem_2_relu",
    )  # the first block has no activation of its own
    assert sketch["middle1_add"].inputs == ("entry3_add", "middle1_three_norm")
    assert sketch["entry2_pool"].inputs == ("entry2_two_norm",)
    assert sketch["exit_one_pointwise_conv"].shape[-1] == 728
    assert sketch["last1_depthwise_conv"].inputs == ("exit_add",)


@pytest.mark.parametrize(("resolution", "last"), [(8, 1), (32, 4), (70, 9), (71, 3), (299, 10)])
def test_below_71_pixels_stem_and_first_block_keep_the_size(resolution, last):
    sketch = zoo.sketch("xception", resolution=resolution)
    assert sketch["last2_relu"].shape == (last, last, 2048)
    if resolution < 71:
        assert sketch["entry1_add"].shape == (resolution, resolution, 128)
