"""The layer vocabulary: the only words architectures are written in.

Every function reads its input two ways. Given a Keras tensor it adds the Keras layer; given a sketch `Node` it writes
down what the layer would be. Both come from the same class name and configuration, so they cannot drift apart. Maps
are `(batch, height, width, channels)` for Keras and `(height, width, channels)` for a sketch. Padding is `same`
unless said.

What each layer means for cost, pruning, int8-aware training and export stands in `zoo/rules.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.arithmetic import Shape
from zoo.sketches import Node

# Paper values (0.999, 0.9997) need thousands of steps before validation means anything; a person's own data set often
# allows a few hundred. A house choice, measured on 768 images in 24 steps an epoch: with 0.9 the validation accuracy of
# the three first architectures stood at 0.99 after 3 epochs, with 0.95 after 5, training accuracy being equal.
NORM_MOMENTUM = 0.9

Tensor = Any  # a Keras tensor or a sketch Node

AFFINE = "image_affine"  # the layer in front of networks with published weights: what was done to their images


def shape_of(x: Tensor) -> Shape:
    """The shape without the batch axis."""
    return x.shape if isinstance(x, Node) else tuple(int(size) for size in x.shape[1:])


def channels_of(x: Tensor) -> int:
    """The number of channels."""
    return shape_of(x)[-1]


def _put(layer: str, inputs: Tensor | Sequence[Tensor], name: str, **config: Any) -> Tensor:
    nodes: list[Any] = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    if isinstance(nodes[0], Node):
        return nodes[0].sketch.add(layer, name, config, nodes)
    from zoo.keras_layers import layer_class

    return layer_class(layer)(name=name, **config)(inputs)


def conv(
    x: Tensor,
    channels: int,
    kernel: int = 1,
    *,
    name: str,
    stride: int = 1,
    groups: int = 1,
    dilation: int = 1,
    bias: bool = False,
    start: str | dict[str, Any] = "glorot_uniform",
    bias_start: float = 0.0,
    padding: str = "same",
) -> Tensor:
    """A convolution to `channels`, without activation. `groups` is the native grouped form (see blocks/grouped.py).

    `start` is what Keras draws untrained weights with, `bias_start` what an untrained bias holds.
    """
    drawn: dict[str, Any] = {} if start == "glorot_uniform" else {"kernel_initializer": start}
    if bias_start:
        drawn["bias_initializer"] = {"class_name": "Constant", "config": {"value": bias_start}}
    return _put(
        "Conv2D",
        x,
        name,
        filters=channels,
        kernel_size=(kernel, kernel),
        strides=(stride, stride),
        padding=padding,
        dilation_rate=(dilation, dilation),
        groups=groups,
        use_bias=bias,
        **drawn,
    )


def depthwise(
    x: Tensor,
    kernel: int = 3,
    *,
    name: str,
    stride: int = 1,
    dilation: int = 1,
    multiplier: int = 1,
    bias: bool = False,
    padding: str = "same",
) -> Tensor:
    """A convolution of every channel by itself."""
    return _put(
        "DepthwiseConv2D",
        x,
        name,
        kernel_size=(kernel, kernel),
        strides=(stride, stride),
        padding=padding,
        dilation_rate=(dilation, dilation),
        depth_multiplier=multiplier,
        use_bias=bias,
    )


def affine(x: Tensor, *, name: str) -> Tensor:
    """x times a scale plus an offset, by channel: a 1x1 depthwise convolution that is not trained, at first 1 and 0."""
    return _put(
        "DepthwiseConv2D",
        x,
        name,
        kernel_size=(1, 1),
        strides=(1, 1),
        padding="same",
        dilation_rate=(1, 1),
        depth_multiplier=1,
        use_bias=True,
        depthwise_initializer="ones",
        trainable=False,
    )


def dense(x: Tensor, units: int, *, name: str, bias: bool = True) -> Tensor:
    """A dense layer, without activation."""
    return _put("Dense", x, name, units=units, use_bias=bias)


def condensing_conv(x: Tensor, channels: int, *, name: str, groups: int, condensation: int) -> Tensor:
    """A 1x1 convolution whose groups each give up input channels while training, until 1/condensation is left."""
    return _put("CondensingConv2D", x, name, filters=channels, groups=groups, condensation=condensation)


def condensing_dense(x: Tensor, units: int, *, name: str, condensation: int) -> Tensor:
    """A dense layer that gives up inputs while training, until 1/condensation is left."""
    return _put("CondensingDense", x, name, units=units, condensation=condensation)


def learned_group_conv(x: Tensor, channels: int, *, name: str, groups: int) -> Tensor:
    """A 1x1 convolution that learns which input and output channels belong to which group."""
    return _put("LearnedGroupConv2D", x, name, filters=channels, groups=groups)


def norm(x: Tensor, *, name: str, epsilon: float = 1e-3, momentum: float = NORM_MOMENTUM) -> Tensor:
    """Batch normalisation. Put it directly behind a bare convolution: only there it folds and trains int8-aware."""
    return _put("BatchNormalization", x, name, epsilon=epsilon, momentum=momentum)


def relu(x: Tensor, *, name: str) -> Tensor:
    """max(x, 0)."""
    return _put("ReLU", x, name)


def relu6(x: Tensor, *, name: str) -> Tensor:
    """x between 0 and 6."""
    return _put("ReLU", x, name, max_value=6.0)


def prelu(x: Tensor, *, name: str) -> Tensor:
    """x, or slope times x below 0; one slope per channel, so that weights do not depend on the resolution."""
    return _put("PReLU", x, name, shared_axes=[1, 2] if len(shape_of(x)) == 3 else None)


def hard_swish(x: Tensor, *, name: str) -> Tensor:
    """x * relu6(x + 3) / 6."""
    return _put("HardSwish", x, name)


def swish(x: Tensor, *, name: str) -> Tensor:
    """x * sigmoid(x)."""
    return _put("Activation", x, name, activation="swish")


def sigmoid(x: Tensor, *, name: str) -> Tensor:
    """1 / (1 + exp(-x))."""
    return _put("Activation", x, name, activation="sigmoid")


def hard_sigmoid(x: Tensor, *, name: str) -> Tensor:
    """relu6(x + 3) / 6 (not Keras' own hard sigmoid, which has another slope)."""
    return _put("HardSigmoid", x, name)


def sign(x: Tensor, *, name: str) -> Tensor:
    """1 where x is at least 0, else -1: what a binary convolution reads."""
    return _put("Sign", x, name)


def add(xs: Sequence[Tensor], *, name: str) -> Tensor:
    """The sum of maps of one shape."""
    return _put("Add", list(xs), name)


def gate(x: Tensor, weights: Tensor, *, name: str) -> Tensor:
    """x times `weights`, of shape (1, 1, channels) or that of x: the multiply of squeeze-and-excitation."""
    return _put("Multiply", [x, weights], name)


def concat(xs: Sequence[Tensor], *, name: str) -> Tensor:
    """The channels of all maps, in order."""
    return _put("Concatenate", list(xs), name)


def channel_slice(x: Tensor, start: int, stop: int, *, name: str) -> Tensor:
    """Channels `start` up to `stop`."""
    return _put("ChannelSlice", x, name, start=start, stop=stop)


def split(x: Tensor, parts: int, *, name: str) -> list[Tensor]:
    """`parts` equal slices of the channels, named NAME1, NAME2, ...

    Slices are single-output layers because the int8-aware toolkit cannot follow a layer with several outputs.

    Raises: ValueError when `parts` does not divide the channels.
    """
    channels = channels_of(x)
    if parts < 1 or channels % parts:
        raise ValueError(f"{name}: {channels} channels cannot be split into {parts} equal parts")
    size = channels // parts
    return [channel_slice(x, part * size, (part + 1) * size, name=f"{name}{part + 1}") for part in range(parts)]


def shuffle(x: Tensor, groups: int, *, name: str) -> Tensor:
    """Channels dealt out across groups: 6 channels in 2 groups become 0, 3, 1, 4, 2, 5."""
    return _put("ChannelShuffle", x, name, groups=groups)


def gather(x: Tensor, indices: Sequence[int], *, name: str) -> Tensor:
    """The channels listed in `indices`; the list is data, not a weight."""
    return _put("ChannelGather", x, name, indices=[int(index) for index in indices])


def max_pool(x: Tensor, window: int, *, name: str, stride: int | None = None, padding: str = "same") -> Tensor:
    """The maximum of each window."""
    return _put("MaxPooling2D", x, name, pool_size=(window, window), strides=(stride or window,) * 2, padding=padding)


def average_pool(x: Tensor, window: int, *, name: str, stride: int | None = None, padding: str = "same") -> Tensor:
    """The mean of each window; cells outside the map do not count (unlike PyTorch's)."""
    return _put(
        "AveragePooling2D", x, name, pool_size=(window, window), strides=(stride or window,) * 2, padding=padding
    )


def global_pool(x: Tensor, *, name: str, keep_map: bool = False) -> Tensor:
    """The mean of each channel: (channels,), or (1, 1, channels) with `keep_map`."""
    return _put("GlobalAveragePooling2D", x, name, keepdims=keep_map)


def pad(x: Tensor, top: int, bottom: int, left: int, right: int, *, name: str) -> Tensor:
    """Zeros around the map."""
    return _put("ZeroPadding2D", x, name, padding=((top, bottom), (left, right)))


def crop(x: Tensor, top: int, bottom: int, left: int, right: int, *, name: str) -> Tensor:
    """The map without its outer cells."""
    return _put("Cropping2D", x, name, cropping=((top, bottom), (left, right)))


def pick(x: Tensor, rows: Sequence[int], columns: Sequence[int], *, name: str) -> Tensor:
    """The cells where the listed rows and columns cross, in that order; the lists are data, not weights."""
    return _put("CellGather", x, name, rows=[int(row) for row in rows], columns=[int(column) for column in columns])


def channel_pad(x: Tensor, before: int, after: int, *, name: str) -> Tensor:
    """Channels of zeros in front of and behind those of `x`."""
    return _put("ChannelPad", x, name, before=before, after=after)


def resize(x: Tensor, height: int, width: int, *, name: str, method: str = "bilinear") -> Tensor:
    """The map at `height` x `width`; `method` is bilinear (half-pixel centres) or nearest."""
    return _put("Resizing", x, name, height=height, width=width, interpolation=method)


def flatten(x: Tensor, *, name: str) -> Tensor:
    """All numbers in one row; channels vary fastest."""
    return _put("Flatten", x, name)


def dropout(x: Tensor, rate: float, *, name: str) -> Tensor:
    """Zeros a share `rate` of the numbers while training. A rate of 0 adds no layer."""
    return _put("Dropout", x, name, rate=rate) if rate > 0 else x


def drop_path(x: Tensor, rate: float, *, name: str) -> Tensor:
    """Zeros all of a share `rate` of the images while training: stochastic depth. A rate of 0 adds no layer.

    Source: arXiv:1603.09382; put it on the branch in front of an addition.
    """
    shape = [None] + [1] * len(shape_of(x))
    return _put("Dropout", x, name, rate=rate, noise_shape=shape) if rate > 0 else x
