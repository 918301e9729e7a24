"""Interleaved group convolutions: what one grouped convolution keeps apart, the next one mixes.

Sources: IGCV3-D (variant v3) arXiv:1806.00178; IGCV1 (variant v1) arXiv:1707.02725, section 3 and the plain
networks for CIFAR.

v3 is MobileNetV2 with twice the blocks and both 1x1 convolutions in 2 groups, that of the first block included. Nothing
is activated between the first of them and the depthwise convolution. The paper draws a second permutation behind the
block; the authors' code for 2 groups has none, and neither has this.

v1 has C = L * M channels. The primary convolution, 3x3 in L groups of M channels, sees space; the secondary, 1x1 in M
groups of L channels, takes one channel from every primary group. No activation stands between them. C doubles at each
of two strides: L stays, M doubles. The normalisation is directly behind the secondary convolution here and not behind
the permutation that follows, which computes the same. The paper has no width multiplier for v1: width scales L.
"""

from __future__ import annotations

from zoo import layers
from zoo.architectures.mobilenet_v2 import Stage
from zoo.blocks.convolution import conv_norm, depthwise_norm
from zoo.blocks.grouped import grouped_conv, grouped_conv_norm
from zoo.blocks.rounding import small_input_strides
from zoo.declaration import SMALL_INPUT, Architecture, Option, Published, dropout_option
from zoo.layers import Tensor, channels_of, shape_of

STEM, LAST, GROUPS = 32, 1280, 2
STAGES = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 4, 2),
    Stage(6, 32, 6, 2),
    Stage(6, 64, 8, 2),
    Stage(6, 96, 6, 1),
    Stage(6, 160, 6, 2),
    Stage(6, 320, 1, 1),
)
CIFAR_STRIDES = (1, 2, 2)  # of IGCV1's three stages, whatever the resolution
EPSILON = 1e-5


def even(channels: float) -> int:
    """The whole channels rounded up to an even number, at least 2, so that two groups divide them."""
    return max(2, int(channels) + int(channels) % 2)


def bottleneck(x: Tensor, channels: int, *, name: str, form: str, expansion: int, stride: int) -> Tensor:
    """IGCV3's block: linear output of `channels`, with a shortcut when input and output have one shape."""
    shortcut, hidden = x, channels_of(x) * expansion
    x = grouped_conv_norm(x, hidden, name=f"{name}_expand", groups=GROUPS, form=form, epsilon=EPSILON)
    x = layers.shuffle(x, GROUPS, name=f"{name}_shuffle")
    x = depthwise_norm(x, name=f"{name}_depthwise", stride=stride, activation="relu6", epsilon=EPSILON)
    x = grouped_conv_norm(x, channels, name=f"{name}_project", groups=GROUPS, form=form, epsilon=EPSILON)
    if stride == 1 and channels_of(shortcut) == channels:
        x = layers.add([shortcut, x], name=f"{name}_add")
    return x


def third_version(image: Tensor, width: float, form: str, small_input: str) -> Tensor:
    """IGCV3's last map: 1280 channels, more only above width 1. Stem and rows round up to even numbers."""
    stem_stride, *strides = small_input_strides((2, *(stage.stride for stage in STAGES)), shape_of(image), small_input)
    x = conv_norm(image, even(STEM * width), 3, name="stem", stride=stem_stride, activation="relu6", epsilon=EPSILON)
    for number, (stage, first_stride) in enumerate(zip(STAGES, strides, strict=True), start=1):
        for block in range(1, stage.repeats + 1):
            x = bottleneck(
                x,
                even(stage.channels * width),
                name=f"stage{number}_{block}",
                form=form,
                expansion=stage.expansion,
                stride=first_stride if block == 1 else 1,
            )
    return conv_norm(x, even(LAST * max(1.0, width)), name="last", activation="relu6", epsilon=EPSILON)


def interleaved(x: Tensor, primary: int, secondary: int, *, name: str, form: str, stride: int) -> Tensor:
    """IGCV1's block of `primary * secondary` channels."""
    channels = primary * secondary
    x = grouped_conv(x, channels, 3, name=f"{name}_primary", groups=primary, form=form, stride=stride)
    if min(primary, secondary) > 1:
        x = layers.shuffle(x, primary, name=f"{name}_primary_shuffle")
    x = grouped_conv_norm(
        x, channels, name=f"{name}_secondary", groups=secondary, form=form, activation="relu", epsilon=EPSILON
    )
    if min(primary, secondary) > 1:
        x = layers.shuffle(x, secondary, name=f"{name}_secondary_shuffle")
    return x


def first_version(image: Tensor, form: str, depth: int, primary: int, secondary: int) -> Tensor:
    """IGCV1's last map, a quarter of the image's side: `4 * primary * secondary` channels."""
    x = conv_norm(image, primary * secondary, 3, name="stem", activation="relu", epsilon=EPSILON)
    for number, first_stride in enumerate(CIFAR_STRIDES, start=1):
        for block in range(1, (depth - 2) // 3 + 1):
            stride = first_stride if block == 1 else 1
            x = interleaved(x, primary, secondary, name=f"stage{number}_{block}", form=form, stride=stride)
        secondary *= 2
    return x


def features(
    image: Tensor,
    width: float,
    form: str,
    *,
    variant: str,
    depth: int,
    primary_groups: int,
    secondary_groups: int,
    small_input: str,
) -> Tensor:
    """The last map from `image` in [0, 1]."""
    if variant == "v3":
        return third_version(image, width, form, small_input)
    return first_version(image, form, depth, max(1, int(primary_groups * width + 0.5)), secondary_groups)


ARCHITECTURE = Architecture(
    name="igc",
    title="IGC",
    source="arXiv:1806.00178, arXiv:1707.02725",
    summary="Interleaved group convolutions: sparse layers that together reach every channel.",
    features=features,
    widths=(0.7, 1.0, 1.4),
    variant_widths={"v1": (1.0,)},
    options=(
        Option("variant", "v3", "v3 is IGCV3-D for photographs; v1 is plain IGCV1 for CIFAR images", ("v3", "v1")),
        Option(
            "depth", 20, "v1: layers with weights, two more than three times the blocks of a stage", (8, 20, 38, 62)
        ),
        Option(
            "primary_groups",
            24,
            "v1: L, groups of the 3x3 convolutions; as trained each is a layer of its own",
            minimum=1,
            maximum=64,
        ),
        Option(
            "secondary_groups",
            2,
            "v1: M, groups of the 1x1 convolutions in the first stage; doubles twice",
            minimum=1,
            maximum=16,
        ),
        dropout_option(0.0, "papers: none mentioned"),
        SMALL_INPUT,
    ),
    resolutions=(32, 96, 128, 160, 192, 224),
    variant_resolutions={"v1": 32},
    published=(
        Published(1.0, 224, 320, 3.5, 72.2, {"variant": "v3"}),
        Published(1.0, 32, None, None, 94.96, {"variant": "v3"}, note="CIFAR-10, with 2.4 million weights"),
    ),
)
