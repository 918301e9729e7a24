"""Convolution, normalisation, activation: the three layers every network here is made of."""

from __future__ import annotations

from collections.abc import Callable

from zoo import layers
from zoo.layers import Tensor

ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "relu": layers.relu,
    "relu6": layers.relu6,
    "prelu": layers.prelu,
    "hard_swish": layers.hard_swish,
    "swish": layers.swish,
    "sigmoid": layers.sigmoid,
    "hard_sigmoid": layers.hard_sigmoid,
}


def activate(x: Tensor, activation: str | None, *, name: str) -> Tensor:
    """`x` through the activation called so (layer NAME_ACTIVATION), or as it is when there is none."""
    return ACTIVATIONS[activation](x, name=f"{name}_{activation}") if activation else x


def norm_activate(x: Tensor, activation: str | None, *, name: str, epsilon: float = 1e-3) -> Tensor:
    """Normalisation (layer NAME_norm) and activation."""
    return activate(layers.norm(x, name=f"{name}_norm", epsilon=epsilon), activation, name=name)


def conv_norm(
    x: Tensor,
    channels: int,
    kernel: int = 1,
    *,
    name: str,
    stride: int = 1,
    dilation: int = 1,
    padding: str = "same",
    activation: str | None = None,
    epsilon: float = 1e-3,
) -> Tensor:
    """A convolution without bias, its normalisation, and an activation unless it is linear."""
    x = layers.conv(x, channels, kernel, name=f"{name}_conv", stride=stride, dilation=dilation, padding=padding)
    return norm_activate(x, activation, name=name, epsilon=epsilon)


def depthwise_norm(
    x: Tensor,
    kernel: int = 3,
    *,
    name: str,
    stride: int = 1,
    dilation: int = 1,
    activation: str | None = None,
    epsilon: float = 1e-3,
) -> Tensor:
    """A depthwise convolution without bias, its normalisation, and an activation unless it is linear."""
    x = layers.depthwise(x, kernel, name=f"{name}_conv", stride=stride, dilation=dilation)
    return norm_activate(x, activation, name=name, epsilon=epsilon)
