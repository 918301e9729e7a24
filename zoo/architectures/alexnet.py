"""AlexNet in its one-tower form. Sources: NIPS 2012, "ImageNet Classification with Deep Convolutional Neural Networks";
one tower: arXiv:1404.5997, section 5, footnote 1.

Three definitions go by this name: the original with two towers (groups of 2 in convolutions 2, 4 and 5, 60.97 million
weights), the same ungrouped (62.4), and one tower of 64-192-384-256-256 channels without response normalisation
(61.1), which is what torchvision has and what stands here. The dense layers read the whole map: torchvision pools it
to 6x6 first, which changes nothing at 224; here their weights belong to one resolution instead. Below 64 pixels, where
the stem would leave nothing, it becomes 3x3 without stride and the maxima take 2x2 cells: a house rule.
"""

from __future__ import annotations

from typing import NamedTuple

from zoo import layers
from zoo.blocks.rounding import is_small, scaled
from zoo.declaration import Architecture, Published, dropout_option
from zoo.heads.fully_connected import fully_connected_head
from zoo.layers import Tensor, shape_of


class Stage(NamedTuple):
    """One convolution, and whether a maximum halves its map."""

    channels: int
    kernel: int
    pooled: bool


STEM = 64
STAGES = (Stage(192, 5, True), Stage(384, 3, False), Stage(256, 3, False), Stage(256, 3, True))
UNITS = 4096


def features(image: Tensor, width: float, form: str) -> Tensor:
    """The last map from `image` in [0, 1]: 6x6 at 224 pixels. Channels round to a multiple of 8."""
    small = is_small(shape_of(image))
    window = 2 if small else 3
    if small:
        x = layers.conv(image, scaled(STEM, width), 3, name="stem_conv", bias=True)
    else:
        x = layers.pad(image, 2, 2, 2, 2, name="stem_pad")
        x = layers.conv(x, scaled(STEM, width), 11, name="stem_conv", stride=4, bias=True, padding="valid")
    x = layers.relu(x, name="stem_relu")
    x = layers.max_pool(x, window, stride=2, padding="valid", name="stem_pool")
    for number, stage in enumerate(STAGES, start=2):
        x = layers.conv(x, scaled(stage.channels, width), stage.kernel, name=f"stage{number}_conv", bias=True)
        x = layers.relu(x, name=f"stage{number}_relu")
        if stage.pooled:
            x = layers.max_pool(x, window, stride=2, padding="valid", name=f"stage{number}_pool")
    return x


def head(features: Tensor, classes: int, *, width: float, dropout: float) -> Tensor:
    """Logits through two dense layers of 4096."""
    return fully_connected_head(features, classes, scaled(UNITS, width), dropout)


ARCHITECTURE = Architecture(
    name="alexnet",
    title="AlexNet",
    source="arXiv:1404.5997",
    summary="Five convolutions and three dense layers: where it began, and what SqueezeNet measures itself against.",
    features=features,
    head=head,
    widths=(1.0,),
    width_is_extension=True,
    weights_follow_resolution=True,
    options=(dropout_option(0.5, "NIPS paper: 0.5 behind each wide dense layer"),),
    published=(Published(mega_macs=714, mega_params=61.1, top1=56.5, note="torchvision"),),
)
