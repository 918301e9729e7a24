"""Small functional models, one for every way channels travel; tests of channel graphs and of cuts share them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def image_of(channels: int = 3) -> Any:
    from zoo.keras import keras

    return keras.Input((6, 5, channels), name="image")


def conv(x: Any, channels: int, name: str, **options: Any) -> Any:
    """A convolution with a bias, normalised and activated."""
    from zoo.keras import keras

    x = keras.layers.Conv2D(channels, 3, padding="same", name=f"{name}_conv", **options)(x)
    x = keras.layers.BatchNormalization(name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def classified(image: Any, x: Any) -> Any:
    from zoo.keras import keras

    x = keras.layers.GlobalAveragePooling2D(name="head_pool")(x)
    return keras.Model(image, keras.layers.Dense(3, name="logits")(x), name="net")


def around(make: Callable[[Any, Any], Any]) -> Callable[[], Any]:
    """A model of 8 channels before `make(layers, x)`, 8 behind it, and a classifier."""

    def build() -> Any:
        from zoo.keras import keras

        image = image_of()
        x = make(keras.layers, conv(image, 8, "stem"))
        return classified(image, conv(x, 8, "last"))

    return build


def squeeze_excite(layers: Any, x: Any) -> Any:
    gate = layers.GlobalAveragePooling2D(name="se_pool")(x)
    gate = layers.Dense(4, activation="relu", name="se_reduce")(gate)
    gate = layers.Dense(8, activation="sigmoid", name="se_expand")(gate)
    return layers.Multiply(name="se_gate")([x, layers.Reshape((1, 1, 8), name="se_map")(gate)])


def there_and_back(layers: Any, x: Any) -> Any:
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Reshape((1, 1, 8), name="to_map")(x)
    return layers.Reshape((1, 1, -1), name="again")(x)


def called_twice(layers: Any, x: Any) -> Any:
    shared = layers.Conv2D(8, 3, padding="same", activation="relu", name="shared")
    return shared(shared(x))


def slice_called_twice(layers: Any, x: Any) -> Any:
    from zoo.keras_layers import ChannelSlice

    part = ChannelSlice(2, 6, name="part")
    return layers.Concatenate(name="join")([part(x), part(conv(x, 10, "wide"))])


def activation_called_twice(layers: Any, x: Any) -> Any:
    """One activation on 8, 12 and 5 channels, as people write it."""
    relu = layers.ReLU(name="relu")
    for number, channels in enumerate((8, 12, 5)):
        x = relu(layers.Conv2D(channels, 1, name=f"step{number}")(x))
    return x


def inner_model(x: Any, channels: int, name: str) -> Any:
    from zoo.keras import keras

    image = keras.Input(x.shape[1:], name="image")
    return keras.Model(image, conv(image, channels, "a"), name=name)


def nested(layers: Any, x: Any) -> Any:
    x = inner_model(x, 10, "first")(x)
    x = layers.ReLU(name="second_a_relu")(x)  # what the nested ReLU would be called
    second = inner_model(x, 10, "second")
    return second(second(x))


def nested_bare(layers: Any, x: Any) -> Any:
    """A nested model without weights, called on maps of other channels: side by side and one behind the other."""
    from zoo.keras import keras

    image = keras.Input(x.shape[1:], name="bare_image")
    bare = keras.Model(image, layers.Dropout(0.2)(layers.ReLU()(image)), name="bare")
    one, two = bare(conv(x, 8, "one")), bare(layers.Conv2D(8, 1, name="two_conv")(x))
    x = layers.Concatenate(name="join")([conv(one, 6, "three"), conv(two, 5, "four")])
    return layers.Conv2D(7, 1, name="five_conv")(bare(layers.Conv2D(8, 1, name="six_conv")(x)))


def nested_slices(layers: Any, x: Any) -> Any:
    """A nested model that swaps the halves of what it is given, called on two maps."""
    from zoo.keras import keras, tf

    image = keras.Input(x.shape[1:], name="slices_image")
    half = keras.Model(image, tf.concat([image[..., 4:], image[..., :4]], axis=-1), name="half")
    one, two = half(conv(x, 8, "one")), half(conv(x, 8, "two"))
    return layers.Concatenate(name="join")([conv(one, 6, "three"), conv(two, 5, "four")])


def nested_shares(layers: Any, x: Any) -> Any:
    """A nested model and the outer one call the same layer."""
    from zoo.keras import keras

    shared = layers.Conv2D(8, 1, name="shared")
    image = keras.Input(x.shape[1:], name="inner_image")
    return shared(keras.Model(image, shared(image), name="inner")(x))


def sliced(layers: Any, x: Any) -> Any:
    from zoo.keras_layers import ChannelSlice

    left, right = ChannelSlice(0, 3, name="left")(x), ChannelSlice(3, 8, name="right")(x)
    return layers.Concatenate(name="join")([conv(right, 6, "right"), left])


def gathered(layers: Any, x: Any) -> Any:
    from zoo.keras_layers import ChannelGather, ChannelShuffle

    return ChannelGather([7, 0, 0, 3, 4, 1], name="gather")(ChannelShuffle(2, name="shuffle")(x))


def doubled(layers: Any, x: Any) -> Any:
    """Branches that read one tensor in several places."""
    x = layers.Concatenate(name="both")([x, x])
    return layers.Add(name="sum")([x, x])


def spread(layers: Any, x: Any) -> Any:
    """A sum of a map and of one cell."""
    cell = layers.GlobalMaxPooling2D(keepdims=True, name="cell")(x)
    return layers.Add(name="sum")([x, layers.Conv2D(8, 1, name="mixed")(cell)])


def frozen(layers: Any, x: Any) -> Any:
    made = layers.Conv2D(10, 3, name="frozen_conv")
    norm = layers.BatchNormalization(name="frozen_norm")
    x = norm(made(x))
    made.trainable = norm.trainable = False
    return x


def summed(layers: Any, x: Any) -> Any:
    """Sums and products as people write them, with a number, a map of one channel and each other."""
    from zoo.keras import tf

    y = 1.0 - conv(x, 8, "one") * 0.5 + np.linspace(0, 1, 30, dtype="float32").reshape(6, 5, 1)
    return tf.maximum(x + y, y=x / (y * y + 1.0))


def functions(layers: Any, x: Any) -> Any:
    from zoo.keras import tf

    x = tf.nn.leaky_relu(tf.nn.relu6(conv(x, 6, "one") - 0.3), alpha=0.2)
    return tf.clip_by_value(tf.nn.silu(-x), -0.2, 0.9)


def joined(layers: Any, x: Any) -> Any:
    from zoo.keras import tf

    return tf.concat([conv(x, 5, "one"), x, tf.concat([conv(x, 4, "two"), x], 3)], axis=-1)


def parts(layers: Any, x: Any) -> Any:
    """Slices as people write them: of cells, of channels, of both."""
    from zoo.keras import tf

    return tf.concat([conv(x[:, 1:, 1:, 2:-1], 6, "one"), x[:, :5][..., 1:, :3], x[:, ::-1][:, 1:, :-1, 3:]], -1)


class Ramp:
    """An initialiser of somebody's own, not registered anywhere, that fits one shape only."""

    def __init__(self, *shape: int) -> None:
        self.values = np.linspace(-1, 1, int(np.prod(shape)), dtype="float32").reshape(shape)

    def __call__(self, shape: Any, dtype: Any = None, **options: Any) -> Any:
        return np.broadcast_to(self.values, shape).copy()


class Weighted:
    """A regulariser of somebody's own with a factor for every filter."""

    def __init__(self, filters: int) -> None:
        self.factors = np.linspace(0, 1e-3, filters, dtype="float32")

    def __call__(self, kernel: Any) -> Any:
        from zoo.keras import tf

        return tf.reduce_sum(self.factors * kernel * kernel)


def started(layers: Any, x: Any) -> Any:
    """Initialisers and a regulariser that hold arrays of the layer's size, or cannot be written down."""
    from zoo.keras import keras

    ramp = np.linspace(-1, 1, 10, dtype="float32")
    constant = keras.initializers.Constant(ramp)
    x = layers.Conv2D(10, 3, bias_initializer=constant, kernel_regularizer=Weighted(10), name="constant_conv")(x)
    x = layers.BatchNormalization(beta_initializer=constant, name="constant_norm")(x)
    start = lambda shape, dtype=None: np.zeros(shape, "float32")  # noqa: E731
    x = layers.Conv2D(9, 1, kernel_initializer=Ramp(1, 1, 10, 9), bias_initializer=start, name="ramp_conv")(x)
    return layers.Conv2D(9, 1, kernel_regularizer=lambda kernel: 0.0, name="lambda_conv")(x)


def nested_dict(layers: Any, x: Any) -> Any:
    """A nested model of named inputs and outputs, called in another order than it lists them."""
    from zoo.keras import keras

    images = [keras.Input(x.shape[1:], name="thin"), keras.Input((*x.shape[1:-1], 5), name="fat")]
    ends = {"z": conv(images[0], 6, "a"), "b": conv(images[1], 4, "b")}
    made = keras.Model(images, ends, name="inner")({"thin": x, "fat": conv(x, 5, "fat")})
    return layers.Concatenate(name="join")([made["z"], made["b"]])


# All of these can be cut behind the stem; none has a barrier.
OPEN: dict[str, Callable[[], Any]] = {
    "chain": around(lambda layers, x: x),
    "residual": around(lambda layers, x: layers.Add(name="sum")([x, conv(conv(x, 6, "one"), 8, "two")])),
    "maximum": around(lambda layers, x: layers.Maximum(name="most")([x, conv(x, 8, "one")])),
    "concat": around(lambda layers, x: layers.Concatenate(name="join")([conv(x, 5, "one"), x, conv(x, 4, "two")])),
    "depthwise": around(lambda layers, x: layers.DepthwiseConv2D(3, name="depthwise")(x)),
    "multiplied": around(lambda layers, x: layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)),
    "separable": around(lambda layers, x: layers.SeparableConv2D(10, 3, depth_multiplier=2, name="apart")(x)),
    "transposed": around(lambda layers, x: layers.Conv2DTranspose(10, 3, strides=2, name="larger")(x)),
    "squeeze_excite": around(squeeze_excite),
    "reshaped": around(there_and_back),
    "grouped": around(lambda layers, x: layers.Conv2D(12, 3, groups=2, name="grouped")(x)),
    "grouped_fully": around(lambda layers, x: conv(layers.Conv2D(8, 3, groups=8, name="grouped")(x), 8, "behind")),
    "called_twice": around(called_twice),
    "slice_called_twice": around(slice_called_twice),
    "activation_called_twice": around(activation_called_twice),
    "nested": around(nested),
    "sliced": around(sliced),
    "gathered": around(gathered),
    "doubled": around(doubled),
    "spread": around(spread),
    "frozen": around(frozen),
    "nested_shares": around(nested_shares),
    "nested_bare": around(nested_bare),
    "nested_slices": around(nested_slices),
    "prelu": around(lambda layers, x: layers.PReLU(shared_axes=[1, 2], name="slope")(x)),
    "prelu_each": around(lambda layers, x: layers.PReLU(name="slope")(x)),
    "prelu_one": around(lambda layers, x: layers.PReLU(shared_axes=[1, 2, 3], name="slope")(x)),
    "norm_bare": around(lambda layers, x: layers.BatchNormalization(scale=False, center=False, name="bare")(x)),
    "norm_shift": around(lambda layers, x: layers.BatchNormalization(scale=False, name="shift")(x)),
    "dense_on_map": around(lambda layers, x: layers.Dense(10, name="pointwise")(x)),
    "summed": around(summed),
    "functions": around(functions),
    "joined": around(joined),
    "parts": around(parts),
    "started": around(started),
    "nested_dict": around(nested_dict),
    "spatial_dropout": around(lambda layers, x: layers.SpatialDropout2D(0.5, name="dropout")(x)),
    "dropout": around(lambda layers, x: layers.Dropout(0.5, name="dropout")(x)),
    "resized": around(lambda layers, x: layers.Cropping2D(1)(layers.UpSampling2D(2)(layers.ZeroPadding2D(1)(x)))),
}


def unknown(layers: Any, x: Any) -> Any:
    return layers.LayerNormalization(name="it")(x)


def own_class(layers: Any, x: Any) -> Any:
    """A layer of somebody's own that has the name of one of ours and mixes channels."""
    from zoo.keras import tf

    class HardSwish(layers.Layer):  # type: ignore[name-defined,misc]
        def call(self, x: Any) -> Any:
            return x / (1.0 + tf.reduce_sum(x * x, axis=-1, keepdims=True))

    return HardSwish(name="it")(x)


def first_channels(layers: Any, x: Any) -> Any:
    x = layers.Permute((3, 1, 2), name="turn")(x)
    x = layers.Conv2D(4, 1, data_format="channels_last", name="between")(x)
    return layers.Permute((2, 3, 1), name="turn_back")(x)


def gate_of_one(layers: Any, x: Any) -> Any:
    """A map of one channel on all channels of another, and the first of these as well."""
    gate = layers.Conv2D(1, 1, activation="sigmoid", name="mask")(x)
    x = layers.Multiply(name="it")([x, gate])
    return x + conv(x, 8, "next")[..., :1]


def own_activations(layers: Any, x: Any) -> Any:
    """Activations that mix channels, or that Keras cannot write down; one holds weights."""
    from functools import partial

    from zoo.keras import tf

    shares = lambda x: x / (1.0 + tf.reduce_sum(x * x, axis=-1, keepdims=True))  # noqa: E731
    x = layers.Conv2D(7, 3, activation=shares, name="lambda_conv")(x)
    x = layers.Conv2D(7, 1, activation=partial(tf.nn.leaky_relu, alpha=0.1), name="partial_conv")(conv(x, 6, "one"))
    x = layers.Conv2D(6, 1, activation=layers.PReLU(shared_axes=[1, 2]), name="slope_conv")(conv(x, 6, "two"))
    return layers.Activation(relu, name="named")(conv(x, 6, "three"))


def relu(x: Any) -> Any:
    """Not the one of Keras, whatever its name."""
    return x - x[..., ::-1]


# In each the layer `it` says nothing about channels, so what it reads stays; `last_conv` can still be cut.
CLOSED: dict[str, Callable[[], Any]] = {
    "layer_norm": around(unknown),
    "lambda": around(lambda layers, x: layers.Lambda(square, name="it")(x)),
    "own_class": around(own_class),
    "softmax": around(lambda layers, x: layers.Softmax(name="it")(x)),
    "softmax_activation": around(lambda layers, x: layers.Activation("softmax", name="it")(x)),
    "log_softmax": around(lambda layers, x: layers.Activation("log_softmax", name="it")(x)),
    "depthwise_softmax": around(lambda layers, x: layers.DepthwiseConv2D(3, activation="softmax", name="it")(x)),
    "norm_of_rows": around(lambda layers, x: layers.BatchNormalization(axis=1, name="it")(x)),
    "rows_joined": around(lambda layers, x: layers.Concatenate(axis=1, name="it")([x, x])),
    "rescaling": around(lambda layers, x: layers.Rescaling([0.1 * n for n in range(1, 9)], name="it")(x)),
    "reshape": around(lambda layers, x: layers.Reshape((5, 6, 8), name="it")(x)),
    "first_channels": around(first_channels),
    "wrapped": around(lambda layers, x: layers.TimeDistributed(layers.Dense(8), name="it")(x)),
}


# In these some channels are locked and others are not.
PARTLY: dict[str, Callable[[], Any]] = {"gate_of_one": around(gate_of_one), "own_activations": around(own_activations)}


def square(x: Any) -> Any:
    return x * x


def flat_head() -> Any:
    """A map of 4 x 3 cells, flattened into a dense layer."""
    from zoo.keras import keras

    image = image_of()
    x = keras.layers.MaxPooling2D((2, 2), padding="same", name="pool")(conv(image, 8, "stem"))
    x = keras.layers.Dense(10, activation="relu", name="hidden")(keras.layers.Flatten(name="flat")(x))
    return keras.Model(image, keras.layers.Dense(3, name="logits")(x), name="net")


def ways(ends: str = "list") -> Any:
    """Two images in, two answers out: one of classes, one a map."""
    from zoo.keras import keras

    images = [image_of(), keras.Input((6, 5, 1), name="depth")]
    x = keras.layers.Add(name="sum")([conv(images[0], 8, "one"), conv(images[1], 8, "two")])
    x = conv(x, 6, "three")
    cells = keras.layers.Conv2D(2, 1, name="cells")(x)
    classes = keras.layers.Dense(3, name="classes")(keras.layers.GlobalAveragePooling2D(name="pool")(x))
    answers = {"classes": classes, "cells": cells} if ends == "dict" else [classes, cells]
    return keras.Model(images, answers, name="net")


OPEN["flat_head"] = flat_head


def settle(model: Any, seed: int = 3) -> Any:
    """`model` with random weights, biases and statistics too, so that no channel is silent."""
    rng = np.random.default_rng(seed)
    values = []
    for weight in model.weights:
        value = rng.normal(0.0, 0.5, weight.shape)
        if "norm" in weight.name or "gamma" in weight.name or "moving" in weight.name:
            value = rng.uniform(0.5, 1.5, weight.shape)
        elif len(weight.shape) > 1:
            value *= 2.0 / np.sqrt(np.prod(weight.shape[:-1]))
        values.append(value.astype("float32"))
    model.set_weights(values)
    return model


def images_for(model: Any, seed: int = 1) -> Any:
    """Two images for every input of the model."""
    rng = np.random.default_rng(seed)
    images = [rng.random((2, *tensor.shape[1:]), dtype="float32") for tensor in model.inputs]
    return images if len(images) > 1 else images[0]


def choose(graph: Any, share: float, seed: int) -> list[int]:
    """A random `share` of every group, one unit at least, such that each group and each layer keeps a channel."""
    rng = np.random.default_rng(seed)
    removed: set[int] = set()
    for group in graph.groups():
        count = min(max(1, round(share * len(group))), len(group) - 1)
        removed.update(rng.permutation(group)[:count].tolist())
    return spared(graph, removed, rng)


def spared(graph: Any, removed: set[int], rng: np.random.Generator) -> list[int]:
    """`removed` without one unit of every layer that would be left empty, such as a slice of few channels."""
    for site in graph.sites.values():
        units = graph.units[site.writes]
        if removed.issuperset(units.tolist()):
            removed.discard(int(rng.choice(units)))
    return sorted(removed)
