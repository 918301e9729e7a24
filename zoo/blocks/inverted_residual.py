"""The inverted residual: expand, filter each channel, project without activation. Source: arXiv:1801.04381, section
3.3."""

from __future__ import annotations

from zoo import layers
from zoo.blocks.convolution import conv_norm, depthwise_norm
from zoo.layers import Tensor


def inverted_residual(
    x: Tensor,
    channels: int,
    *,
    name: str,
    expansion: int,
    stride: int,
    kernel: int = 3,
    activation: str = "relu6",
    epsilon: float = 1e-3,
) -> Tensor:
    """The block's linear output of `channels`; with a shortcut when input and output have one shape.

    `expansion` multiplies the input's own, already rounded channels. At 1 there is no expanding convolution.
    """
    shortcut = x
    if expansion != 1:
        hidden = layers.channels_of(x) * expansion
        x = conv_norm(x, hidden, name=f"{name}_expand", activation=activation, epsilon=epsilon)
    x = depthwise_norm(x, kernel, name=f"{name}_depthwise", stride=stride, activation=activation, epsilon=epsilon)
    x = conv_norm(x, channels, name=f"{name}_project", epsilon=epsilon)
    if stride == 1 and layers.channels_of(shortcut) == channels:
        x = layers.add([shortcut, x], name=f"{name}_add")
    return x
