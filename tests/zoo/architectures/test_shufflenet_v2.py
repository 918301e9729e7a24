"""What ShuffleNetV2's counts at width 1 do not prove."""

from __future__ import annotations

import pytest

import zoo


def test_unit_of_stride_1_leaves_half_alone():
    sketch = zoo.sketch("shufflenet_v2")
    assert sketch["stage3_2_expand_conv"].inputs == ("stage3_2_split2",)
    assert sketch["stage3_2_project_conv"].inputs == ("stage3_2_depthwise_norm",)  # no activation between
    assert sketch["stage3_2_concat"].inputs == ("stage3_2_split1", "stage3_2_project_relu")
    assert sketch["stage3_2_shuffle"].inputs == ("stage3_2_concat",)


def test_unit_of_stride_2_has_equal_halves():
    sketch = zoo.sketch("shufflenet_v2")
    assert sketch["stage3_1_concat"].inputs == ("stage3_1_left_pointwise_relu", "stage3_1_project_relu")
    assert sketch["stage3_1_left_pointwise_relu"].shape == sketch["stage3_1_project_relu"].shape == (14, 14, 116)


def test_without_shuffle_only_the_shuffles_are_missing():
    shuffled, plain = zoo.sketch("shufflenet_v2"), zoo.sketch("shufflenet_v2", shuffle=False)
    assert {op.kind for op in shuffled.ops if op.name not in plain} == {"shuffle"}
    assert [op.params for op in plain.ops] == [op.params for op in shuffled.ops if op.kind != "shuffle"]


@pytest.mark.parametrize(
    ("width", "channels", "params", "macs"),
    [(0.45, 52, 1_414_848, 44_662_616), (0.5, 48, None, None), (2.05, 236, 7_148_296, 550_037_736)],
)
def test_widths_off_the_table_follow_the_formula(width, channels, params, macs):
    cost = zoo.cost("shufflenet_v2", width=width)
    assert zoo.sketch("shufflenet_v2", width=width)["stage2_1_concat"].shape[-1] == channels
    assert params is None or (cost.params, cost.macs) == (params, macs)
