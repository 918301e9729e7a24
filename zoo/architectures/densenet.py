"""DenseNet: every layer reads the maps of all layers before it. Source: arXiv:1608.06993, table 1 and section 3.

Width, an extension of this project, scales the growth, to a multiple of 4, and with it everything else. Padding and
epsilon are those of keras.applications, so that its weights fit. Below 64 pixels the ImageNet networks keep the whole
map in the stem; the paper has the CIFAR networks for that.
"""

from __future__ import annotations

from typing import NamedTuple

from zoo import layers
from zoo.blocks.convolution import conv_norm, norm_activate
from zoo.blocks.pooled_stem import pooled_stem
from zoo.blocks.rounding import make_divisible
from zoo.declaration import Architecture, Option, Published, dropout_option
from zoo.layers import Tensor, channels_of


class Network(NamedTuple):
    """A network of the paper: channels that a layer adds, layers per block, channels of the stem; `compact` is the
    BC form, with bottlenecks and transitions that halve the channels."""

    growth: int
    repeats: tuple[int, ...]
    stem: int
    compact: bool
    imagenet: bool


VARIANTS = {
    "121": Network(32, (6, 12, 24, 16), 64, True, True),
    "169": Network(32, (6, 12, 32, 32), 64, True, True),
    "201": Network(32, (6, 12, 48, 32), 64, True, True),
    "161": Network(48, (6, 12, 36, 24), 96, True, True),
    "cifar_bc100": Network(12, (16, 16, 16), 24, True, False),
    "cifar40": Network(12, (12, 12, 12), 16, False, False),
}
BOTTLENECK = 4  # channels of the 1x1 convolution over the growth
EPSILON = 1.001e-5  # keras.applications; the paper gives none


def dense_layer(x: Tensor, growth: int, *, name: str, compact: bool) -> Tensor:
    """`x` and, behind it, `growth` new channels computed from all of it. Normalisation comes before convolution."""
    new = norm_activate(x, "relu", name=f"{name}_input", epsilon=EPSILON)
    if compact:
        new = conv_norm(new, BOTTLENECK * growth, name=f"{name}_reduce", activation="relu", epsilon=EPSILON)
    new = layers.conv(new, growth, 3, name=f"{name}_grow_conv")
    return layers.concat([x, new], name=f"{name}_concat")


def transition(x: Tensor, channels: int, *, name: str) -> Tensor:
    """`x` brought to `channels` and half the side."""
    x = norm_activate(x, "relu", name=f"{name}_input", epsilon=EPSILON)
    x = layers.conv(x, channels, name=f"{name}_conv")
    return layers.average_pool(x, 2, padding="valid", name=f"{name}_pool")


def features(image: Tensor, width: float, form: str, *, variant: str) -> Tensor:
    """The last map, normalised and activated, from `image` in [0, 1]."""
    network = VARIANTS[variant]
    growth = make_divisible(network.growth * width, 4)
    stem = make_divisible(network.stem * width, 4)
    imagenet = network.imagenet
    x = pooled_stem(image, stem, epsilon=EPSILON) if imagenet else layers.conv(image, stem, 3, name="stem_conv")
    for number, repeats in enumerate(network.repeats, start=1):
        if number > 1:
            channels = channels_of(x) // 2 if network.compact else channels_of(x)
            x = transition(x, channels, name=f"transition{number - 1}")
        for layer in range(1, repeats + 1):
            x = dense_layer(x, growth, name=f"stage{number}_{layer}", compact=network.compact)
    return norm_activate(x, "relu", name="last", epsilon=EPSILON)


ARCHITECTURE = Architecture(
    name="densenet",
    title="DenseNet",
    source="arXiv:1608.06993",
    summary="Every layer reads all before it: few weights for its accuracy, but much memory traffic.",
    features=features,
    widths=(1.0,),
    width_is_extension=True,
    variant_resolutions={"cifar_bc100": 32, "cifar40": 32},
    options=(
        Option(
            "variant",
            "121",
            "Depth; cifar_bc100 (bottlenecks, compression) and cifar40 (neither) are for images of 32 pixels",
            choices=tuple(VARIANTS),
        ),
        dropout_option(0.0, "paper: 0.2 behind each convolution, without augmentation only; here none"),
    ),
    published=(
        Published(mega_macs=2800, mega_params=8.0, top1=75.0, options={"variant": "121"}),
        Published(resolution=32, mega_params=0.77, top1=95.49, options={"variant": "cifar_bc100"}, note="CIFAR-10"),
    ),
)
