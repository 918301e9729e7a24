"""Every row of `zoo/rules.py` against the layer it describes: shape and weights, channels, int8, operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from zoo import layers
from zoo.rules import CHANNEL_WORDS, INT8_WORDS, RULES, channel_rule
from zoo.sketches import Sketch

SHAPE = (6, 4, 8)

# One call per word of the vocabulary, on a map or on two.
VOCABULARY: dict[str, Callable[[Any, Any], Any]] = {
    "Conv2D": lambda x, y: layers.conv(x, 12, 3, name="it", stride=2, bias=True),
    "DepthwiseConv2D": lambda x, y: layers.depthwise(x, 3, name="it", stride=2, multiplier=2),
    "Dense": lambda x, y: layers.dense(x, 5, name="it"),
    "CondensingConv2D": lambda x, y: layers.condensing_conv(x, 12, name="it", groups=4, condensation=2),
    "CondensingDense": lambda x, y: layers.condensing_dense(x, 5, name="it", condensation=2),
    "LearnedGroupConv2D": lambda x, y: layers.learned_group_conv(x, 12, name="it", groups=4),
    "BatchNormalization": lambda x, y: layers.norm(x, name="it"),
    "ReLU": lambda x, y: layers.relu6(x, name="it"),
    "PReLU": lambda x, y: layers.prelu(x, name="it"),
    "HardSwish": lambda x, y: layers.hard_swish(x, name="it"),
    "HardSigmoid": lambda x, y: layers.hard_sigmoid(x, name="it"),
    "Sign": lambda x, y: layers.sign(x, name="it"),
    "Activation": lambda x, y: layers.swish(x, name="it"),
    "Add": lambda x, y: layers.add([x, y], name="it"),
    "Multiply": lambda x, y: layers.gate(x, y, name="it"),
    "Concatenate": lambda x, y: layers.concat([x, y], name="it"),
    "ChannelSlice": lambda x, y: layers.channel_slice(x, 2, 5, name="it"),
    "ChannelShuffle": lambda x, y: layers.shuffle(x, 2, name="it"),
    "ChannelGather": lambda x, y: layers.gather(x, [7, 0, 0, 3], name="it"),
    "MaxPooling2D": lambda x, y: layers.max_pool(x, 3, stride=2, name="it"),
    "AveragePooling2D": lambda x, y: layers.average_pool(x, 2, name="it"),
    "GlobalAveragePooling2D": lambda x, y: layers.global_pool(x, name="it", keep_map=True),
    "ZeroPadding2D": lambda x, y: layers.pad(x, 0, 1, 2, 3, name="it"),
    "Cropping2D": lambda x, y: layers.crop(x, 1, 2, 0, 1, name="it"),
    "CellGather": lambda x, y: layers.pick(x, [0, 2, 2, 5], [3, 1], name="it"),
    "ChannelPad": lambda x, y: layers.channel_pad(x, 2, 3, name="it"),
    "Resizing": lambda x, y: layers.resize(x, 12, 8, name="it"),
    "Flatten": lambda x, y: layers.flatten(x, name="it"),
    "Dropout": lambda x, y: layers.dropout(x, 0.3, name="it"),
}
# Layers only found in models that come from elsewhere: class name, configuration, number of inputs.
FOREIGN: dict[str, tuple[dict[str, Any], int]] = {
    "SeparableConv2D": ({"filters": 6, "kernel_size": 3, "padding": "same"}, 1),
    "Conv2DTranspose": ({"filters": 6, "kernel_size": 3, "strides": 2, "padding": "same"}, 1),
    "LeakyReLU": ({}, 1),
    "Softmax": ({}, 1),
    "Subtract": ({}, 2),
    "Average": ({}, 2),
    "Maximum": ({}, 2),
    "GlobalMaxPooling2D": ({}, 1),
    "UpSampling2D": ({"size": (2, 3)}, 1),
    "Reshape": ({"target_shape": (3, -1)}, 1),
    "SpatialDropout2D": ({"rate": 0.3}, 1),
    "Rescaling": ({"scale": 0.5, "offset": 0.25}, 1),
}
MULTIPLIES = (
    "Conv2D",
    "DepthwiseConv2D",
    "Dense",
    "CondensingConv2D",
    "CondensingDense",
    "LearnedGroupConv2D",
    "SeparableConv2D",
    "Conv2DTranspose",
)


def put(kind: str, x: Any, y: Any) -> Any:
    if kind in VOCABULARY:
        return VOCABULARY[kind](x, y)
    from zoo.keras_layers import layer_class

    config, inputs = FOREIGN[kind]
    return layer_class(kind)(name="it", **config)(x if inputs == 1 else [x, y])


def single(kind: str) -> Any:
    """A Keras model of one layer of this kind, two inputs when it merges."""
    from zoo.keras import keras

    x, y = keras.Input(SHAPE, name="x"), keras.Input(SHAPE, name="y")
    out = put(kind, x, y)
    used = [tensor for tensor in (x, y) if any(tensor is seen for seen in _list(out.node.keras_inputs))]
    return keras.Model(used, out)


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def test_every_rule_has_a_row_in_these_tests():
    assert {*VOCABULARY, *FOREIGN, "InputLayer"} == set(RULES)


def test_every_rule_uses_known_words():
    for name, rule in RULES.items():
        assert rule.channels.word in CHANNEL_WORDS, name
        assert rule.int8 in INT8_WORDS, name
        assert (rule.channels.source is not None) == (rule.channels.word in ("slice", "permute", "repeat")), name


@pytest.mark.parametrize("kind", VOCABULARY)
def test_word_sketches_what_it_builds(kind):
    sketch = Sketch()
    node = VOCABULARY[kind](sketch.input(SHAPE, "x"), sketch.input(SHAPE, "y"))
    layer = single(kind).get_layer("it")
    op = sketch["it"]
    assert (op.layer, type(layer).__name__) == (kind, kind)
    assert node.shape == op.shape == tuple(layer.output.shape[1:])
    assert op.params == layer.count_params()
    assert (op.macs > 0) == (kind in MULTIPLIES)


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_layer_is_read_with_keras_own_shape_and_weights(kind):
    from zoo import sketch_of

    model = single(kind)
    op = sketch_of(model)["it"]
    assert op.shape == tuple(model.output.shape[1:])
    assert op.params == model.count_params()
    assert (op.macs > 0) == (kind in MULTIPLIES)


def influence(model: Any) -> list[np.ndarray]:
    """For each input a matrix (in channel, out channel): does a change of the one move the other?"""
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 1.0, weight.shape).astype("float32") for weight in model.weights])
    base = [rng.uniform(0.2, 1.0, (1, *SHAPE)).astype("float32") for _ in model.inputs]
    rest = model(base, training=False).numpy()
    result = []
    for position in range(len(base)):
        rows = []
        for channel in range(SHAPE[-1]):
            changed = [array.copy() for array in base]
            changed[position][..., channel] -= 1.5  # below zero, where a sign or a ReLU changes
            moved = np.abs(model(changed, training=False).numpy() - rest) > 1e-6
            rows.append(moved.reshape(-1, moved.shape[-1]).any(axis=0))
        result.append(np.array(rows))
    return result


@pytest.mark.parametrize("kind", [kind for kind in {**VOCABULARY, **FOREIGN} if RULES[kind].channels.word != "barrier"])
def test_channel_rule_says_which_channels_depend_on_which(kind):
    model = single(kind)
    rule = channel_rule(kind, model.get_layer("it").get_config())
    matrices = influence(model)
    if rule.word == "fresh":
        assert all(matrix.all() for matrix in matrices)
    elif rule.word in ("pass", "union"):
        assert all((matrix == np.eye(SHAPE[-1], dtype=bool)).all() for matrix in matrices)
    elif rule.word == "concat":
        assert (np.vstack(matrices) == np.eye(2 * SHAPE[-1], dtype=bool)).all()
    else:
        assert rule.source is not None
        expected = np.zeros_like(matrices[0])
        for out, source in enumerate(rule.source(model.get_layer("it").get_config(), SHAPE)):
            expected[source, out] = True
        assert (matrices[0] == expected).all()


def test_layers_that_tie_channels_together_say_so():
    assert channel_rule("Conv2D", {"groups": 2}).word == "grouped"
    assert channel_rule("Activation", {"activation": "softmax"}).word == "barrier"
    assert channel_rule("SomethingElse", {}).word == "barrier"


def tflite(model: Any, *, int8: bool) -> tuple[set[str], set[str]]:
    """The operators and the tensor types of the converted file, static batch 1."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from zoo.keras import tf

    signature = [tf.TensorSpec((1, *tensor.shape[1:]), tf.float32) for tensor in model.inputs]
    traced = tf.function(lambda *x: model(list(x) if len(x) > 1 else x[0], training=False), autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced.get_concrete_function(*signature)])
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    interpreter = Interpreter(
        model_content=converter.convert(),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    interpreter.invoke()
    operators = {details["op_name"] for details in interpreter._get_ops_details()}
    return operators, {np.dtype(details["dtype"]).name for details in interpreter.get_tensor_details()}


@pytest.mark.parametrize("kind", {**VOCABULARY, **FOREIGN})
def test_layer_becomes_the_operators_it_declares(kind):
    operators, _ = tflite(single(kind), int8=False)
    assert operators <= set(RULES[kind].operators)


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")
@pytest.mark.parametrize("kind", [kind for kind in {**VOCABULARY, **FOREIGN} if RULES[kind].int8 != "no"])
def test_int8_aware_layer_converts_without_a_float_tensor(kind):
    from zoo import int8_aware
    from zoo.keras import keras

    image = keras.Input((6, 4, 3), name="image")
    activated = kind != "BatchNormalization"  # which must stand directly behind a bare convolution
    x = layers.conv(image, 8, name="before_conv", bias=activated)
    y = layers.conv(image, 8, name="beside_conv", bias=True)
    if kind == "Dense":
        x = layers.global_pool(x, name="before_pool")
    model = keras.Model(image, put(kind, x, y))
    operators, types = tflite(int8_aware.apply(model), int8=True)
    assert types <= {"int8", "int32"}
    scaffold = {"CONV_2D", "MEAN", "QUANTIZE"}
    assert operators <= scaffold | set(RULES[kind].operators)


@pytest.mark.parametrize("shape", [(4, 5, 9), (9,)])
def test_a_slice_of_channels_and_its_gradient_are_the_same_while_training(shape):
    from zoo.keras import tf
    from zoo.keras_layers import ChannelSlice

    x = tf.constant(np.random.default_rng(0).standard_normal((2, *shape)).astype("float32"))
    layer = ChannelSlice(2, 6)
    found = []
    for training in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(x)
            part = layer(x, training=training)
            loss = tf.reduce_sum(part**3)
        found.append((part.numpy(), tape.gradient(loss, x).numpy()))
    (part, gradient), (same_part, same_gradient) = found
    np.testing.assert_array_equal(part, x.numpy()[..., 2:6])
    np.testing.assert_array_equal(gradient[..., 2:6], (3 * x**2).numpy()[..., 2:6])
    assert not gradient[..., :2].any()
    assert not gradient[..., 6:].any()
    np.testing.assert_array_equal(same_part, part)
    np.testing.assert_array_equal(same_gradient, gradient)
