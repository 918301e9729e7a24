"""What SqueezeNet's counts do not prove."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.architectures.squeezenet import pool


@pytest.mark.parametrize(
    ("variant", "sizes"),
    [
        ("1.0", {"stem_conv": 109, "stem_pool": 54, "fire4_pool": 27, "fire8_pool": 13}),
        ("1.1", {"stem_conv": 111, "stem_pool": 55, "fire3_pool": 27, "fire5_pool": 13}),
    ],
)
def test_maps_have_the_sizes_of_the_original_framework(variant, sizes):
    sketch = zoo.sketch("squeezenet", variant=variant)
    assert {name: sketch[name].shape[0] for name in sizes} == sizes
    assert [op.name for op in sketch.ops if op.kind == "max_pool"] == list(sizes)[1:]


@pytest.mark.parametrize(("height", "across"), [(9, 9), (8, 8), (8, 7), (2, 3)])
def test_pool_sees_every_cell_and_rounds_up(height, across):
    from zoo.keras import keras

    image = keras.Input((height, across, 2))
    array = np.random.default_rng(0).random((1, height, across, 2), dtype="float32")
    pooled = keras.Model(image, pool(image, name="it"))(array).numpy()[0]
    rows, columns = range(0, max(height - 1, 1), 2), range(0, max(across - 1, 1), 2)
    wanted = [[array[0, row : row + 3, column : column + 3].max((0, 1)) for column in columns] for row in rows]
    np.testing.assert_array_equal(pooled, wanted)


def test_every_convolution_has_a_bias_and_a_relu_and_nothing_is_normalised():
    sketch = zoo.sketch("squeezenet")
    convolutions = [op for op in sketch.ops if op.kind == "conv"]
    assert all(op.config["use_bias"] for op in convolutions)
    assert len(convolutions) == sum(op.kind == "relu" for op in sketch.ops) == 2 + 3 * 8
    assert not {"norm", "dense"} & {op.kind for op in sketch.ops}


def test_logits_are_the_means_of_activated_class_maps():
    sketch = zoo.sketch("squeezenet", classes=7, dropout=0.5)
    assert [op.name for op in sketch.ops[-4:]] == ["head_dropout", "head_conv", "head_relu", "head_logits"]
    assert sketch["head_conv"].shape == (13, 13, 7)  # no ring of padding around the 13x13 map
    assert sketch["fire9_concat"].inputs == ("fire9_expand1_relu", "fire9_expand3_relu")


def test_an_untrained_network_silences_no_class():
    from zoo.keras import keras

    for seed in range(3):
        keras.utils.set_random_seed(seed)
        model = zoo.build("squeezenet", width=0.5, resolution=20, classes=10)
        images = np.random.default_rng(seed).random((8, 20, 20, 3), dtype="float32")
        head = keras.Model(model.input, model.get_layer("head_conv").output)(images).numpy()
        assert head.std() > 0.1
        assert model(images).numpy().min() > 0.1


def test_small_inputs_keep_the_size_in_the_stem():
    sketch = zoo.sketch("squeezenet", resolution=32)
    assert sketch["stem_conv"].shape[:2] == (32, 32)
    assert "stem_pool" not in sketch
    assert sketch["fire9_concat"].shape == (8, 8, 512)
    assert zoo.cost("squeezenet", resolution=64).layers[1]["shape"][:2] == [29, 29]


@pytest.mark.parametrize(
    ("variant", "params", "macs"),
    # By hand: the 7x7 stem of 1.0 has 96 * (3 * 49 + 1) weights, a 3x3 one 96 * (3 * 9 + 1).
    [("1.0", 1_248_424 - 96 * 3 * 40, 246_448_128 - 32 * 32 * 96 * 3 * 40), ("1.1", 1_235_496, None)],
)
def test_small_images_meet_a_stem_of_3x3_that_keeps_their_size(variant, params, macs):
    cost = zoo.cost("squeezenet", variant=variant, resolution=32)
    sketch = zoo.sketch("squeezenet", variant=variant, resolution=32)
    assert sketch["stem_conv"].shape[:2] == (32, 32)
    assert "stem_pool" not in sketch
    assert cost.params == params
    assert macs is None or cost.macs == macs
