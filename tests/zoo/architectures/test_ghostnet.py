"""What GhostNet's counts at width 1 do not prove."""

from __future__ import annotations

import pytest

import zoo


def test_only_blocks_of_stride_2_filter_with_the_kernel_of_the_table():
    sketch = zoo.sketch("ghostnet")
    cheap = [op for op in sketch.ops if op.kind == "depthwise" and op.name.endswith("_cheap_conv")]
    others = [op for op in sketch.ops if op.kind == "depthwise" and op not in cheap]
    assert {op.config["kernel_size"] for op in cheap} == {(3, 3)}
    inside = {op.name: op.config["kernel_size"][0] for op in others if "shortcut" not in op.name}
    assert inside == {
        "stage2_1_depthwise_conv": 3,
        "stage3_1_depthwise_conv": 5,
        "stage4_1_depthwise_conv": 3,
        "stage6_1_depthwise_conv": 5,
    }
    # The block from 80 to 112 channels keeps its map, so only its shortcut needs layers.
    shortcuts = [op.name for op in others if "shortcut" in op.name]
    assert shortcuts == [f"stage{stage}_1_shortcut_depthwise_conv" for stage in (2, 3, 4, 5, 6)]


def test_a_small_input_keeps_the_layers_of_a_halving_block():
    large, small = zoo.sketch("ghostnet"), zoo.sketch("ghostnet", resolution=32)
    assert [(op.name, op.params) for op in small.ops] == [(op.name, op.params) for op in large.ops]
    assert small["stage2_1_depthwise_conv"].config["strides"] == (1, 1)


def test_block_runs_ghost_filter_squeeze_ghost_and_ends_without_activation():
    sketch = zoo.sketch("ghostnet")
    assert sketch["stage3_1_expand_cheap_conv"].inputs == ("stage3_1_expand_primary_relu",)
    assert sketch["stage3_1_expand_concat"].inputs == ("stage3_1_expand_primary_relu", "stage3_1_expand_cheap_relu")
    assert sketch["stage3_1_depthwise_conv"].inputs == ("stage3_1_expand_concat",)
    assert sketch["stage3_1_squeeze_pool"].inputs == ("stage3_1_depthwise_norm",)
    assert sketch["stage3_1_squeeze_reduce_conv"].shape == (1, 1, 20)  # 72 / 4 = 18, rounded to 4
    assert sketch["stage3_1_project_primary_conv"].inputs == ("stage3_1_squeeze_gate",)
    assert sketch["stage3_1_project_concat"].inputs == ("stage3_1_project_primary_norm", "stage3_1_project_cheap_norm")
    assert sketch["stage3_2_expand_primary_conv"].inputs == ("stage3_1_add",)


@pytest.mark.parametrize("width", [0.05, 0.33, 0.5, 1.0, 1.3, 2.7])
def test_both_halves_of_a_ghost_are_equal_at_any_width(width):
    sketch = zoo.sketch("ghostnet", width=width)
    for op in sketch.ops:
        if op.kind == "concat":
            assert len({sketch[name].shape for name in op.inputs}) == 1
