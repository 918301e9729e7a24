"""Residual blocks with the ReLU behind the addition. Sources: arXiv:1512.03385, figure 5; ResNeXt: arXiv:1611.05431,
figure 3c.

A 3x3 convolution that halves the map gets its zeros on all four sides first, as in the pooled stem.
"""

from __future__ import annotations

from zoo import layers
from zoo.blocks.convolution import conv_norm
from zoo.blocks.grouped import grouped_conv_norm
from zoo.layers import Tensor, channels_of

# The value of keras.applications for all of these networks; the papers give none.
EPSILON = 1.001e-5


def conv3x3_norm(
    x: Tensor, channels: int, *, name: str, stride: int, form: str, groups: int = 1, activation: str | None = None
) -> Tensor:
    """A 3x3 convolution, grouped or not, its normalisation and activation; padded alike on all sides."""
    if stride > 1:
        x = layers.pad(x, 1, 1, 1, 1, name=f"{name}_pad")
    return grouped_conv_norm(
        x,
        channels,
        3,
        name=name,
        groups=groups,
        form=form,
        stride=stride,
        padding="valid" if stride > 1 else "same",
        activation=activation,
        epsilon=EPSILON,
    )


def fitted_shortcut(x: Tensor, channels: int, *, name: str, stride: int, kind: str = "projection") -> Tensor:
    """`x` fit to be added to a map of `channels` at `stride`: itself where nothing changes, else by `kind`.

    `projection` is a normalised 1x1 convolution (the paper's option B), `identity` every second cell and channels of
    zeros behind (option A, without weights).
    """
    if stride == 1 and channels_of(x) == channels:
        return x
    if kind == "projection":
        return conv_norm(x, channels, name=f"{name}_shortcut", stride=stride, epsilon=EPSILON)
    missing = channels - channels_of(x)
    if stride > 1:
        x = layers.average_pool(x, 1, stride=stride, name=f"{name}_shortcut_pool")
    return layers.channel_pad(x, 0, missing, name=f"{name}_shortcut_pad") if missing else x


def bottleneck(
    x: Tensor,
    inner: int,
    channels: int,
    *,
    name: str,
    stride: int,
    form: str,
    groups: int = 1,
    stride_on: str = "3x3",
    shortcut_kind: str = "projection",
) -> Tensor:
    """1x1 to `inner` channels, 3x3 in `groups`, 1x1 to `channels`, plus the shortcut; `stride_on` says which of the
    first two convolutions ("first" or "3x3") has the stride.
    """
    past = fitted_shortcut(x, channels, name=name, stride=stride, kind=shortcut_kind)
    first, second = (stride, 1) if stride_on == "first" else (1, stride)
    x = conv_norm(x, inner, name=f"{name}_reduce", stride=first, activation="relu", epsilon=EPSILON)
    x = conv3x3_norm(x, inner, name=f"{name}_spatial", stride=second, form=form, groups=groups, activation="relu")
    x = conv_norm(x, channels, name=f"{name}_expand", epsilon=EPSILON)
    x = layers.add([past, x], name=f"{name}_add")
    return layers.relu(x, name=f"{name}_relu")
