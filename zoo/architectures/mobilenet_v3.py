"""MobileNetV3: searched blocks with squeeze-and-excitation and hard-swish. Source: arXiv:1905.02244, tables 1 and 2.

References differ away from width 1. This is the reading of Keras and of the released 0.75 weights: the stem keeps 16
channels at every width (the paper's own code scales it below 0.75 and above 1), expansion multiplies the input's
rounded channels (torchvision scales the table's figure), and the hidden layer of the head grows above width 1 but never
shrinks (torchvision's does).

The squeeze is a quarter of the expanded channels, not of the block's input, and stands behind the activation of the
depthwise convolution. The hidden layer has a bias and no normalisation. The minimalistic variants come from the
project, not the paper: no squeeze-and-excitation, 3x3 for 5x5 and ReLU for hard-swish. The option `squeeze_excite`
takes the first of these three away by itself.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from zoo.blocks.convolution import conv_norm
from zoo.blocks.inverted_residual import inverted_residual
from zoo.blocks.rounding import make_divisible, scaled, small_input_strides
from zoo.blocks.squeeze_excite import squeeze_excite
from zoo.declaration import SMALL_INPUT, Architecture, Option, Published, dropout_option
from zoo.heads.classification import hidden_layer_head
from zoo.layers import Tensor, channels_of, shape_of


class Block(NamedTuple):
    """A row of the paper's tables: kernel, expanded channels, output channels, squeeze-and-excitation, activation,
    stride."""

    kernel: int
    expanded: int
    channels: int
    excite: bool
    activation: str
    stride: int


class Table(NamedTuple):
    """The blocks between the stem and the last convolution, and the width of the head's hidden layer."""

    blocks: tuple[Block, ...]
    hidden: int


RE, HS = "relu", "hard_swish"
STEM = 16
LARGE = Table(
    (
        Block(3, 16, 16, False, RE, 1),
        Block(3, 64, 24, False, RE, 2),
        Block(3, 72, 24, False, RE, 1),
        Block(5, 72, 40, True, RE, 2),
        Block(5, 120, 40, True, RE, 1),
        Block(5, 120, 40, True, RE, 1),
        Block(3, 240, 80, False, HS, 2),
        Block(3, 200, 80, False, HS, 1),
        Block(3, 184, 80, False, HS, 1),
        Block(3, 184, 80, False, HS, 1),
        Block(3, 480, 112, True, HS, 1),
        Block(3, 672, 112, True, HS, 1),
        Block(5, 672, 160, True, HS, 2),
        Block(5, 960, 160, True, HS, 1),
        Block(5, 960, 160, True, HS, 1),
    ),
    hidden=1280,
)
SMALL = Table(
    (
        Block(3, 16, 16, True, RE, 2),
        Block(3, 72, 24, False, RE, 2),
        Block(3, 88, 24, False, RE, 1),
        Block(5, 96, 40, True, HS, 2),
        Block(5, 240, 40, True, HS, 1),
        Block(5, 240, 40, True, HS, 1),
        Block(5, 120, 48, True, HS, 1),
        Block(5, 144, 48, True, HS, 1),
        Block(5, 288, 96, True, HS, 2),
        Block(5, 576, 96, True, HS, 1),
        Block(5, 576, 96, True, HS, 1),
    ),
    hidden=1024,
)
VARIANTS = {"large": LARGE, "small": SMALL}
MINIMALISTIC = "_minimalistic"


def table(variant: str) -> Table:
    """The table of `variant`; a minimalistic one is its parent's, plainer."""
    blocks, hidden = VARIANTS[variant.removesuffix(MINIMALISTIC)]
    if variant.endswith(MINIMALISTIC):
        blocks = tuple(block._replace(kernel=3, excite=False, activation=RE) for block in blocks)
    return Table(blocks, hidden)


def outer_activation(variant: str) -> str:
    """The activation of the stem, the last convolution and the head."""
    return RE if variant.endswith(MINIMALISTIC) else HS


def excited(x: Tensor, *, name: str) -> Tensor:
    """`x` weighted by channel; the squeeze is a quarter of the channels, rounded to 8."""
    return squeeze_excite(x, make_divisible(channels_of(x) / 4), name=name, gate="hard_sigmoid")


def features(image: Tensor, width: float, *, variant: str, squeeze_excite: bool, small_input: str) -> Tensor:
    """The last map from `image` in [0, 1]: six times the channels of the last block.

    A new stage begins wherever the table's channels change.
    """
    blocks, outer = table(variant).blocks, outer_activation(variant)
    stem_stride, *strides = small_input_strides((2, *(block.stride for block in blocks)), shape_of(image), small_input)
    x = conv_norm(image, STEM, 3, name="stem", stride=stem_stride, activation=outer)
    inward, stage, place = STEM, 1, 0
    for block, stride in zip(blocks, strides, strict=True):
        stage, place = (stage, place + 1) if block.channels == inward else (stage + 1, 1)
        name = f"stage{stage}_{place}"
        x = inverted_residual(
            x,
            scaled(block.channels, width),
            name=name,
            expansion=block.expanded / inward,
            divisor=8,
            stride=stride,
            kernel=block.kernel,
            activation=block.activation,
            excite=partial(excited, name=f"{name}_squeeze") if block.excite and squeeze_excite else None,
        )
        inward = block.channels
    return conv_norm(x, make_divisible(6 * channels_of(x)), name="last", activation=outer)


def head(features: Tensor, classes: int, width: float, *, variant: str, dropout: float) -> Tensor:
    """Logits (batch, classes) behind a hidden layer that grows with width above 1."""
    hidden = table(variant).hidden
    hidden = make_divisible(hidden * width) if width > 1 else hidden
    return hidden_layer_head(features, classes, hidden, activation=outer_activation(variant), dropout=dropout)


ARCHITECTURE = Architecture(
    name="mobilenet_v3",
    title="MobileNetV3",
    source="arXiv:1905.02244",
    summary="Searched for phones: V2's blocks with squeeze-and-excitation and hard-swish; plain minimalistic variants.",
    features=features,
    head=head,
    widths=(0.35, 0.5, 0.75, 1.0, 1.25),
    options=(
        Option(
            "variant",
            "large",
            "Table of the paper; the minimalistic ones use no squeeze-and-excitation, hard-swish or 5x5 kernels",
            choices=("large", "small", "large_minimalistic", "small_minimalistic"),
        ),
        dropout_option(0.2, "paper: 0.2"),
        Option(
            "squeeze_excite",
            True,
            "Squeeze-and-excitation where the table has it; false shows what it brings (minimalistic variants have "
            "none)",
        ),
        SMALL_INPUT,
    ),
    published=(
        Published(1.0, 224, 217, 5.4, 75.2, {"variant": "large"}),
        Published(0.75, 224, 155, 4.0, 73.3, {"variant": "large"}),
        Published(
            1.0, 224, 66, 2.9, 67.5, {"variant": "small"},
            "the printed 66 M and 2.9 M are not reproducible; the paper's 56 M fits the released network",
        ),
        Published(
            0.75, 224, 44, 2.4, 65.4, {"variant": "small"},
            "the printed 2.4 M is not reproducible; the released network has 2.0 M",
        ),
        Published(1.0, 224, 209, 3.9, 72.3, {"variant": "large_minimalistic"}),
        Published(
            1.0, 224, 65, 2.0, 61.9, {"variant": "small_minimalistic"},
            "the printed 65 M is not reproducible; the released network has 52 M",
        ),
    ),
)  # fmt: skip
