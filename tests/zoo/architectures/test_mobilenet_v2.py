"""What MobileNetV2's counts do not prove."""

from __future__ import annotations

import zoo


def test_projection_is_linear_unless_asked_otherwise():
    linear, bent = zoo.sketch("mobilenet_v2"), zoo.sketch("mobilenet_v2", projection_activation="relu6")
    blocks = [op.name.removesuffix("_conv") for op in linear.ops if op.name.endswith("_project_conv")]
    assert len(blocks) == 17
    assert {op.name for op in bent.ops} - {op.name for op in linear.ops} == {f"{block}_relu6" for block in blocks}
    assert linear["stage2_2_add"].inputs == ("stage2_1_project_norm", "stage2_2_project_norm")
    assert bent["stage2_2_add"].inputs == ("stage2_1_project_relu6", "stage2_2_project_relu6")
    assert zoo.cost_of(linear).params == zoo.cost_of(bent).params
