"""ShuffleNetV1: grouped 1x1 convolutions, and a shuffle so that the groups hear of each other. Source:
arXiv:1707.01083, table 1 and figure 2.

Three things are easy to get wrong. The inner channels are a quarter of the whole stage's, also in the first unit of a
stage, whose last convolution only makes what the pooled shortcut does not bring. Nothing is activated behind the
depthwise convolution. The very first 1x1 convolution is not grouped, because its input has few channels.

The authors' code has no bias in the classifier; the paper does not say, and here it has one. The option `shuffle`
undoes what the paper's table 3 argues for.
"""

from __future__ import annotations

from typing import NamedTuple

from zoo import layers
from zoo.blocks.convolution import conv_norm, depthwise_norm
from zoo.blocks.grouped import grouped_conv_norm
from zoo.blocks.rounding import small_input_strides
from zoo.declaration import SMALL_INPUT, Architecture, Option, Published, dropout_option
from zoo.layers import Tensor, channels_of, shape_of


class Stage(NamedTuple):
    """Units of one map size; the first has stride 2."""

    number: int
    repeats: int


STEM = 24
STAGES = (Stage(2, 4), Stage(3, 8), Stage(4, 4))
STAGE2_CHANNELS = {3: 240, 1: 144, 2: 200, 4: 272, 8: 384}  # by groups; doubles at every later stage
EPSILON = 1e-5


def multiple(channels: float, groups: int, minimum: int = 1) -> int:
    """The multiple of `groups` nearest to `channels`, halves upwards, at least `minimum` times `groups`."""
    return max(minimum, int(int(channels) / groups + 0.5)) * groups


def stem_channels(width: float, groups: int) -> int:
    """Channels of the stem: 24 from width 1 up to 2, scaled below and from 2 on, as in the authors' code."""
    return STEM if 1 <= width < 2 else multiple(STEM * width, groups)


def stage2_channels(width: float, groups: int) -> int:
    """Channels of the first stage, a multiple of the groups and more than the stem's.

    For 3 and 8 groups this gives the authors' channels at their widths 0.5, 1.0, 1.5 and 2.0.
    """
    return multiple(STAGE2_CHANNELS[groups] * width, groups, minimum=2)


def unit(
    x: Tensor, channels: int, *, name: str, groups: int, form: str, shuffle: bool, stride: int, of_stem: bool
) -> Tensor:
    """A map of `channels`: figure 2 (c) with stride 2, (b) otherwise. The map `of_stem` is reduced in one group.

    With stride 2 the activation stands in front of the concatenation: the pooled shortcut has nothing below zero, so
    this is the paper's activation behind it, where it costs nothing.
    """
    y = grouped_conv_norm(
        x,
        multiple(channels / 4, groups),
        name=f"{name}_reduce",
        groups=1 if of_stem else groups,
        form=form,
        activation="relu",
        epsilon=EPSILON,
    )
    if shuffle and groups > 1:
        y = layers.shuffle(y, groups, name=f"{name}_shuffle")
    y = depthwise_norm(y, name=f"{name}_depthwise", stride=stride, epsilon=EPSILON)
    if stride == 2:
        new = channels - channels_of(x)
        y = grouped_conv_norm(
            y, new, name=f"{name}_expand", groups=groups, form=form, activation="relu", epsilon=EPSILON
        )
        pooled = layers.average_pool(x, 3, stride=2, name=f"{name}_pool")
        return layers.concat([pooled, y], name=f"{name}_concat")
    y = grouped_conv_norm(y, channels, name=f"{name}_expand", groups=groups, form=form, epsilon=EPSILON)
    return layers.relu(layers.add([x, y], name=f"{name}_add"), name=f"{name}_relu")


def features(image: Tensor, width: float, form: str, *, groups: int, shuffle: bool, small_input: str) -> Tensor:
    """The last map from `image` in [0, 1]: 960 channels at width 1 with 3 groups."""
    stem_stride, pool_stride, *strides = small_input_strides((2, 2, 2, 2, 2), shape_of(image), small_input)
    stem = stem_channels(width, groups)
    x = conv_norm(image, stem, 3, name="stem", stride=stem_stride, activation="relu", epsilon=EPSILON)
    if pool_stride == 2:
        x = layers.max_pool(x, 3, stride=2, name="stem_pool")
    channels = stage2_channels(width, groups)
    for stage, first_stride in zip(STAGES, strides, strict=True):
        for block in range(1, stage.repeats + 1):
            x = unit(
                x,
                channels,
                name=f"stage{stage.number}_{block}",
                groups=groups,
                form=form,
                shuffle=shuffle,
                stride=first_stride if block == 1 else 1,
                of_stem=stage is STAGES[0] and block == 1,
            )
        channels = 2 * channels_of(x)
    return x


ARCHITECTURE = Architecture(
    name="shufflenet_v1",
    title="ShuffleNetV1",
    source="arXiv:1707.01083",
    summary="Grouped 1x1 convolutions with shuffled channels: many channels for very few multiply-adds.",
    features=features,
    widths=(0.5, 1.0, 1.5, 2.0),
    options=(
        Option("groups", 3, "Groups of the 1x1 convolutions; more groups allow more channels", choices=(3, 1, 2, 4, 8)),
        Option("shuffle", True, "Shuffle channels between the grouped convolutions; without, the groups never mix"),
        dropout_option(0.0, "authors' code: none"),
        SMALL_INPUT,
    ),
    published=(
        Published(0.5, 224, 38, 0.7, 57.3, {"groups": 3}),
        Published(1.0, 224, 138, 1.9, 67.8, {"groups": 3}),
        Published(1.5, 224, 292, 3.4, 71.6, {"groups": 3}),
        Published(2.0, 224, 524, 5.4, 74.1, {"groups": 3}),
        Published(0.5, 224, 40, 1.0, 58.8, {"groups": 8}),
        Published(1.0, 224, 138, 2.4, 68.0, {"groups": 8}),
        Published(1.5, 224, 290, 4.3, 71.0, {"groups": 8}),
        Published(2.0, 224, 522, 6.5, 72.9, {"groups": 8}),
        Published(top1=66.4, options={"groups": 1}, note="from the paper's table 2"),
        Published(top1=67.3, options={"groups": 2}, note="from the paper's table 2"),
        Published(top1=67.2, options={"groups": 4}, note="from the paper's table 2"),
    ),
)
