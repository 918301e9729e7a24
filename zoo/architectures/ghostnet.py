"""GhostNet: half of every map is computed, the other half is filtered cheaply from it. Source: arXiv:1911.11907,
table 1.

The table's kernel belongs to the depthwise convolutions of a stride-2 block and of its shortcut: a stride-1 block has
none at all beside the 3x3 of its ghost modules. A block that halves the map in the paper keeps these layers, at stride
1, when a small input keeps its map. Squeeze-and-excitation stands between the two ghost modules, behind the stride-2
convolution; its squeeze is a quarter of the expanded channels rounded to 4 (ports that round to 8 or not at all have
other counts). Everything else rounds to 4 as well, so that a half is always whole. The head's hidden layer of 1280 has
a bias and no normalisation, at every width. Normalisation uses the epsilon of the authors' PyTorch code, 1e-5.
"""

from __future__ import annotations

from typing import NamedTuple

from zoo import layers
from zoo.blocks.convolution import conv_norm, depthwise_norm
from zoo.blocks.rounding import make_divisible, scaled, small_input_strides
from zoo.blocks.squeeze_excite import squeeze_excite
from zoo.declaration import SMALL_INPUT, Architecture, Published, dropout_option
from zoo.heads.classification import hidden_layer_head
from zoo.layers import Tensor, channels_of, shape_of


class Block(NamedTuple):
    """A row of the paper's table: kernel, expanded channels, output channels, squeeze-and-excitation, stride."""

    kernel: int
    expanded: int
    channels: int
    excite: bool
    stride: int


STEM, LAST, HIDDEN = 16, 960, 1280
EPSILON = 1e-5
DIVISOR = 4
BLOCKS = (
    Block(3, 16, 16, False, 1),
    Block(3, 48, 24, False, 2),
    Block(3, 72, 24, False, 1),
    Block(5, 72, 40, True, 2),
    Block(5, 120, 40, True, 1),
    Block(3, 240, 80, False, 2),
    Block(3, 200, 80, False, 1),
    Block(3, 184, 80, False, 1),
    Block(3, 184, 80, False, 1),
    Block(3, 480, 112, True, 1),
    Block(3, 672, 112, True, 1),
    Block(5, 672, 160, True, 2),
    Block(5, 960, 160, False, 1),
    Block(5, 960, 160, True, 1),
    Block(5, 960, 160, False, 1),
    Block(5, 960, 160, True, 1),
)


def ghost(x: Tensor, channels: int, *, name: str, activation: str | None = None) -> Tensor:
    """`channels`, an even number: half from a 1x1 convolution, half from a 3x3 depthwise one on the first half.

    Source: figure 2 and equations 3 and 4, with s = 2 and d = 3.
    """
    primary = conv_norm(x, channels // 2, name=f"{name}_primary", activation=activation, epsilon=EPSILON)
    cheap = depthwise_norm(primary, name=f"{name}_cheap", activation=activation, epsilon=EPSILON)
    return layers.concat([primary, cheap], name=f"{name}_concat")


def bottleneck(x: Tensor, block: Block, stride: int, width: float, name: str) -> Tensor:
    """The linear output of one row; `stride` is the table's or, on a small input, 1. Source: figure 3."""
    source, halves = x, block.stride == 2
    channels = scaled(block.channels, width, DIVISOR)
    x = ghost(x, scaled(block.expanded, width, DIVISOR), name=f"{name}_expand", activation="relu")
    if halves:
        x = depthwise_norm(x, block.kernel, name=f"{name}_depthwise", stride=stride, epsilon=EPSILON)
    if block.excite:
        squeeze = make_divisible(channels_of(x) / 4, DIVISOR)
        x = squeeze_excite(x, squeeze, name=f"{name}_squeeze", gate="hard_sigmoid")
    x = ghost(x, channels, name=f"{name}_project")
    if halves or channels_of(source) != channels:
        source = depthwise_norm(source, block.kernel, name=f"{name}_shortcut_depthwise", stride=stride, epsilon=EPSILON)
        source = conv_norm(source, channels, name=f"{name}_shortcut_pointwise", epsilon=EPSILON)
    return layers.add([source, x], name=f"{name}_add")


def features(image: Tensor, width: float, *, small_input: str) -> Tensor:
    """The last map, of `960 * width` channels, from `image` in [0, 1]. A new stage begins where channels change."""
    stem_stride, *strides = small_input_strides((2, *(block.stride for block in BLOCKS)), shape_of(image), small_input)
    stem = scaled(STEM, width, DIVISOR)
    x = conv_norm(image, stem, 3, name="stem", stride=stem_stride, activation="relu", epsilon=EPSILON)
    inward, stage, place = STEM, 1, 0
    for block, stride in zip(BLOCKS, strides, strict=True):
        stage, place = (stage, place + 1) if block.channels == inward else (stage + 1, 1)
        x = bottleneck(x, block, stride, width, f"stage{stage}_{place}")
        inward = block.channels
    return conv_norm(x, scaled(LAST, width, DIVISOR), name="last", activation="relu", epsilon=EPSILON)


def head(features: Tensor, classes: int, *, dropout: float) -> Tensor:
    """Logits (batch, classes) behind a hidden layer of 1280."""
    return hidden_layer_head(features, classes, HIDDEN, activation="relu", dropout=dropout)


ARCHITECTURE = Architecture(
    name="ghostnet",
    title="GhostNet",
    source="arXiv:1911.11907",
    summary="Half of every map is computed, the other half filtered cheaply from it: few multiply-adds, many weights.",
    features=features,
    head=head,
    widths=(0.5, 1.0, 1.3),
    options=(dropout_option(0.2, "authors' code: 0.2"), SMALL_INPUT),
    published=(
        Published(1.3, 224, 226, 7.3, 75.7),
        Published(1.0, 224, 141, 5.2, 73.9),
        Published(0.5, 224, 42, 2.6, 66.2),
    ),
)
