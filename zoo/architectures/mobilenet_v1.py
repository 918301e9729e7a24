"""MobileNetV1: a plain chain of depthwise separable convolutions. Source: arXiv:1704.04861, table 1.

The published code uses ReLU6 where the paper says ReLU; the code's is the default, the paper's an option. The last
row of the paper's table prints stride 2 although its map stays 7x7: it is 1. Widths cut off the fraction, nothing
rounds to 8.

The option `residual` is no part of the paper: it puts the identity shortcut of later networks around every block whose
input and output have one shape, so that its effect can be seen on an otherwise plain chain.
"""

from __future__ import annotations

from typing import NamedTuple

from zoo import layers
from zoo.blocks.convolution import conv_norm, depthwise_norm
from zoo.blocks.rounding import scaled, small_input_strides
from zoo.declaration import SMALL_INPUT, Architecture, Option, Published, dropout_option
from zoo.layers import Tensor, channels_of, shape_of


class Stage(NamedTuple):
    """Blocks of one map size; the stride belongs to the first."""

    channels: int
    repeats: int
    stride: int


STEM = 32
STAGES = (
    Stage(64, 1, 1),
    Stage(128, 2, 2),
    Stage(256, 2, 2),
    Stage(512, 6, 2),
    Stage(1024, 2, 2),
)


def features(image: Tensor, width: float, form: str, *, activation: str, residual: bool, small_input: str) -> Tensor:
    """The last map, of `1024 * width` channels, from `image` in [0, 1]."""
    stem_stride, *strides = small_input_strides((2, *(stage.stride for stage in STAGES)), shape_of(image), small_input)
    x = conv_norm(image, scaled(STEM, width, 1), 3, name="stem", stride=stem_stride, activation=activation)
    for number, (stage, first_stride) in enumerate(zip(STAGES, strides, strict=True), start=1):
        for block in range(1, stage.repeats + 1):
            name, stride = f"stage{number}_{block}", first_stride if block == 1 else 1
            source = x
            x = depthwise_norm(x, name=f"{name}_depthwise", stride=stride, activation=activation)
            x = conv_norm(x, scaled(stage.channels, width, 1), name=f"{name}_pointwise", activation=activation)
            if residual and stride == 1 and channels_of(source) == channels_of(x):
                x = layers.add([source, x], name=f"{name}_add")
    return x


ARCHITECTURE = Architecture(
    name="mobilenet_v1",
    title="MobileNetV1",
    source="arXiv:1704.04861",
    summary="A plain chain of depthwise separable convolutions: the simplest small network, friendly to every device.",
    features=features,
    widths=(0.25, 0.5, 0.75, 1.0),
    options=(
        dropout_option(0.001, "reference code: 0.001"),
        Option(
            "activation",
            "relu6",
            "Activation: relu6 as in the reference code, relu as in the paper",
            choices=("relu6", "relu"),
        ),
        Option(
            "residual",
            False,
            "Identity shortcuts around blocks whose input and output have one shape (the paper has none)",
        ),
        SMALL_INPUT,
    ),
    # The project's own table; it prints 317 M multiply-adds at 0.75 and the paper 325 M, which is what the table costs.
    published=(
        Published(1.0, 224, 569, 4.24, 70.9),
        Published(1.0, 128, 186, 4.24, 65.2),
        Published(0.75, 224, 325, 2.59, 68.4),
        Published(0.5, 224, 150, 1.34, 63.3),
        Published(0.25, 224, 41, 0.47, 49.8),
    ),
)
