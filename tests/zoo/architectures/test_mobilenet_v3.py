"""What MobileNetV3's counts at width 1 do not prove."""

from __future__ import annotations

import pytest

import zoo


@pytest.mark.parametrize(
    ("variant", "width", "params"),
    [
        ("large", 0.35, 2_141_208),
        ("large", 0.5, 2_702_512),
        ("large", 0.75, 4_012_616),
        ("large", 1.25, 8_286_760),
        ("large", 1.5, 11_364_760),
        ("large_minimalistic", 0.5, 2_288_256),
        ("small", 0.35, 1_354_680),
        ("small", 0.5, 1_599_720),
        ("small", 0.75, 2_051_552),
        ("small", 1.25, 3_660_640),
        ("small", 1.5, 4_950_432),
        ("small_minimalistic", 0.5, 1_451_976),
    ],
)
def test_counts_at_other_widths_are_those_of_keras(variant, width, params):
    # Source: keras.applications.MobileNetV3Large and ...Small (tf_keras 2.21), built and counted.
    assert zoo.cost("mobilenet_v3", variant=variant, width=width).params == params


def test_squeeze_stands_behind_the_depthwise_activation_and_follows_the_expanded_channels():
    sketch = zoo.sketch("mobilenet_v3", variant="large")
    block = [op for op in sketch.ops if op.name.startswith("stage6_2_")]
    assert [op.name.removeprefix("stage6_2_") for op in block] == [
        "expand_conv", "expand_norm", "expand_hard_swish",
        "depthwise_conv", "depthwise_norm", "depthwise_hard_swish",
        "squeeze_pool", "squeeze_reduce_conv", "squeeze_reduce_relu",
        "squeeze_expand_conv", "squeeze_expand_hard_sigmoid", "squeeze_gate",
        "project_conv", "project_norm", "add",
    ]  # fmt: skip
    assert sketch["stage6_2_squeeze_reduce_conv"].shape == (1, 1, 240)  # a quarter of 960, not of 160
    assert sketch["stage6_2_add"].inputs == ("stage6_1_project_norm", "stage6_2_project_norm")
    assert sketch["stage3_1_squeeze_reduce_conv"].shape == (1, 1, 24)  # 72 / 4 = 18 rounds up to 24


def test_head_has_a_hidden_layer_with_bias_and_without_normalisation():
    head = [op for op in zoo.sketch("mobilenet_v3", variant="small", width=0.5, classes=7).ops if op.stage == "head"]
    assert [op.kind for op in head] == ["global_pool", "dense", "hard_swish", "dropout", "dense"]
    assert [op.params for op in head] == [0, 288 * 1024 + 1024, 0, 0, 1024 * 7 + 7]  # 1024 at every width up to 1


@pytest.mark.parametrize("variant", ["large", "small"])
def test_minimalistic_variants_use_plain_operators_only(variant):
    sketch = zoo.sketch("mobilenet_v3", variant=f"{variant}_minimalistic")
    assert {op.kind for op in sketch.ops} <= {
        "input", "conv", "depthwise", "norm", "relu", "add", "global_pool", "dense", "dropout",
    }  # fmt: skip
    kernels = {op.config["kernel_size"] for op in sketch.ops if op.kind == "depthwise"}
    assert kernels == {(3, 3)}
    channels = [op.shape for op in sketch.ops if op.name.endswith("_project_conv")]
    full = [op.shape for op in zoo.sketch("mobilenet_v3", variant=variant).ops if op.name.endswith("_project_conv")]
    assert channels == full


def test_squeeze_excite_off_removes_the_gates_and_nothing_else():
    with_, without = zoo.sketch("mobilenet_v3"), zoo.sketch("mobilenet_v3", squeeze_excite=False)
    assert [op.name for op in without.ops] == [op.name for op in with_.ops if "_squeeze_" not in op.name]
    assert "stage3_1_squeeze_gate" in with_


def test_the_first_block_has_no_expanding_convolution_at_any_width():
    for width in (0.1, 0.5, 1.0, 1.3):
        sketch = zoo.sketch("mobilenet_v3", width=width)
        assert "stage1_1_expand_conv" not in sketch
        assert "stage2_1_expand_conv" in sketch
        assert sketch["stem_conv"].shape == (112, 112, 16)
