"""What ShuffleNetV1's counts at width 1 do not prove."""

from __future__ import annotations

import pytest

import zoo
from zoo.architectures.shufflenet_v1 import stage2_channels, stem_channels


@pytest.mark.parametrize(
    ("groups", "stems", "stages"),
    [(3, [12, 24, 24, 48], [120, 240, 360, 480]), (8, [16, 24, 24, 48], [192, 384, 576, 768])],
)
def test_channels_are_the_authors_at_their_widths(groups, stems, stages):
    assert [stem_channels(width, groups) for width in (0.5, 1.0, 1.5, 2.0)] == stems
    assert [stage2_channels(width, groups) for width in (0.5, 1.0, 1.5, 2.0)] == stages


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 8])
def test_groups_divide_every_convolution_at_any_width(groups):
    for percent in (1, 5, 33, 99, 101, 187, 330):
        for op in zoo.sketch("shufflenet_v1", width=percent / 100, groups=groups).ops:
            if op.name.endswith(("_reduce_conv", "_expand_conv")) and op.name != "stage2_1_reduce_conv":
                assert op.config["groups"] == groups


def test_unit_of_stride_1_adds_and_activates_behind():
    sketch = zoo.sketch("shufflenet_v1")
    assert sketch["stage3_2_reduce_conv"].shape == (14, 14, 480 // 4)
    assert sketch["stage3_2_shuffle"].inputs == ("stage3_2_reduce_relu",)
    assert sketch["stage3_2_depthwise_conv"].inputs == ("stage3_2_shuffle",)
    assert sketch["stage3_2_expand_conv"].inputs == ("stage3_2_depthwise_norm",)  # no activation between
    assert sketch["stage3_2_add"].inputs == ("stage3_1_concat", "stage3_2_expand_norm")
    assert sketch["stage3_2_relu"].inputs == ("stage3_2_add",)


def test_unit_of_stride_2_puts_the_pooled_input_first():
    sketch = zoo.sketch("shufflenet_v1")
    assert sketch["stage3_1_reduce_conv"].shape == (28, 28, 480 // 4)  # of the stage's channels, not of the new ones
    assert sketch["stage3_1_expand_conv"].shape == (14, 14, 480 - 240)
    assert sketch["stage3_1_concat"].inputs == ("stage3_1_pool", "stage3_1_expand_relu")
    assert sketch["stage3_1_pool"].inputs == ("stage2_4_relu",)  # nothing below zero is pooled
    assert sketch["stage2_1_reduce_conv"].config["groups"] == 1
    assert sketch["stage2_1_expand_conv"].config["groups"] == 3


def test_without_shuffle_only_the_shuffles_are_missing():
    shuffled, plain = zoo.sketch("shufflenet_v1"), zoo.sketch("shufflenet_v1", shuffle=False)
    left_out = [op.name for op in shuffled.ops if op.name not in plain]
    assert left_out == [f"stage{stage}_{unit}_shuffle" for stage, units in ((2, 4), (3, 8), (4, 4))
                        for unit in range(1, units + 1)]  # fmt: skip
    assert [op.params for op in plain.ops] == [op.params for op in shuffled.ops if op.kind != "shuffle"]
    assert "shuffle" not in {op.kind for op in zoo.sketch("shufflenet_v1", groups=1).ops}


def test_small_inputs_drop_the_pool_and_the_stride_of_the_stem():
    sketch = zoo.sketch("shufflenet_v1", resolution=32)
    assert "stem_pool" not in sketch
    assert sketch["stem_conv"].shape == (32, 32, 24)
    assert sketch["stage4_4_relu"].shape == (4, 4, 960)
