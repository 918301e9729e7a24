"""One row per layer class: everything the workbench must know about it, declared in one place.

Four rules each:

- `facts`: the sketch rule, a function of `zoo/arithmetic.py`.
- `channels`: what the layer does to channels when some are cut away. `fresh`: makes its own. `grouped`: makes its
  own, but every group must keep equally many in and out. `pass`: output channel i is input channel i. `union`: all
  inputs must lose the same channels. `concat`: inputs one after the other. `slice`, `permute`, `repeat`: output
  channel i is input channel `source(config, shape)[i]`. `barrier`: nothing is known, so nothing before it may be cut.
- `int8`: how int8-aware training treats it. `default`: the toolkit's own registry knows it. `output`: only its output
  gets a range. `slopes`: that, and its slopes by channel are rounded. `fixed`: ranges known beforehand, nothing to
  learn. `none`: no range of its own, because the TFLite kernel demands the same scale on both sides. `no`: it cannot be
  trained int8-aware.
- `operators`: the TFLite operators it may become (alone or fused away), batch 1. Empty means it leaves no operator.

Adding a layer to the vocabulary = a function in `zoo/layers.py`, a row here, a row in `tests/zoo/test_rules.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from zoo import arithmetic as a
from zoo.arithmetic import Config, Facts, Shape, Shapes

CHANNEL_WORDS = ("fresh", "grouped", "pass", "union", "concat", "slice", "permute", "repeat", "barrier")
# What an activation by name may be without looking at more than one channel at a time.
ELEMENTWISE = (
    "elu", "exponential", "gelu", "hard_sigmoid", "hard_swish", "leaky_relu", "linear", "mish", "relu", "relu6", "selu",
    "sigmoid", "silu", "softplus", "softsign", "swish", "tanh",
)  # fmt: skip
INT8_WORDS = ("default", "output", "slopes", "fixed", "none", "no")


@dataclass(frozen=True)
class Channels:
    """A channel rule: its word and, where channels change place, the input channel behind each output channel."""

    word: str
    source: Callable[[Config, Shape], list[int]] | None = None


@dataclass(frozen=True)
class Rule:
    """What the workbench knows about one layer class; the words are explained at the top of this file."""

    kind: str
    facts: Callable[[Config, Shapes], Facts]
    channels: Channels
    int8: str
    operators: tuple[str, ...]
    # True when the layer costs no memory traffic at inference: identities and views.
    view: bool = False


def shuffle_order(groups: int, channels: int) -> list[int]:
    """The input channel behind each output channel of a shuffle: 6 channels in 2 groups give 0, 3, 1, 4, 2, 5.

    Source: arXiv:1707.01083, section 3.1 (reshape to groups x rest, transpose, flatten).
    """
    rest = channels // groups
    return [group * rest + place for place in range(rest) for group in range(groups)]


FRESH, PASS, UNION = Channels("fresh"), Channels("pass"), Channels("union")
GROUPED, CONCAT, BARRIER = Channels("grouped"), Channels("concat"), Channels("barrier")
SLICE = Channels("slice", lambda config, shape: list(range(config["start"], config["stop"])))
SHUFFLE = Channels("permute", lambda config, shape: shuffle_order(config["groups"], shape[-1]))
GATHER = Channels("repeat", lambda config, shape: list(config["indices"]))
DEPTHWISE = Channels(
    "repeat",
    lambda config, shape: [channel for channel in range(shape[-1]) for _ in range(config.get("depth_multiplier", 1))],
)
# Channels are the last axis, so a flattened map repeats the list of channels once per position.
FLATTEN = Channels("repeat", lambda config, shape: list(range(shape[-1])) * prod(shape[:-1]))

RULES: dict[str, Rule] = {
    "InputLayer": Rule("input", a.same_shape, FRESH, "none", (), view=True),
    "Conv2D": Rule("conv", a.convolution, FRESH, "default", ("CONV_2D",)),
    "DepthwiseConv2D": Rule("depthwise", a.depthwise, DEPTHWISE, "default", ("DEPTHWISE_CONV_2D",)),
    "SeparableConv2D": Rule("separable", a.separable, FRESH, "default", ("DEPTHWISE_CONV_2D", "CONV_2D")),
    "Conv2DTranspose": Rule("transposed", a.transposed, FRESH, "default", ("TRANSPOSE_CONV",)),
    "Dense": Rule("dense", a.dense, FRESH, "default", ("FULLY_CONNECTED",)),
    # Cutting a channel would leave groups of unequal size, and a mask between kernel and convolution has no int8 form:
    # `zoo/deploy.py` turns these three into plain words first.
    "CondensingConv2D": Rule("learned_conv", a.condensing_convolution, BARRIER, "no", ("CONV_2D",)),
    "CondensingDense": Rule("learned_dense", a.condensing_dense, BARRIER, "no", ("FULLY_CONNECTED",)),
    "LearnedGroupConv2D": Rule("learned_conv", a.learned_group_convolution, BARRIER, "no", ("CONV_2D",)),
    # Folds into the convolution before it; where none is, int8-aware training gets one (`zoo/int8_form.py`).
    "BatchNormalization": Rule("norm", a.normalisation, PASS, "default", ("MUL", "ADD")),
    "ReLU": Rule("relu", a.same_shape, PASS, "default", ("RELU", "RELU6", "RELU_0_TO_1")),
    "LeakyReLU": Rule("leaky_relu", a.same_shape, PASS, "default", ("LEAKY_RELU",)),
    "PReLU": Rule("prelu", a.prelu, PASS, "slopes", ("PRELU",)),
    "HardSwish": Rule("hard_swish", a.same_shape, PASS, "output", ("HARD_SWISH",)),
    "HardSigmoid": Rule("hard_sigmoid", a.same_shape, PASS, "fixed", ("ADD", "RELU6", "MUL")),
    "Sign": Rule("sign", a.same_shape, PASS, "no", ("GREATER_EQUAL", "SELECT_V2")),
    "Activation": Rule(
        "activation", a.same_shape, PASS, "default", ("RELU", "RELU6", "LOGISTIC", "MUL", "TANH", "SOFTMAX")
    ),
    "Softmax": Rule("softmax", a.same_shape, BARRIER, "default", ("SOFTMAX",)),
    "Add": Rule("add", a.broadcast, UNION, "default", ("ADD",)),
    "Subtract": Rule("subtract", a.broadcast, UNION, "output", ("SUB",)),
    "Average": Rule("average", a.broadcast, UNION, "no", ("ADD", "MUL")),
    "Maximum": Rule("maximum", a.broadcast, UNION, "output", ("MAXIMUM",)),
    "Multiply": Rule("gate", a.broadcast, UNION, "output", ("MUL",)),
    "Concatenate": Rule("concat", a.concatenation, CONCAT, "default", ("CONCATENATION",)),
    "ChannelSlice": Rule("slice", a.channel_slice, SLICE, "none", ("STRIDED_SLICE",)),
    "ChannelShuffle": Rule("shuffle", a.channel_shuffle, SHUFFLE, "none", ("RESHAPE", "TRANSPOSE")),
    "ChannelGather": Rule("gather", a.channel_gather, GATHER, "none", ("GATHER",)),
    "MaxPooling2D": Rule("max_pool", a.pooling, PASS, "default", ("MAX_POOL_2D",)),
    # The toolkit would give it a range; the converter then fails where that of its input is another (TensorFlow 2.21).
    "AveragePooling2D": Rule("average_pool", a.pooling, PASS, "none", ("AVERAGE_POOL_2D",)),
    "GlobalAveragePooling2D": Rule("global_pool", a.global_pooling, PASS, "default", ("MEAN",)),
    "GlobalMaxPooling2D": Rule("global_max_pool", a.global_pooling, PASS, "default", ("REDUCE_MAX",)),
    "ZeroPadding2D": Rule("pad", a.padding, PASS, "default", ("PAD",)),
    "Cropping2D": Rule("crop", a.cropping, PASS, "none", ("STRIDED_SLICE",)),
    "CellGather": Rule("gather", a.cell_gather, PASS, "none", ("GATHER",)),
    # The zeros are channels of nobody, so what feeds them cannot be cut by the words above.
    "ChannelPad": Rule("channel_pad", a.channel_padding, BARRIER, "none", ("PAD",)),
    "Resizing": Rule("resize", a.resizing, PASS, "none", ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")),
    "UpSampling2D": Rule("upsample", a.upsampling, PASS, "default", ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")),
    "Flatten": Rule("flatten", a.flattening, FLATTEN, "default", ("RESHAPE",), view=True),
    "Reshape": Rule("reshape", a.reshaping, BARRIER, "default", ("RESHAPE",), view=True),
    "Dropout": Rule("dropout", a.same_shape, PASS, "default", (), view=True),
    "SpatialDropout2D": Rule("dropout", a.same_shape, PASS, "default", (), view=True),
    "Rescaling": Rule("rescale", a.same_shape, PASS, "no", ("MUL", "ADD")),
}


def channel_rule(layer: str, config: Config) -> Channels:
    """The channel rule of one layer as configured; a layer without a row is a barrier.

    A grouped convolution ties its channels together; a softmax mixes them, so losing one changes the others. A layer
    that makes channels keeps its word with a softmax inside: what it reads may go, what it makes may not.
    """
    if layer not in RULES:
        return BARRIER
    if layer == "Conv2D" and config.get("groups", 1) > 1:
        return GROUPED
    channels = RULES[layer].channels
    return BARRIER if channels.word != "fresh" and mixes_channels(config) else channels


def mixes_channels(config: Config) -> bool:
    """Whether the activation inside a layer is one that mixes channels, or may be: one we do not know."""
    return (config.get("activation") or "linear") not in ELEMENTWISE
