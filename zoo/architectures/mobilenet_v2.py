"""MobileNetV2: inverted residuals with linear bottlenecks. Source: arXiv:1801.04381, table 2.

The option `projection_activation` undoes the linear bottleneck, which the paper's section 6 argues for: it puts an
activation behind the projection's normalisation, in front of the addition.
"""

from __future__ import annotations

from typing import NamedTuple

from zoo.blocks.convolution import conv_norm
from zoo.blocks.inverted_residual import inverted_residual
from zoo.blocks.rounding import make_divisible, scaled, small_input_strides
from zoo.declaration import SMALL_INPUT, Architecture, Option, Published, dropout_option
from zoo.layers import Tensor, shape_of


class Stage(NamedTuple):
    """A row of the paper's table (t, c, n, s); the stride belongs to the first block."""

    expansion: int
    channels: int
    repeats: int
    stride: int


STEM, LAST = 32, 1280
STAGES = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)


def features(image: Tensor, width: float, form: str, *, projection_activation: str, small_input: str) -> Tensor:
    """The last map from `image` in [0, 1]: 1280 channels, more only above width 1 (section 4: the last layer keeps its
    width below 1). Stem and rows round to a multiple of 8; expansion multiplies the rounded channels.
    """
    stem_stride, *strides = small_input_strides((2, *(stage.stride for stage in STAGES)), shape_of(image), small_input)
    x = conv_norm(image, scaled(STEM, width), 3, name="stem", stride=stem_stride, activation="relu6")
    for number, (stage, first_stride) in enumerate(zip(STAGES, strides, strict=True), start=1):
        for block in range(1, stage.repeats + 1):
            x = inverted_residual(
                x,
                scaled(stage.channels, width),
                name=f"stage{number}_{block}",
                expansion=stage.expansion,
                stride=first_stride if block == 1 else 1,
                projection_activation=None if projection_activation == "none" else projection_activation,
            )
    last = make_divisible(LAST * width) if width > 1 else LAST
    return conv_norm(x, last, name="last", activation="relu6")


ARCHITECTURE = Architecture(
    name="mobilenet_v2",
    title="MobileNetV2",
    source="arXiv:1801.04381",
    summary="Inverted residuals with linear bottlenecks: more accurate per multiply-add than V1, plain operators.",
    features=features,
    widths=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
    options=(
        dropout_option(0.2, "paper's training code: 0.2"),
        Option(
            "projection_activation",
            "none",
            "Activation behind the projection: none is the paper's linear bottleneck, the others are what it argues "
            "against",
            choices=("none", "relu6", "relu"),
        ),
        SMALL_INPUT,
    ),
    published=(
        Published(1.4, 224, 582, 6.06, 75.0),
        Published(1.3, 224, None, 5.34),
        Published(1.0, 224, 300, 3.47, 71.8),
        Published(0.75, 224, 209, 2.61, 69.8),
        Published(0.5, 224, 97, 1.95, 65.4),
        Published(0.35, 224, 59, 1.66, 60.3),
    ),
)
