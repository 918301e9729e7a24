"""What EfficientNet's counts at B0 do not prove."""

from __future__ import annotations

import pytest

import zoo


@pytest.mark.parametrize(
    ("variant", "trainable"), [("b1", 7_794_184), ("b2", 9_109_994), ("b3", 12_233_232), ("lite0", 4_652_008)]
)
def test_variants_hold_the_weights_of_the_released_networks(variant, trainable):
    # Source: keras.applications.EfficientNetB1 to B3 (tf_keras 2.21), built and counted; the released lite0.
    assert zoo.cost("efficientnet", variant=variant).trainable_params == trainable


def drops(**request):
    ops = zoo.sketch("efficientnet", **request).ops
    return {op.name: op.config["rate"] for op in ops if op.name.endswith("_drop_path")}


def test_stochastic_depth_grows_linearly_and_stands_on_residual_branches_only():
    sketch, rates = zoo.sketch("efficientnet"), drops()
    assert [f"{name.removesuffix('drop_path')}add" for name in rates] == [
        op.name for op in sketch.ops if op.kind == "add"
    ]
    # The places of the nine residual blocks among the sixteen.
    places = [2, 4, 6, 7, 9, 10, 12, 13, 14]
    assert list(rates.values()) == pytest.approx([0.2 * place / 16 for place in places])
    assert sketch["stage2_2_drop_path"].inputs == ("stage2_2_project_norm",)
    assert sketch["stage2_2_add"].inputs == ("stage2_1_project_norm", "stage2_2_drop_path")


def test_stochastic_depth_can_be_left_out_and_costs_nothing():
    assert drops(drop_connect=0.0) == {}
    with_, without = zoo.cost("efficientnet"), zoo.cost("efficientnet", drop_connect=0.0)
    assert (with_.params, with_.macs, with_.memory_access_bytes) == (
        without.params,
        without.macs,
        without.memory_access_bytes,
    )


def test_squeeze_follows_the_block_input_from_the_first_block_on():
    sketch = zoo.sketch("efficientnet")
    assert sketch["stage1_1_squeeze_reduce_conv"].shape == (1, 1, 32 // 4)
    assert sketch["stage2_1_squeeze_reduce_conv"].shape == (1, 1, 16 // 4)
    assert sketch["stage2_2_squeeze_reduce_conv"].shape == (1, 1, 24 // 4)
    assert {"stage2_1_squeeze_reduce_swish", "stage2_1_squeeze_expand_sigmoid"} <= {op.name for op in sketch.ops}


def test_lite0_is_b0_in_plain_operators_with_fixed_ends():
    lite = zoo.sketch("efficientnet", variant="lite0", width=0.5)
    assert {op.kind for op in lite.ops} == {
        "input", "conv", "depthwise", "norm", "relu", "add", "global_pool", "dense", "dropout",
    }  # fmt: skip
    assert {op.config["max_value"] for op in lite.ops if op.kind == "relu"} == {6.0}
    assert lite["stem_conv"].shape == (112, 112, 32)
    assert lite["last_conv"].shape == (7, 7, 1280)
    assert zoo.sketch("efficientnet", width=0.5)["stem_conv"].shape == (112, 112, 16)


def test_each_variant_comes_at_its_own_resolution():
    sides = {
        variant: zoo.sketch("efficientnet", variant=variant).ops[0].shape[0]
        for variant in ("b0", "b1", "b2", "b3", "lite0")
    }
    assert sides == {"b0": 224, "b1": 240, "b2": 260, "b3": 300, "lite0": 224}
