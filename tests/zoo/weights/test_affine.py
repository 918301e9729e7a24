"""The step in front of networks with published weights is a layer like any other, except that it does not learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from pipelines.training.loop import learning_variables
from tests.exports.test_zoo_files import all_files_agree
from tests.zoo.designs import NAMES, small
from tests.zoo.test_battery import agree_layer_by_layer
from tests.zoo.test_int8_aware import convert, run
from zoo import int8_aware
from zoo.layers import AFFINE
from zoo.weights import WEIGHTS

SMALL: dict[str, Any] = {"width": 0.25, "resolution": 16, "classes": 3, "channels": 3, "affine": True}


def network() -> Any:
    from zoo.keras import keras

    keras.utils.set_random_seed(2)
    model = zoo.build("mobilenet_v1", **SMALL, dropout=0.0)
    model.get_layer(AFFINE).set_weights([np.full((1, 1, 3, 1), 2.0), np.full(3, -1.0)])
    return model


def test_sketch_and_keras_model_agree() -> None:
    agree_layer_by_layer("mobilenet_v2", SMALL)


@pytest.mark.parametrize("name", NAMES)
def test_it_adds_six_numbers_that_are_not_trained(name: str) -> None:
    plain, with_step = (zoo.cost(name, **{**small(name), "channels": 3, "affine": affine}) for affine in (False, True))
    assert with_step.params == plain.params + 6
    assert with_step.trainable_params == plain.trainable_params


def test_it_scales_each_colour_and_one_step_leaves_it_alone() -> None:
    from zoo.keras import keras, tf

    model = network()
    image = np.random.default_rng(0).random((8, 16, 16, 3), np.float32)
    inner = keras.Model(model.input, model.get_layer(AFFINE).output)
    np.testing.assert_array_equal(inner(image), 2 * image - 1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(tf.constant(image), training=True) ** 2)
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_weights), model.trainable_weights, strict=True))
    np.testing.assert_array_equal(inner(image), 2 * image - 1)


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")
def test_int8_aware_training_keeps_it() -> None:
    model = network()
    images = np.random.default_rng(0).random((64, 16, 16, 3), np.float32)
    for _ in range(20):
        model(images, training=True)
    aware = int8_aware.apply(model)
    assert not [weight.name for weight in learning_variables(aware) if AFFINE in weight.name]
    assert len(learning_variables(aware)) == len(aware.trainable_weights) - 1
    int8_aware.warm_ranges(model, aware, images)
    answers, kinds = run(convert(aware), images[:8])
    wanted = model(images[:8], training=False).numpy()
    assert not [kind for kind in kinds if "float" in kind]
    assert np.abs(answers - wanted).max() < 0.1 * np.ptp(wanted)


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")
def test_every_file_can_be_written_with_it(tmp_path: Path) -> None:
    all_files_agree("mobilenet_v2", {**SMALL, "resolution": 32}, tmp_path)


def test_catalogue_of_weights_names_families_and_files_once() -> None:
    assert set(WEIGHTS) <= set(zoo.ARCHITECTURES)
    for name, weights in WEIGHTS.items():
        assert weights.family == name
        options = {option.name: option.default for option in zoo.architecture(name).options}
        assert weights.check(zoo.architecture(name), 1.0, options)
        assert not weights.variants or set(weights.variants) <= set(zoo.architecture(name).variants)
        files = [file for row in weights.published for file in (row.top, row.no_top)]
        assert len({file.url for file in files}) == len(files)
        assert all(file.url.startswith("https://storage.googleapis.com/") for file in files)
        assert all(file.name.endswith(".h5") for file in files)
        assert all(len(file.md5) in (0, 32) for file in files)
        for row in weights.published:
            assert row.width in zoo.architecture(name).widths
