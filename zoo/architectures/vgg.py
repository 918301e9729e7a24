"""VGG: nothing but 3x3 convolutions and 2x2 maxima. Source: arXiv:1409.1556, table 1, columns A (11) and D (16).

The first dense layer reads the whole map, so its weights belong to one resolution. Below 64 pixels the network takes
the form in use for CIFAR (Liu and Deng, ACPR 2015): every convolution normalised, and one dense layer of 512,
normalised too, in place of the two of 4096, because 4096 units on a map of one cell learn nothing more.
"""

from __future__ import annotations

from zoo import layers
from zoo.blocks.convolution import conv_norm, norm_activate
from zoo.blocks.rounding import is_small, scaled
from zoo.declaration import Architecture, Option, Published, dropout_option
from zoo.heads.fully_connected import fully_connected_head
from zoo.layers import Tensor, shape_of

# Convolutions per stage; a maximum of 2x2 cells ends each.
VARIANTS = {"16": (2, 2, 3, 3, 3), "11": (1, 1, 2, 2, 2)}
CHANNELS = (64, 128, 256, 512, 512)
UNITS, SMALL_UNITS = 4096, 512


def features(image: Tensor, width: float, form: str, *, variant: str) -> Tensor:
    """The last map from `image` in [0, 1], a 32nd of its side; below 64 pixels one cell on the smaller side."""
    small = is_small(shape_of(image))
    x = image
    for number, (channels, repeats) in enumerate(zip(CHANNELS, VARIANTS[variant], strict=True), start=1):
        stage = f"stage{number}" if number > 1 else "stem"
        for block in range(1, repeats + 1):
            if small:
                x = conv_norm(x, scaled(channels, width), 3, name=f"{stage}_{block}", activation="relu")
            else:
                x = layers.conv(x, scaled(channels, width), 3, name=f"{stage}_{block}_conv", bias=True)
                x = layers.relu(x, name=f"{stage}_{block}_relu")
        # A rest of one cell is cut off, as published; a map that is one cell high or wide stays so.
        padding = "valid" if min(shape_of(x)[:2]) > 1 else "same"
        x = layers.max_pool(x, 2, padding=padding, name=f"{stage}_pool")
    return x


def head(features: Tensor, classes: int, *, width: float, dropout: float) -> Tensor:
    """Logits through two dense layers of 4096, or through one of 512 when the image was small."""
    if min(shape_of(features)[:2]) > 1:
        return fully_connected_head(features, classes, scaled(UNITS, width), dropout)
    x = layers.flatten(features, name="head_flatten")
    x = layers.dense(x, scaled(SMALL_UNITS, width), name="head_fc", bias=False)
    x = norm_activate(x, "relu", name="head_fc")
    x = layers.dropout(x, dropout, name="head_dropout")
    return layers.dense(x, classes, name="head_logits")


ARCHITECTURE = Architecture(
    name="vgg",
    title="VGG",
    source="arXiv:1409.1556",
    summary="A plain stack of 3x3 convolutions: large and slow, and the classic subject of pruning.",
    features=features,
    head=head,
    widths=(1.0,),
    width_is_extension=True,
    weights_follow_resolution=True,
    options=(
        Option("variant", "16", "Layers with weights", choices=tuple(VARIANTS)),
        dropout_option(0.5, "paper: 0.5 behind each wide dense layer"),
    ),
    published=(Published(mega_params=138, top1=71.3, options={"variant": "16"}, note="top-1 by keras.applications"),),
)
