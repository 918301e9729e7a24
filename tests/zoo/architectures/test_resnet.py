"""What the counts of a ResNet do not prove: where the stride lies, how maps are padded, what a shortcut does."""

from __future__ import annotations

import numpy as np
import pytest

import zoo


def test_every_block_ends_in_an_addition_and_its_relu():
    sketch = zoo.sketch("resnet")
    additions = [op for op in sketch.ops if op.layer == "Add"]
    assert len(additions) == 3 + 4 + 6 + 3
    for op in additions:
        assert op.inputs[1].endswith("_expand_norm")
        assert sketch[op.name.replace("_add", "_relu")].inputs == (op.name,)


@pytest.mark.parametrize(("stride_on", "side"), [("first", 28), ("3x3", 56)])
def test_the_stride_lies_where_the_option_says(stride_on, side):
    sketch = zoo.sketch("resnet", stride_on=stride_on)
    assert sketch["stage2_1_reduce_conv"].shape == (side, side, 128)
    assert sketch["stage2_1_spatial_conv"].shape == (28, 28, 128)


def test_v15_costs_what_torchvision_counts():
    assert zoo.cost("resnet", stride_on="3x3").macs == 4_089_184_256
    assert zoo.cost("resnet", stride_on="3x3").params == zoo.cost("resnet").params


@pytest.mark.parametrize(("variant", "trainable"), [("18", 11_689_512), ("34", 21_797_672)])
def test_basic_blocks_count_as_in_torchvision(variant, trainable):
    assert zoo.cost("resnet", variant=variant).trainable_params == trainable


@pytest.mark.parametrize("variant", ["50", "18", "cifar20"])
def test_shortcuts_by_identity_have_no_weights(variant):
    plain, projected = (zoo.sketch("resnet", variant=variant, shortcut=kind) for kind in ("identity", "projection"))
    weights = sum(op.params for op in projected.ops if "_shortcut_" in op.name)
    assert not any(op.params for op in plain.ops if "_shortcut_" in op.name)
    assert zoo.cost_of(projected).params - zoo.cost_of(plain).params == weights > 0


def test_identity_takes_every_second_cell_and_pads_channels_behind():
    from zoo.keras import keras

    model = zoo.build("resnet", variant="cifar20", shortcut="identity", resolution=8, classes=2)
    probe = keras.Model(model.get_layer("stage1_3_relu").output, model.get_layer("stage2_1_shortcut_pad").output)
    image = np.random.default_rng(0).random((1, 8, 8, 16), dtype="float32")
    out = probe(image).numpy()
    np.testing.assert_array_equal(out[..., :16], image[:, ::2, ::2])
    assert not out[..., 16:].any()


def test_below_64_pixels_the_stem_keeps_the_map():
    assert zoo.sketch("resnet", resolution=63)["stem_relu"].shape == (63, 63, 64)
    assert "stem_pool" not in zoo.sketch("resnet", resolution=63)
    assert zoo.sketch("resnet", resolution=64)["stem_pool"].shape == (16, 16, 64)
    assert zoo.cost("resnet", resolution=32).params == zoo.cost("resnet").params
