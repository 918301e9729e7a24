"""What MnasNet's counts do not prove."""

from __future__ import annotations

import zoo


def test_the_first_block_has_no_shortcut_even_where_the_shapes_match():
    sketch = zoo.sketch("mnasnet", width=0.05)
    assert sketch["stem_conv"].shape == sketch["stage1_1_project_conv"].shape
    assert "stage1_1_add" not in sketch
    assert "stage2_2_add" in sketch


def test_squeeze_follows_the_block_input_and_gates_with_a_plain_sigmoid():
    sketch = zoo.sketch("mnasnet")
    squeezes = {op.name.split("_squeeze")[0]: op.shape for op in sketch.ops if op.name.endswith("_reduce_conv")}
    assert squeezes["stage3_1"] == (1, 1, 24 // 4)
    assert squeezes["stage3_2"] == (1, 1, 40 // 4)
    assert sketch["stage3_1_squeeze_pool"].inputs == ("stage3_1_depthwise_relu",)
    assert "stage3_1_squeeze_expand_sigmoid" in sketch
    assert not any("squeeze" in op.name for op in zoo.sketch("mnasnet", variant="b1").ops)


def test_activations_are_relu_and_the_last_layer_keeps_its_channels():
    for width in (0.35, 1.0, 1.4):
        sketch = zoo.sketch("mnasnet", width=width)
        assert {op.config.get("max_value") for op in sketch.ops if op.kind == "relu"} == {None}
        assert sketch["last_conv"].shape == (7, 7, 1280)
