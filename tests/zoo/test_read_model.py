"""Sketches of models that did not come from the zoo."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from tests.zoo.designs import NAMES, others_slow, small


def test_residual_concat_separable_and_shared_layers_are_counted():
    from zoo.keras import keras

    image = keras.Input((8, 8, 4), name="picture")
    shared = keras.layers.Conv2D(4, 3, padding="same", name="shared_conv")
    once = shared(image)
    twice = shared(once)
    joined = keras.layers.Add(name="join")([image, twice])
    apart = keras.layers.SeparableConv2D(6, 3, padding="same", name="apart")(joined)
    both = keras.layers.Concatenate(name="both")([joined, apart])
    model = keras.Model(image, keras.layers.Dense(2, name="out")(keras.layers.Flatten(name="flat")(both)))
    sketch = zoo.sketch_of(model)
    cost = zoo.cost_of(sketch)
    assert cost.params == model.count_params()
    shared_macs = 8 * 8 * 3 * 3 * 4 * 4
    separable_macs = 8 * 8 * (3 * 3 * 4 + 4 * 6)
    assert cost.macs == 2 * shared_macs + separable_macs + 8 * 8 * 10 * 2
    assert sketch["shared_conv:2"].params == 0
    assert sketch["shared_conv:2"].inputs == ("shared_conv",)
    assert sketch["join"].inputs == ("picture", "shared_conv:2")


def test_nested_models_are_laid_open():
    from zoo.keras import keras

    inner_image = keras.Input((8, 8, 3), name="inner_image")
    inner = keras.Model(inner_image, keras.layers.Conv2D(5, 3, name="conv")(inner_image), name="inner")
    image = keras.Input((8, 8, 3), name="image")
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D(name="pool")(inner(image)))
    sketch = zoo.sketch_of(model)
    assert [op.name for op in sketch.ops] == ["image", "inner/conv", "pool"]
    assert sketch["inner/conv"].stage == "conv"
    assert zoo.cost_of(sketch).params == model.count_params()


def test_sequential_models_are_read():
    from zoo.keras import keras

    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3), keras.layers.Flatten()])
    assert zoo.cost_of(zoo.sketch_of(model)).macs == 6 * 6 * 9 * 2


def test_unknown_layers_are_listed_with_keras_own_weights():
    from zoo.keras import keras

    image = keras.Input((8, 8, 3))
    x = keras.layers.LocallyConnected2D(2, 3, name="local")(image)
    model = keras.Model(image, keras.layers.Flatten()(x))
    sketch = zoo.sketch_of(model)
    assert sketch.unknown == ["local"]
    assert zoo.cost_of(sketch).params == model.count_params()
    assert sketch["local"].shape == (6, 6, 2)


def test_frozen_weights_are_not_trainable():
    from zoo.keras import keras

    image = keras.Input((8, 8, 3))
    layer = keras.layers.Conv2D(2, 3, name="frozen")
    model = keras.Model(image, layer(image))
    layer.trainable = False
    assert zoo.sketch_of(model)["frozen"].trainable_params == 0


def test_keras_own_mobilenet_v2_is_understood_completely():
    from zoo.keras import keras

    theirs = keras.applications.MobileNetV2(weights=None, alpha=0.5, input_shape=(96, 96, 3), classes=10)
    sketch = zoo.sketch_of(theirs)
    cost, ours = zoo.cost_of(sketch), zoo.cost("mobilenet_v2", width=0.5, resolution=128, classes=10)
    assert sketch.unknown == []
    assert cost.params == theirs.count_params() == ours.params


@pytest.mark.parametrize("width", [0.35, 0.75, 1.3])
@pytest.mark.parametrize(("name", "reference"), [("mobilenet_v1", "MobileNet"), ("mobilenet_v2", "MobileNetV2")])
def test_counts_equal_keras_applications(name, reference, width):
    from zoo.keras import keras

    model = getattr(keras.applications, reference)(weights=None, alpha=width, input_shape=(128, 128, 3), classes=10)
    theirs, ours = zoo.cost_of(zoo.sketch_of(model)), zoo.cost(name, width=width, resolution=128, classes=10)
    assert (ours.params, ours.macs) == (theirs.params, theirs.macs)


def test_models_of_open_size_are_refused():
    from zoo.keras import keras

    image = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="fixed input size"):
        zoo.sketch_of(keras.Model(image, keras.layers.Conv2D(2, 3)(image)))


def test_models_that_are_not_functional_are_refused():
    from zoo.keras import keras

    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="not a built functional model"):
        zoo.sketch_of(Own())


@pytest.mark.parametrize("name", others_slow(NAMES, ("mobilenet_v1", "mobilenet_v2", "ghostnet", "resnet")))
def test_magnitude_pruning_wraps_convolutions_and_dense_layers_of_every_architecture(name):
    import tensorflow_model_optimization as tfmot

    from zoo.keras import keras

    model = zoo.build(name, **small(name))
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())

    def wrap(layer):
        prunable = isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)
        prunable = prunable and not isinstance(layer, keras.layers.DepthwiseConv2D)
        return tfmot.sparsity.keras.prune_low_magnitude(layer) if prunable else layer

    wrapped = keras.models.clone_model(copy, clone_function=wrap)
    stripped = tfmot.sparsity.keras.strip_pruning(wrapped)
    assert zoo.cost_of(zoo.sketch_of(stripped)).params == model.count_params()
    image = np.random.default_rng(0).random((2, *model.input_shape[1:]), dtype="float32")
    ours, theirs = (keras.Model(one.inputs, one.outputs).predict(image, verbose=0) for one in (stripped, model))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
