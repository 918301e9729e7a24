"""The form that int8-aware training takes: equal answers, nothing left in the way, a file that follows the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zoo
from tests.zoo.designs import NAMES, others_slow, small
from tests.zoo.test_int8_aware import convert, run
from zoo import int8_aware, layers
from zoo.deploy import deploy
from zoo.int8_form import CARRIER, int8_form

SIDE = 8
# Norms behind a concatenation, a pool, a convolution with a second reader; groups that are learned.
REWRITTEN = ("espnet_v2", "densenet", "condensenet", "flgc")


@pytest.fixture
def lone_norms() -> Any:
    """One lone norm behind each kind of place, with statistics and weights of their own: read_twice_norm, ..."""
    from zoo.keras import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.norm(image, name="input_norm")
    read_twice = layers.conv(x, 4, name="read_twice_conv")
    x = layers.relu(layers.norm(read_twice, name="read_twice_norm"), name="relu")
    x = layers.norm(x, name="relu_norm")
    x = layers.concat([x, read_twice], name="concat")
    x = layers.prelu(layers.norm(x, name="concat_norm"), name="prelu")
    x = layers.norm(layers.add([x, x], name="sum"), name="sum_norm")
    x = layers.norm(layers.max_pool(x, 2, name="pool"), name="pool_norm")
    x = layers.norm(layers.conv(x, 6, name="bare_conv"), name="bare_norm")
    model = keras.Model(image, layers.dense(layers.global_pool(x, name="head_pool"), 5, name="head_logits"))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("_norm"):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


@pytest.mark.parametrize("name", others_slow(NAMES, REWRITTEN))
def test_every_family_has_a_form_with_equal_answers_that_can_be_trained_int8_aware(name):
    request = small(name)
    model = zoo.build(name, **request)
    found = int8_form(model)
    assert int8_aware.check(found) == []
    assert (found is not model) == bool(int8_aware.check(model)) == (name in REWRITTEN)
    images = np.random.default_rng(0).random((4, request["resolution"], request["resolution"], 1), dtype="float32")
    expected = model(images, training=False).numpy()
    np.testing.assert_allclose(found(images, training=False), expected, atol=1e-5 * np.abs(expected).max())


def test_a_lone_norm_gets_a_convolution_of_its_own_and_only_a_lone_one(lone_norms):
    found = int8_form(lone_norms)
    lone = ["input", "read_twice", "relu", "concat", "sum", "pool"]
    assert [layer.name for layer in found.layers if layer.name.endswith(CARRIER)] == [
        f"{place}_norm{CARRIER}" for place in lone
    ]
    assert len(int8_aware.check(lone_norms)) == len(lone)
    assert int8_aware.check(found) == []
    assert int8_form(found) is found


@pytest.mark.parametrize("activation", ["relu", "prelu"])
def test_a_native_grouped_convolution_comes_apart_and_joins_again(activation):
    from zoo.keras import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 6))
    x = layers.norm(layers.conv(image, 9, name="wide_conv", kernel=3, groups=3), name="wide_norm")
    x = layers.global_pool(getattr(layers, activation)(x, name="wide_act"), name="head_pool")
    model = keras.Model(image, layers.dense(x, 2, name="head_logits"))
    model.get_layer("wide_norm").set_weights([np.arange(1, 10) / (9 + place) for place in range(4)])
    apart = int8_form(model)
    assert [layer.name for layer in apart.layers if layer.name.startswith("wide_slice")] == [
        "wide_slice1", "wide_slice2", "wide_slice3"
    ]  # fmt: skip
    assert int8_aware.check(apart) == []
    images = np.random.default_rng(0).random((4, SIDE, SIDE, 6), dtype="float32")
    np.testing.assert_allclose(apart(images), model(images), rtol=1e-5, atol=1e-6)
    again = deploy(apart)
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    for one, other in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
def test_a_layer_of_ours_in_front_of_a_concatenation_has_no_range_after_reading_either(tmp_path):
    from zoo.keras import keras

    image = keras.Input((SIDE, SIDE, 3))
    x = layers.conv(image, 4, name="conv")
    sides = [layers.prelu(x, name="prelu"), layers.hard_sigmoid(x, name="hard")]
    model = keras.Model(image, layers.dense(layers.global_pool(layers.concat(sides, name="concat"), name="pool"), 2,
                                            name="head_logits"))  # fmt: skip
    quantised = int8_aware.apply(model)
    images = np.random.default_rng(0).random((8, SIDE, SIDE, 3), dtype="float32")
    int8_aware.warm_ranges(model, quantised, images)
    quantised.save(tmp_path / "model.h5")
    with int8_aware.scope():
        again = keras.models.load_model(tmp_path / "model.h5", compile=False)
    np.testing.assert_array_equal(again(images), quantised(images))


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")
def test_slopes_are_rounded_in_the_model_as_in_the_file():
    from zoo.keras import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.prelu(layers.conv(image, 4, name="conv"), name="prelu")
    model = keras.Model(image, layers.dense(layers.global_pool(x, name="head_pool"), 3, name="head_logits"))
    slopes = np.array([2.0, 0.007, 0.023, -0.04], np.float32)  # a step is 2 / 127
    model.get_layer("prelu").set_weights([slopes.reshape(1, 1, 4)])
    quantised, images = int8_aware.apply(model), np.random.default_rng(0).random((32, SIDE, SIDE, 3), dtype="float32")
    int8_aware.warm_ranges(model, quantised, images)
    quantised(images)
    expected = np.round(slopes / (2 / 127)) * (2 / 127)
    np.testing.assert_allclose(quantised.get_layer("quant_prelu").layer.alpha.numpy().reshape(-1), expected, atol=1e-6)
    assert run(convert(quantised), images)[1] == {"int8", "int32"}


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")
def test_the_file_of_lone_norms_is_int8_all_through_and_answers_as_the_float_model(lone_norms):
    images = np.random.default_rng(1).random((64, SIDE, SIDE, 3), dtype="float32")
    found = int8_form(lone_norms)
    quantised = int8_aware.apply(found)
    assert int8_aware.warm_ranges(found, quantised, images) == []
    logits, types = run(convert(quantised), images)
    assert types == {"int8", "int32"}
    expected = lone_norms(images, training=False).numpy()
    assert np.abs(logits - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")
def test_an_average_pool_between_concatenations_shares_the_scale_of_its_input():
    from zoo.keras import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.concat([layers.relu(layers.conv(image, 4, name="conv"), name="relu"), image], name="concat")
    x = layers.average_pool(x, 2, name="pool")
    x = layers.concat([x, layers.conv(layers.norm(x, name="lone_norm"), 4, name="grow_conv")], name="grown")
    model = keras.Model(image, layers.dense(layers.global_pool(x, name="head_pool"), 2, name="head_logits"))
    form, images = int8_form(model), np.random.default_rng(0).random((32, SIDE, SIDE, 3), dtype="float32")
    quantised = int8_aware.apply(form)
    int8_aware.warm_ranges(form, quantised, images)
    logits, types = run(convert(quantised), images)
    assert types == {"int8", "int32"}
    expected = model(images, training=False).numpy()
    assert np.abs(logits - expected).max() < 0.05 * np.abs(expected).max()


def test_a_norm_over_a_vector_stays_as_it_is_and_is_named():
    from zoo.keras import keras

    image = keras.Input((SIDE, SIDE, 3))
    x = layers.norm(layers.global_pool(image, name="head_pool"), name="vector_norm")
    model = keras.Model(image, layers.dense(x, 2, name="head_logits"))
    assert int8_form(model) is model
    assert "vector_norm normalises head_pool" in int8_aware.check(model)[0]
