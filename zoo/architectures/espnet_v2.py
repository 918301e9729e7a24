"""ESPNetv2: depthwise convolutions of four dilations side by side, each adding to the one before. Source:
arXiv:1811.11431, figures 1 and 2.

This is what the authors' code runs, not what it declares. There the last downsampling unit owns weights for the image
but never sees it, and units of stride 2 own a last activation that is never used: 1,670,072 trained weights at width 1
there, 1,666,942 here. The printed multiply-adds leave out the classifier.
"""

from __future__ import annotations

from typing import NamedTuple

from zoo import layers
from zoo.blocks.convolution import conv_norm, depthwise_norm, norm_activate
from zoo.blocks.grouped import grouped_conv_norm
from zoo.blocks.rounding import scaled, small_input_strides
from zoo.declaration import SMALL_INPUT, Architecture, Published, dropout_option
from zoo.layers import Tensor, channels_of, shape_of


class Stage(NamedTuple):
    """Units of one map size: the first makes the map smaller, `repeats` more follow.

    A unit's `reach` is the largest extent in cells that its kernels may have; larger ones shrink to plain 3x3.
    """

    number: int
    factor: int
    reach: int
    repeats: int
    repeats_reach: int
    sees_image: bool


BASE, LAST, LAST_WIDE = 32, 1024, 1280
STAGES = (
    Stage(2, 2, 13, 0, 0, True),
    Stage(3, 4, 11, 3, 9, True),
    Stage(4, 8, 9, 7, 7, True),
    Stage(5, 16, 7, 3, 5, False),
)
GROUPS = BRANCHES = 4
EPSILON = 1e-5


def base_channels(width: float) -> int:
    """b, which all channels follow: a multiple of 4, 32 at width 1."""
    return -(-scaled(BASE, width, 1) // 4) * 4


def branch_channels(channels: int) -> int:
    """Channels of each branch: a quarter of the unit's, which at all published widths is a multiple of the groups.

    At other widths it is rounded up to one, an extension of this project.
    """
    return -(-channels // (BRANCHES * GROUPS)) * GROUPS


def dilations(reach: int) -> tuple[int, ...]:
    """One dilation per branch, ascending. Branch j spans 3 + 2j cells, and 3 when that is more than `reach`."""
    spans = sorted(span if span <= reach else 3 for span in (3, 5, 7, 9))
    return tuple((span - 1) // 2 for span in spans)


def taps(size: int, stride: int, dilation: int) -> tuple[list[int], int, int]:
    """Where a dilated kernel of 3 looks as it strides over `size` cells: the places, three for every output, and the
    zeros before and behind that they count with. Aligned like any other stride here (padding `same`).
    """
    outputs = -(-size // stride)
    zeros = stride * (outputs - 1) + 2 * dilation + 1 - size
    places = [stride * output + dilation * tap for output in range(outputs) for tap in range(3)]
    return places, zeros // 2, zeros - zeros // 2


def dilated_depthwise(x: Tensor, *, name: str, stride: int, dilation: int) -> Tensor:
    """A 3x3 depthwise convolution with both a stride and a dilation, without normalisation.

    TensorFlow has no such operator: with a stride above 1 the cells are laid out side by side first, so that the
    kernel meets each triple once. Weights and multiply-adds are those of the convolution that is meant.
    """
    if stride == 1 or dilation == 1:
        return layers.depthwise(x, name=f"{name}_conv", stride=stride, dilation=dilation)
    height, across, _ = shape_of(x)
    rows, top, bottom = taps(height, stride, dilation)
    columns, left, right = taps(across, stride, dilation)
    x = layers.pad(x, top, bottom, left, right, name=f"{name}_pad")
    x = layers.pick(x, rows, columns, name=f"{name}_pick")
    return layers.depthwise(x, name=f"{name}_conv", stride=3, padding="valid")


def pyramid(x: Tensor, channels: int, *, name: str, form: str, reach: int, stride: int = 1) -> Tensor:
    """The EESP unit's linear output of `channels`, figure 1 (c): reduce, four dilations with running sums, merge."""
    x = grouped_conv_norm(
        x,
        branch_channels(channels),
        name=f"{name}_reduce",
        groups=GROUPS,
        form=form,
        activation="prelu",
        epsilon=EPSILON,
    )
    sums: list[Tensor] = []
    for number, dilation in enumerate(dilations(reach), start=1):
        branch = f"{name}_branch{number}"
        y = dilated_depthwise(x, name=branch, stride=stride, dilation=dilation)
        sums.append(layers.add([sums[-1], y], name=f"{branch}_add") if sums else y)
    x = norm_activate(layers.concat(sums, name=f"{name}_concat"), "prelu", name=f"{name}_merged", epsilon=EPSILON)
    return grouped_conv_norm(x, channels, name=f"{name}_expand", groups=GROUPS, form=form, epsilon=EPSILON)


def unit(x: Tensor, *, name: str, form: str, reach: int) -> Tensor:
    """A unit that keeps the shape: its pyramid is added to its input."""
    y = pyramid(x, channels_of(x), name=name, form=form, reach=reach)
    return layers.prelu(layers.add([x, y], name=f"{name}_add"), name=f"{name}_prelu")


def shrinking_unit(
    x: Tensor, image: Tensor | None, channels: int, *, name: str, form: str, reach: int, stride: int
) -> Tensor:
    """Figure 2: the pooled input and a pyramid side by side make `channels`; the pooled `image` is added, if any."""
    y = pyramid(x, channels - channels_of(x), name=name, form=form, reach=reach, stride=stride)
    if stride == 2:
        x = layers.average_pool(x, 3, stride=2, name=f"{name}_pool")
    x = layers.concat([x, y], name=f"{name}_join")
    if image is not None:
        image = conv_norm(
            image, channels_of(image), 3, name=f"{name}_image_filter", activation="prelu", epsilon=EPSILON
        )
        image = conv_norm(image, channels, name=f"{name}_image_expand", epsilon=EPSILON)
        x = layers.add([x, image], name=f"{name}_image_add")
    return layers.prelu(x, name=f"{name}_prelu")


def features(image: Tensor, width: float, form: str, *, small_input: str) -> Tensor:
    """The last map from `image` in [0, 1]: 1024 channels, 1280 above width 1.5. The stem has no more than 32."""
    base = base_channels(width)
    stem_stride, *strides = small_input_strides((2, 2, 2, 2, 2), shape_of(image), small_input)
    x = conv_norm(image, min(BASE, base), 3, name="stem", stride=stem_stride, activation="prelu", epsilon=EPSILON)
    small = layers.average_pool(image, 3, stride=2, name="stem_image_pool") if stem_stride == 2 else image
    for stage, stride in zip(STAGES, strides, strict=True):
        name = f"stage{stage.number}"
        if stride == 2 and stage.sees_image:
            small = layers.average_pool(small, 3, stride=2, name=f"{name}_image_pool")
        x = shrinking_unit(
            x,
            small if stage.sees_image else None,
            stage.factor * base,
            name=f"{name}_down",
            form=form,
            reach=stage.reach,
            stride=stride,
        )
        for block in range(1, stage.repeats + 1):
            x = unit(x, name=f"{name}_{block}", form=form, reach=stage.repeats_reach)
    x = depthwise_norm(x, name="last_depthwise", activation="prelu", epsilon=EPSILON)
    return grouped_conv_norm(
        x,
        LAST_WIDE if width > 1.5 else LAST,
        name="last_pointwise",
        groups=GROUPS,
        form=form,
        activation="prelu",
        epsilon=EPSILON,
    )


ARCHITECTURE = Architecture(
    name="espnet_v2",
    title="ESPNetv2",
    source="arXiv:1811.11431",
    summary="A pyramid of dilated depthwise convolutions: a wide view for few multiply-adds.",
    features=features,
    widths=(0.5, 1.0, 1.25, 1.5, 2.0),
    options=(dropout_option(0.2, "authors' code: 0.2"), SMALL_INPUT),
    published=(
        Published(0.5, 224, None, 1.24, 57.7, note="28.37 million multiply-adds without the classifier"),
        Published(1.0, 224, 85.72, 1.67, 66.1, note="multiply-adds without the classifier"),
        Published(1.25, 224, 123.39, 1.96, 67.9, note="multiply-adds without the classifier"),
        Published(1.5, 224, 168.6, 2.31, 69.2, note="multiply-adds without the classifier"),
        Published(2.0, 224, 284.8, 3.49, 72.1, note="multiply-adds without the classifier"),
    ),
)
