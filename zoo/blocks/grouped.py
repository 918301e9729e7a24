"""Grouped convolution in two forms that compute the same.

Keras trains the native form on a CPU far slower than slices, small convolutions and a concatenation, and the more so
the more groups (milliseconds a step, native against split, TensorFlow 2.21 on two cores): 4 1x1 layers in 3 groups 1970
and 330; 384 channels 14x14 by 1x1 in 8 groups, 4 images, 72 and 4; 48 channels 16x16 by 3x3 in 24 groups, 4 images,
196 and 9; two of those 32x32, 32 images, 30,000 and 75. Running forwards, the two are equally fast. So networks train
split, however many the groups, and deploy native.

`zoo.deploy` makes the native form of a trained network; it goes by the names given here: NAME_group1_conv,
NAME_group2_conv, ... between NAME_slice1, NAME_slice2, ... and NAME_concat.
"""

from __future__ import annotations

from zoo import layers
from zoo.blocks.convolution import conv_norm, norm_activate
from zoo.layers import Tensor, channels_of


def grouped_conv(
    x: Tensor, channels: int, kernel: int = 1, *, name: str, groups: int, form: str, stride: int = 1
) -> Tensor:
    """A bare grouped convolution without bias: `form` train is split, deploy is native.

    Raises: ValueError when the groups do not divide both channel counts.
    """
    _check(x, channels, groups, name)
    if groups == 1 or form == "deploy":
        return layers.conv(x, channels, kernel, name=f"{name}_conv", stride=stride, groups=groups)
    parts = [
        layers.conv(part, channels // groups, kernel, name=f"{name}_group{number}_conv", stride=stride)
        for number, part in enumerate(layers.split(x, groups, name=f"{name}_slice"), start=1)
    ]
    return layers.concat(parts, name=f"{name}_concat")


def grouped_conv_norm(
    x: Tensor,
    channels: int,
    kernel: int = 1,
    *,
    name: str,
    groups: int,
    form: str,
    stride: int = 1,
    padding: str = "same",
    activation: str | None = None,
    epsilon: float = 1e-3,
) -> Tensor:
    """Grouped convolution, normalisation and activation: `form` train is split, deploy is native.

    In the split form every group has its own normalisation: it acts on each channel by itself, so nothing changes,
    and it stays directly behind its convolution, as int8-aware training demands.

    Raises: ValueError when the groups do not divide both channel counts.
    """
    _check(x, channels, groups, name)
    if groups == 1 or form == "deploy":
        x = layers.conv(x, channels, kernel, name=f"{name}_conv", stride=stride, groups=groups, padding=padding)
        return norm_activate(x, activation, name=name, epsilon=epsilon)
    parts = [
        conv_norm(
            part,
            channels // groups,
            kernel,
            name=f"{name}_group{number}",
            stride=stride,
            padding=padding,
            activation=activation,
            epsilon=epsilon,
        )
        for number, part in enumerate(layers.split(x, groups, name=f"{name}_slice"), start=1)
    ]
    return layers.concat(parts, name=f"{name}_concat")


def _check(x: Tensor, channels: int, groups: int, name: str) -> None:
    if channels_of(x) % groups or channels % groups:
        raise ValueError(
            f"{name}: {groups} groups must divide the {channels_of(x)} input and {channels} output channels"
        )
