"""The squeeze must be able to learn from the first step."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.blocks.squeeze_excite import squeeze_excite


@pytest.mark.parametrize(("activation", "start"), [("relu", 1.0), ("swish", 0.0)])
def test_a_relu_squeeze_starts_above_zero(activation, start):
    from zoo.keras import keras

    image = keras.Input((4, 4, 24))
    model = keras.Model(image, squeeze_excite(image, 2, name="a", activation=activation))
    assert (model.get_layer("a_reduce_conv").get_weights()[1] == start).all()
    assert (model.get_layer("a_expand_conv").get_weights()[1] == 0).all()


def test_two_units_behind_means_that_hardly_differ_do_not_both_start_silent():
    from zoo.keras import keras

    # With a bias of 0 both would be silent, for every image, one time in four.
    maps = np.maximum(np.random.default_rng(0).normal(size=(8, 16, 16, 24)), 0).astype("float32")
    for seed in range(12):
        keras.utils.set_random_seed(seed)
        image = keras.Input((16, 16, 24))
        gated = squeeze_excite(image, 2, name="a")
        units = keras.Model(image, keras.Model(image, gated).get_layer("a_reduce_relu").output)
        assert units(maps).numpy().max() > 0
