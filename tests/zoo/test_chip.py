"""The form for chips: equal answers from operators that a chip has."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from tests.zoo.designs import NAMES, small
from zoo.chip import ALMOST_THREE, LEARNING, ORDERING, for_chip


@pytest.mark.parametrize("name", NAMES)
def test_answers_stay_and_channels_are_ordered_by_convolutions(name):
    from zoo.keras import keras

    keras.utils.set_random_seed(4)
    model = zoo.build(name, **small(name))
    images = np.random.default_rng(0).random((2, *model.input_shape[1:]), dtype="float32")
    made = for_chip(model)
    assert made is not model
    wanted = model(images, training=False).numpy()
    np.testing.assert_allclose(made(images, training=False).numpy(), wanted, atol=1e-5 * np.abs(wanted).max())
    kinds = [type(layer).__name__ for layer in made.layers]
    assert not {*ORDERING, *LEARNING} & set(kinds)
    assert len(kinds) == len(model.layers)
    assert all(layer.three == ALMOST_THREE for layer in made.layers if type(layer).__name__ == "HardSwish")
    assert all(layer.three == 3.0 for layer in model.layers if type(layer).__name__ == "HardSwish")


def test_a_gather_with_repeats_becomes_a_convolution():
    from zoo import layers
    from zoo.keras import keras

    image = keras.Input((3, 3, 4))
    model = keras.Model(image, layers.gather(image, [3, 0, 0, 1, 2], name="order"))
    values = np.random.default_rng(1).random((1, 3, 3, 4), dtype="float32")
    np.testing.assert_array_equal(for_chip(model)(values), values[..., [3, 0, 0, 1, 2]])


def test_a_model_with_foreign_layers_stays_as_it_is():
    from zoo.keras import keras

    image = keras.Input((4, 4, 2))
    model = keras.Model(image, keras.layers.GaussianNoise(0.1)(keras.layers.Permute((2, 1, 3))(image)))
    assert for_chip(model) is model


@pytest.mark.parametrize("name", ["condensenet", "flgc"])
def test_layers_that_learned_their_groups_become_whole_convolutions(name):
    from zoo.keras import keras

    keras.utils.set_random_seed(4)
    model = zoo.build(name, **small(name))
    for layer in model.layers:
        if hasattr(layer, "condense"):
            layer.condense()
    images = np.random.default_rng(0).random((2, *model.input_shape[1:]), dtype="float32")
    made = for_chip(model)
    wanted = model(images, training=False).numpy()
    np.testing.assert_allclose(made(images, training=False).numpy(), wanted, atol=1e-5 * np.abs(wanted).max())
    assert any(type(layer).__name__ in LEARNING for layer in model.layers)
    assert not any(type(layer).__name__ in LEARNING for layer in made.layers)
