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
}


def _finish(x: Tensor, name: str, activation: str | None, epsilon: float) -> Tensor:
    x = layers.norm(x, name=f"{name}_norm", epsilon=epsilon)
    return ACTIVATIONS[activation](x, name=f"{name}_{activation}") if activation else x


def conv_norm(
    x: Tensor,
    channels: int,
    kernel: int = 1,
    *,
    name: str,
    stride: int = 1,
    activation: str | None = None,
    epsilon: float = 1e-3,
) -> Tensor:
    """A convolution without bias, its normalisation, and an activation unless it is linear."""
    x = layers.conv(x, channels, kernel, name=f"{name}_conv", stride=stride)
    return _finish(x, name, activation, epsilon)


def depthwise_norm(
    x: Tensor, kernel: int = 3, *, name: str, stride: int = 1, activation: str | None = None, epsilon: float = 1e-3
) -> Tensor:
    """A depthwise convolution without bias, its normalisation, and an activation unless it is linear."""
    x = layers.depthwise(x, kernel, name=f"{name}_conv", stride=stride)
    return _finish(x, name, activation, epsilon)
