"""Shapes, weights and multiply-adds of single layers, in closed form from a layer's Keras configuration.

Every function takes `(config, shapes)`: the layer's configuration in Keras' own words and the shapes of its inputs
without the batch axis, `(height, width, channels)` or `(features,)`. It returns `Facts`. Which function belongs to
which layer is declared in `zoo/rules.py`.

Counting: multiply-adds of convolutions and dense layers at batch 1; biases, normalisation, activations, pooling,
resizing and element-wise products count 0. `trainable` holds weights, biases, normalisation scales and shifts and
PReLU slopes; `fixed` holds the moving statistics of the normalisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

Shape = tuple[int, ...]
Config = Mapping[str, Any]
Shapes = Sequence[Shape]


@dataclass(frozen=True)
class Facts:
    """What one layer would be: output shape, weights (two kinds), multiply-adds, elements read if not the whole
    input."""

    shape: Shape
    trainable: int = 0
    fixed: int = 0
    macs: int = 0
    read: int | None = None


def pair(value: Any) -> tuple[int, int]:
    """`value` as (rows, columns): Keras allows one number for both."""
    if isinstance(value, int):
        return value, value
    rows, columns = value
    return int(rows), int(columns)


def extent(size: int, kernel: int, stride: int, padding: str, dilation: int = 1) -> int:
    """Output length of a window sliding over `size` cells.

    Raises: ValueError when a window without padding does not fit.
    """
    if padding == "same":
        return -(-size // stride)
    reach = (kernel - 1) * dilation + 1
    if size < reach:
        raise ValueError(f"a window of {reach} cells does not fit a map of {size}; use a larger resolution or padding")
    return (size - reach) // stride + 1


def _window(config: Config, shape: Shape, kernel: tuple[int, int]) -> tuple[int, int]:
    strides = pair(config.get("strides") or kernel)
    dilation = pair(config.get("dilation_rate", 1))
    padding = config.get("padding", "valid")
    return (
        extent(shape[0], kernel[0], strides[0], padding, dilation[0]),
        extent(shape[1], kernel[1], strides[1], padding, dilation[1]),
    )


def convolution(config: Config, shapes: Shapes) -> Facts:
    """A convolution, grouped or not: `out area x kernel area x in/groups x out` multiply-adds."""
    (shape,) = shapes
    kernel, out, groups = pair(config["kernel_size"]), config["filters"], config.get("groups", 1)
    if shape[-1] % groups or out % groups:
        raise ValueError(f"{groups} groups must divide the {shape[-1]} input and {out} output channels")
    height, width = _window(config, shape, kernel)
    weights = prod(kernel) * (shape[-1] // groups) * out
    bias = out if config.get("use_bias", True) else 0
    return Facts((height, width, out), trainable=weights + bias, macs=height * width * weights)


def depthwise(config: Config, shapes: Shapes) -> Facts:
    """A depthwise convolution with `depth_multiplier` outputs per channel."""
    (shape,) = shapes
    kernel = pair(config["kernel_size"])
    height, width = _window(config, shape, kernel)
    out = shape[-1] * config.get("depth_multiplier", 1)
    weights = prod(kernel) * out
    bias = out if config.get("use_bias", True) else 0
    return Facts((height, width, out), trainable=weights + bias, macs=height * width * weights)


def separable(config: Config, shapes: Shapes) -> Facts:
    """A depthwise convolution and a 1x1 convolution in one layer; both halves count."""
    first = depthwise({**config, "use_bias": False}, shapes)
    second = convolution(
        {"kernel_size": 1, "filters": config["filters"], "strides": 1, "use_bias": config.get("use_bias", True)},
        [first.shape],
    )
    return Facts(second.shape, trainable=first.trainable + second.trainable, macs=first.macs + second.macs)


def transposed(config: Config, shapes: Shapes) -> Facts:
    """A transposed convolution: every input cell meets every weight once."""
    (shape,) = shapes
    if config.get("output_padding") is not None or pair(config.get("dilation_rate", 1)) != (1, 1):
        raise ValueError("transposed convolutions with output_padding or dilation are not sketched")
    kernel, strides = pair(config["kernel_size"]), pair(config.get("strides", 1))
    slack = [
        max(k - s, 0) if config.get("padding", "valid") == "valid" else 0 for k, s in zip(kernel, strides, strict=True)
    ]
    out = config["filters"]
    weights = prod(kernel) * shape[-1] * out
    bias = out if config.get("use_bias", True) else 0
    size = (shape[0] * strides[0] + slack[0], shape[1] * strides[1] + slack[1], out)
    return Facts(size, trainable=weights + bias, macs=shape[0] * shape[1] * weights)


def dense(config: Config, shapes: Shapes) -> Facts:
    """A dense layer, applied to every row when the input has more than one axis."""
    (shape,) = shapes
    out = config["units"]
    weights = shape[-1] * out
    bias = out if config.get("use_bias", True) else 0
    return Facts((*shape[:-1], out), trainable=weights + bias, macs=prod(shape[:-1]) * weights)


def condensing_convolution(config: Config, shapes: Shapes) -> Facts:
    """A 1x1 convolution and its mask, one number per input channel and group; computed whole until it is deployed."""
    (shape,) = shapes
    groups, condensation, out = config["groups"], config["condensation"], config["filters"]
    if out % groups or shape[-1] % condensation:
        raise ValueError(
            f"{groups} groups must divide the {out} output channels and the condensation factor {condensation} the "
            f"{shape[-1]} input channels"
        )
    whole = convolution({"kernel_size": 1, "filters": out, "use_bias": False}, shapes)
    return replace(whole, fixed=shape[-1] * groups)


def condensing_dense(config: Config, shapes: Shapes) -> Facts:
    """A dense layer and its mask, one number per input; computed whole until it is deployed."""
    (shape,) = shapes
    if shape[-1] % config["condensation"]:
        raise ValueError(f"the condensation factor {config['condensation']} must divide the {shape[-1]} inputs")
    return replace(dense(config, shapes), fixed=shape[-1])


def learned_group_convolution(config: Config, shapes: Shapes) -> Facts:
    """A 1x1 convolution and its group logits, trained as well; computed whole until it is deployed."""
    (shape,) = shapes
    whole = convolution({"kernel_size": 1, "filters": config["filters"], "use_bias": False}, shapes)
    return replace(whole, trainable=whole.trainable + config["groups"] * (shape[-1] + config["filters"]))


def normalisation(config: Config, shapes: Shapes) -> Facts:
    """Batch normalisation: scale and shift are trained, moving mean and variance are not."""
    (shape,) = shapes
    trained = int(config.get("scale", True)) + int(config.get("center", True))
    return Facts(shape, trainable=trained * shape[-1], fixed=2 * shape[-1])


def same_shape(config: Config, shapes: Shapes) -> Facts:
    """A layer without weights that keeps the shape."""
    return Facts(tuple(shapes[0]))


def prelu(config: Config, shapes: Shapes) -> Facts:
    """One slope per channel when the spatial axes are shared, else one per position."""
    (shape,) = shapes
    shared = set(config.get("shared_axes") or ())
    return Facts(shape, trainable=prod(1 if axis + 1 in shared else size for axis, size in enumerate(shape)))


def broadcast(config: Config, shapes: Shapes) -> Facts:
    """An element-wise merge; a (1, 1, channels) input meets every position of the other."""
    rank = max(len(shape) for shape in shapes)
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    sizes = tuple(max(column) for column in zip(*padded, strict=True))
    for shape in padded:
        if any(size not in (1, whole) for size, whole in zip(shape, sizes, strict=True)):
            raise ValueError(f"shapes {', '.join(map(str, shapes))} cannot be merged element by element")
    return Facts(sizes)


def concatenation(config: Config, shapes: Shapes) -> Facts:
    """Channels of all inputs, one after the other."""
    axis = config.get("axis", -1)
    if axis not in (-1, len(shapes[0])):
        raise ValueError(f"only channels are concatenated here, not axis {axis}")
    if len({shape[:-1] for shape in map(tuple, shapes)}) != 1:
        raise ValueError(f"maps of different size {', '.join(map(str, shapes))} cannot be concatenated")
    return Facts((*shapes[0][:-1], sum(shape[-1] for shape in shapes)))


def channel_slice(config: Config, shapes: Shapes) -> Facts:
    """Channels start to stop; only those are read."""
    (shape,) = shapes
    start, stop = config["start"], config["stop"]
    if not 0 <= start < stop <= shape[-1]:
        raise ValueError(f"channels {start} to {stop} are not among the {shape[-1]} there are")
    out = (*shape[:-1], stop - start)
    return Facts(out, read=prod(out))


def channel_shuffle(config: Config, shapes: Shapes) -> Facts:
    """A reordering of the channels of a map; the groups must divide them."""
    (shape,) = shapes
    if len(shape) != 3:
        raise ValueError(f"a shuffle needs a map (height, width, channels), not {shape}")
    if config["groups"] < 1 or shape[-1] % config["groups"]:
        raise ValueError(f"{config['groups']} groups do not divide {shape[-1]} channels")
    return Facts(shape)


def channel_gather(config: Config, shapes: Shapes) -> Facts:
    """The listed channels, in the listed order; repeats allowed."""
    (shape,) = shapes
    indices = config["indices"]
    if not indices or min(indices) < 0 or max(indices) >= shape[-1]:
        raise ValueError(f"channel indices must lie in 0..{shape[-1] - 1}, at least one; received {indices}")
    out = (*shape[:-1], len(indices))
    return Facts(out, read=prod(out))


def pooling(config: Config, shapes: Shapes) -> Facts:
    """A maximum or an average over windows."""
    (shape,) = shapes
    return Facts((*_window(config, shape, pair(config["pool_size"])), shape[-1]))


def global_pooling(config: Config, shapes: Shapes) -> Facts:
    """One number per channel."""
    (shape,) = shapes
    return Facts((1, 1, shape[-1]) if config.get("keepdims") else (shape[-1],))


def padding(config: Config, shapes: Shapes) -> Facts:
    """Zeros around the map, `((top, bottom), (left, right))`."""
    (shape,) = shapes
    (top, bottom), (left, right) = config["padding"]
    return Facts((shape[0] + top + bottom, shape[1] + left + right, shape[2]))


def cropping(config: Config, shapes: Shapes) -> Facts:
    """The map without `((top, bottom), (left, right))` of its outer cells; only what is left is read."""
    (shape,) = shapes
    (top, bottom), (left, right) = config["cropping"]
    out = (shape[0] - top - bottom, shape[1] - left - right, shape[2])
    if min(out) < 1:
        raise ValueError(f"nothing of a map of {shape[0]}x{shape[1]} is left after cropping; use a larger resolution")
    return Facts(out, read=prod(out))


def cell_gather(config: Config, shapes: Shapes) -> Facts:
    """The cells where the listed rows and columns cross; repeats allowed. Only those are read."""
    (shape,) = shapes
    for word, size in (("rows", shape[0]), ("columns", shape[1])):
        places = config[word]
        if not places or min(places) < 0 or max(places) >= size:
            raise ValueError(f"{word} must lie in 0..{size - 1}, at least one; received {places}")
    out = (len(config["rows"]), len(config["columns"]), shape[2])
    return Facts(out, read=prod(out))


def channel_padding(config: Config, shapes: Shapes) -> Facts:
    """Channels of zeros before and after those of the input."""
    (shape,) = shapes
    if config["before"] < 0 or config["after"] < 0:
        raise ValueError(f"{config['before']} and {config['after']} channels cannot be added; use 0 or more")
    return Facts((*shape[:-1], config["before"] + shape[-1] + config["after"]))


def resizing(config: Config, shapes: Shapes) -> Facts:
    """A map resized to `height` x `width`."""
    (shape,) = shapes
    return Facts((config["height"], config["width"], shape[-1]))


def upsampling(config: Config, shapes: Shapes) -> Facts:
    """A map enlarged by whole factors."""
    (shape,) = shapes
    rows, columns = pair(config["size"])
    return Facts((shape[0] * rows, shape[1] * columns, shape[-1]))


def flattening(config: Config, shapes: Shapes) -> Facts:
    """All numbers in one row."""
    (shape,) = shapes
    return Facts((prod(shape),), read=0)


def reshaping(config: Config, shapes: Shapes) -> Facts:
    """The same numbers in another shape; one axis may be -1."""
    (shape,) = shapes
    target = list(config["target_shape"])
    if -1 in target:
        target[target.index(-1)] = prod(shape) // -prod(target)
    return Facts(tuple(target), read=0)
