"""The inverted residual: expand, filter each channel, project without activation. Source: arXiv:1801.04381, section
3.3.

Its successors changed four things, each a keyword here: a weight per channel behind the filter (MobileNetV3, MnasNet,
EfficientNet), expanded channels rounded by themselves (MobileNetV3), images that skip the block while training
(EfficientNet), and no shortcut (MnasNet's first block).
"""

from __future__ import annotations

from collections.abc import Callable

from zoo import layers
from zoo.blocks.convolution import conv_norm, depthwise_norm
from zoo.blocks.rounding import make_divisible
from zoo.layers import Tensor


def inverted_residual(
    x: Tensor,
    channels: int,
    *,
    name: str,
    expansion: float,
    stride: int,
    kernel: int = 3,
    activation: str = "relu6",
    epsilon: float = 1e-3,
    divisor: int = 1,
    excite: Callable[[Tensor], Tensor] | None = None,
    projection_activation: str | None = None,
    drop_path: float = 0.0,
    shortcut: bool = True,
) -> Tensor:
    """The block's linear output of `channels`; with a shortcut when input and output have one shape.

    `expansion` multiplies the input's own, already rounded channels, and the product is rounded to `divisor`. At 1
    there is no expanding convolution. `excite` weighs the activated output of the depthwise convolution.
    `projection_activation` acts in front of the addition; `drop_path` is the share of images that take the shortcut
    alone while training.
    """
    source = x
    if expansion != 1:
        hidden = make_divisible(layers.channels_of(x) * expansion, divisor)
        x = conv_norm(x, hidden, name=f"{name}_expand", activation=activation, epsilon=epsilon)
    x = depthwise_norm(x, kernel, name=f"{name}_depthwise", stride=stride, activation=activation, epsilon=epsilon)
    if excite is not None:
        x = excite(x)
    x = conv_norm(x, channels, name=f"{name}_project", activation=projection_activation, epsilon=epsilon)
    if shortcut and stride == 1 and layers.channels_of(source) == channels:
        x = layers.drop_path(x, drop_path, name=f"{name}_drop_path")
        x = layers.add([source, x], name=f"{name}_add")
    return x
