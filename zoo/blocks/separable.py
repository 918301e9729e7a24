"""The separable convolution of Xception: nothing stands between its two halves. Source: arXiv:1610.02357, section 2."""

from __future__ import annotations

from zoo import layers
from zoo.blocks.convolution import norm_activate
from zoo.layers import Tensor


def separable_norm(
    x: Tensor,
    channels: int,
    kernel: int = 3,
    *,
    name: str,
    stride: int = 1,
    activation: str | None = None,
    epsilon: float = 1e-3,
) -> Tensor:
    """Depthwise, then 1x1 convolution without normalisation between them, then normalisation and activation."""
    x = layers.depthwise(x, kernel, name=f"{name}_depthwise_conv", stride=stride)
    x = layers.conv(x, channels, name=f"{name}_pointwise_conv")
    return norm_activate(x, activation, name=name, epsilon=epsilon)
