"""MnasNet: the first network searched for its measured latency on a phone. Source: arXiv:1807.11626, figure 7.

The paper's MnasNet is A1, with squeeze-and-excitation; B1 is the search without it, and what torchvision calls MnasNet.
The activation is ReLU, not ReLU6. The squeeze is a quarter of the block's input, not of its expanded channels, and the
gate is a plain sigmoid. The last convolution keeps 1280 channels at every width, while the stem is scaled (some older
torchvision weights of B1 kept it).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from zoo.blocks.convolution import conv_norm
from zoo.blocks.inverted_residual import inverted_residual
from zoo.blocks.rounding import scaled, small_input_strides
from zoo.blocks.squeeze_excite import squeeze_excite
from zoo.declaration import SMALL_INPUT, Architecture, Option, Published, dropout_option
from zoo.layers import Tensor, channels_of, shape_of


class Stage(NamedTuple):
    """Blocks of one kind; the stride belongs to the first."""

    expansion: int
    channels: int
    repeats: int
    stride: int
    kernel: int
    excite: bool = False


STEM, LAST = 32, 1280
FIRST = Stage(1, 16, 1, 1, 3)  # a separable convolution without a shortcut
VARIANTS = {
    "a1": (
        FIRST,
        Stage(6, 24, 2, 2, 3),
        Stage(3, 40, 3, 2, 5, excite=True),
        Stage(6, 80, 4, 2, 3),
        Stage(6, 112, 2, 1, 3, excite=True),
        Stage(6, 160, 3, 2, 5, excite=True),
        Stage(6, 320, 1, 1, 3),
    ),
    "b1": (
        FIRST,
        Stage(3, 24, 3, 2, 3),
        Stage(3, 40, 3, 2, 5),
        Stage(6, 80, 3, 2, 5),
        Stage(6, 96, 2, 1, 3),
        Stage(6, 192, 4, 2, 5),
        Stage(6, 320, 1, 1, 3),
    ),
}


def features(image: Tensor, width: float, *, variant: str, small_input: str) -> Tensor:
    """The last map, of 1280 channels, from `image` in [0, 1]."""
    stages = VARIANTS[variant]
    stem_stride, *strides = small_input_strides((2, *(stage.stride for stage in stages)), shape_of(image), small_input)
    x = conv_norm(image, scaled(STEM, width), 3, name="stem", stride=stem_stride, activation="relu")
    for number, (stage, first_stride) in enumerate(zip(stages, strides, strict=True), start=1):
        for block in range(1, stage.repeats + 1):
            name, squeeze = f"stage{number}_{block}", max(1, channels_of(x) // 4)
            x = inverted_residual(
                x,
                scaled(stage.channels, width),
                name=name,
                expansion=stage.expansion,
                stride=first_stride if block == 1 else 1,
                kernel=stage.kernel,
                activation="relu",
                excite=partial(squeeze_excite, squeeze=squeeze, name=f"{name}_squeeze") if stage.excite else None,
                shortcut=stage is not FIRST,
            )
    return conv_norm(x, LAST, name="last", activation="relu")


ARCHITECTURE = Architecture(
    name="mnasnet",
    title="MnasNet",
    source="arXiv:1807.11626",
    summary="Searched for its measured latency on a phone: unlike kernels and expansions from stage to stage.",
    features=features,
    widths=(0.35, 0.5, 0.75, 1.0, 1.4),
    options=(
        Option(
            "variant",
            "a1",
            "a1 is the paper's network, with squeeze-and-excitation; b1 was searched without",
            choices=("a1", "b1"),
        ),
        dropout_option(0.2, "reference code: 0.2"),
        SMALL_INPUT,
    ),
    published=(
        Published(1.4, 224, 591.5, 6.1, 77.2, {"variant": "a1"}),
        Published(1.0, 224, 312, 3.9, 75.2, {"variant": "a1"}),
        Published(0.75, 224, 226.7, 2.9, 73.3, {"variant": "a1"}),
        Published(0.5, 224, 105.2, 2.1, 68.9, {"variant": "a1"}),
        Published(0.35, 224, 63.2, 1.7, 64.1, {"variant": "a1"}),
        Published(1.0, 224, 315, 4.4, 74.5, {"variant": "b1"}),
    ),
)
