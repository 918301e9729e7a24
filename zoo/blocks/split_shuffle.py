"""The unit of ShuffleNetV2: half the channels pass by untouched, then all are shuffled. Source: arXiv:1807.11164,
figure 3 (c) and (d).

Equal halves, as in the paper: every branch is half of the unit's channels wide, in units that shrink the map as well.
SNet uses it with 5x5 kernels.
"""

from __future__ import annotations

from zoo import layers
from zoo.blocks.convolution import conv_norm, depthwise_norm
from zoo.layers import Tensor


def split_shuffle_unit(
    x: Tensor,
    channels: int,
    *,
    name: str,
    stride: int,
    first: bool,
    kernel: int = 3,
    shuffle: bool = True,
    epsilon: float = 1e-5,
) -> Tensor:
    """A map of `channels`: figure 3 (d) for the `first` unit of a stage, whose left branch works too, (c) for others.

    Without `shuffle` the halves never meet within a stage: the paper's argument for it, made visible.
    """
    half = channels // 2
    if first:
        left = depthwise_norm(x, kernel, name=f"{name}_left_depthwise", stride=stride, epsilon=epsilon)
        left = conv_norm(left, half, name=f"{name}_left_pointwise", activation="relu", epsilon=epsilon)
        right = x
    else:
        left, right = layers.split(x, 2, name=f"{name}_split")
    right = conv_norm(right, half, name=f"{name}_expand", activation="relu", epsilon=epsilon)
    right = depthwise_norm(right, kernel, name=f"{name}_depthwise", stride=stride, epsilon=epsilon)
    right = conv_norm(right, half, name=f"{name}_project", activation="relu", epsilon=epsilon)
    x = layers.concat([left, right], name=f"{name}_concat")
    return layers.shuffle(x, 2, name=f"{name}_shuffle") if shuffle else x
