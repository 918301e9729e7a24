"""ProxylessNAS: searched directly on the target, once each for a phone, a GPU and a CPU. Source: arXiv:1812.00332,
figure 4.

Blocks of MobileNetV2 with searched kernels and expansions. Where the search chose to do nothing, the block is absent
here. One wider network is published, mobile x1.4: width 1.4 of the variant `mobile` is its table. Every other width
rounds the variant's own table to 8, stem and last convolution included, and is an extension of this project; between
the two tables of `mobile` it is held so that a smaller width never has more channels.
"""

from __future__ import annotations

from typing import NamedTuple

from zoo.blocks.convolution import conv_norm
from zoo.blocks.inverted_residual import inverted_residual
from zoo.blocks.rounding import scaled, small_input_strides
from zoo.declaration import SMALL_INPUT, Architecture, Option, Published, dropout_option
from zoo.layers import Tensor, shape_of


class Block(NamedTuple):
    """What the search chose for one place."""

    expansion: int
    kernel: int


class Channels(NamedTuple):
    """Channels of the stem, of the seven stages and of the last convolution."""

    stem: int
    stages: tuple[int, ...]
    last: int


class Variant(NamedTuple):
    """Channels, and the blocks of every stage."""

    channels: Channels
    blocks: tuple[tuple[Block, ...], ...]


STRIDES = (1, 2, 2, 2, 1, 2, 1)  # of the first block of every stage
FIRST = (Block(1, 3),)
VARIANTS = {
    "mobile": Variant(
        Channels(32, (16, 32, 40, 80, 96, 192, 320), 1280),
        (
            FIRST,
            (Block(3, 5), Block(3, 3)),
            (Block(3, 7), Block(3, 3), Block(3, 5), Block(3, 5)),
            (Block(6, 7), Block(3, 5), Block(3, 5), Block(3, 5)),
            (Block(6, 5), Block(3, 5), Block(3, 5), Block(3, 5)),
            (Block(6, 7), Block(6, 7), Block(3, 7), Block(3, 7)),
            (Block(6, 7),),
        ),
    ),
    "gpu": Variant(
        Channels(40, (24, 32, 56, 112, 128, 256, 432), 1728),
        (
            FIRST,
            (Block(3, 5),),
            (Block(3, 7), Block(3, 3)),
            (Block(6, 7), Block(3, 5)),
            (Block(6, 5), Block(3, 3), Block(3, 5)),
            (Block(6, 7), Block(6, 7), Block(6, 7), Block(6, 5)),
            (Block(6, 7),),
        ),
    ),
    "cpu": Variant(
        Channels(40, (24, 32, 48, 88, 104, 216, 360), 1432),
        (
            FIRST,
            (Block(6, 3), Block(3, 3), Block(3, 3), Block(3, 3)),
            (Block(6, 3), Block(3, 3), Block(3, 3), Block(3, 5)),
            (Block(6, 3), Block(3, 3)),
            (Block(6, 5), Block(3, 3), Block(3, 3), Block(3, 3)),
            (Block(6, 5), Block(3, 5), Block(3, 5), Block(3, 3)),
            (Block(6, 5),),
        ),
    ),
}
WIDE = 1.4
MOBILE_WIDE = Channels(48, (24, 40, 56, 112, 136, 256, 448), 1792)


def channels_at(variant: str, width: float) -> Channels:
    """The channels of `variant` at `width`, rounded to multiples of 8; `mobile` has a published table at 1.4.

    That table has 40 and 256 channels where rounding gives 48 and 272, so a width just below it has more.
    """
    if variant == "mobile" and width == WIDE:
        return MOBILE_WIDE
    stem, stages, last = VARIANTS[variant].channels
    return Channels(scaled(stem, width), tuple(scaled(channels, width) for channels in stages), scaled(last, width))


def features(image: Tensor, width: float, *, variant: str, small_input: str) -> Tensor:
    """The last map from `image` in [0, 1]: 1280, 1728 or 1432 channels by variant, times width."""
    channels = channels_at(variant, width)
    stem_stride, *strides = small_input_strides((2, *STRIDES), shape_of(image), small_input)
    x = conv_norm(image, channels.stem, 3, name="stem", stride=stem_stride, activation="relu6")
    stages = zip(VARIANTS[variant].blocks, channels.stages, strides, strict=True)
    for number, (blocks, outward, first_stride) in enumerate(stages, start=1):
        for place, block in enumerate(blocks, start=1):
            x = inverted_residual(
                x,
                outward,
                name=f"stage{number}_{place}",
                expansion=block.expansion,
                kernel=block.kernel,
                stride=first_stride if place == 1 else 1,
            )
    return conv_norm(x, channels.last, name="last", activation="relu6")


ARCHITECTURE = Architecture(
    name="proxylessnas",
    title="ProxylessNAS",
    source="arXiv:1812.00332",
    summary="Searched directly on the target, without a proxy: one network for phones, one for GPUs, one for CPUs.",
    features=features,
    widths=(1.0, 1.4),
    width_is_extension=True,
    variant_widths={"gpu": (1.0,), "cpu": (1.0,)},
    options=(
        Option(
            "variant",
            "mobile",
            "The device it was searched on; only mobile has a published second width, 1.4",
            choices=tuple(VARIANTS),
        ),
        dropout_option(0.0, "paper: none"),
        SMALL_INPUT,
    ),
    published=(
        Published(1.0, 224, 320, 4.1, 74.6, {"variant": "mobile"}),
        Published(1.0, 224, 465, 7.1, 75.1, {"variant": "gpu"}),
        Published(1.0, 224, 439, 4.4, 75.3, {"variant": "cpu"}),
    ),
)
