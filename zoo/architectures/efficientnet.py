"""EfficientNet: one searched network, grown in width, depth and resolution together. Source: arXiv:1905.11946, table 1.

The coefficients are those of the authors' code, not powers of the paper's alpha, beta and gamma. The squeeze is a
quarter of the block's input, not of its expanded channels. Stochastic depth drops residual branches only, more often
from block to block: 0 in the first, nearly `drop_connect` in the last. Keras' own model begins with a rescaling and a
normalisation layer, seven numbers that are not weights here: ours takes pixels in [0, 1] as they are.

`lite0` is the project's variant for integer hardware: no squeeze-and-excitation, ReLU6 for swish, and a stem and a last
convolution that keep their channels at every width.

`width` multiplies the variant's own width coefficient: an extension of this project.
"""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import NamedTuple

from zoo.blocks.convolution import conv_norm
from zoo.blocks.inverted_residual import inverted_residual
from zoo.blocks.rounding import scaled, small_input_strides
from zoo.blocks.squeeze_excite import squeeze_excite
from zoo.declaration import SMALL_INPUT, Architecture, Option, Published, dropout_option
from zoo.layers import Tensor, channels_of, shape_of


class Stage(NamedTuple):
    """A row of the paper's table at B0; the stride belongs to the first block."""

    expansion: int
    kernel: int
    channels: int
    repeats: int
    stride: int


class Scale(NamedTuple):
    """What a variant makes of the table."""

    width: float
    depth: float
    lite: bool = False


STEM, LAST = 32, 1280
STAGES = (
    Stage(1, 3, 16, 1, 1),
    Stage(6, 3, 24, 2, 2),
    Stage(6, 5, 40, 2, 2),
    Stage(6, 3, 80, 3, 2),
    Stage(6, 5, 112, 3, 1),
    Stage(6, 5, 192, 4, 2),
    Stage(6, 3, 320, 1, 1),
)
VARIANTS = {
    "b0": Scale(1.0, 1.0),
    "b1": Scale(1.0, 1.1),
    "b2": Scale(1.1, 1.2),
    "b3": Scale(1.2, 1.4),
    "lite0": Scale(1.0, 1.0, lite=True),
}


def features(image: Tensor, width: float, *, variant: str, drop_connect: float, small_input: str) -> Tensor:
    """The last map from `image` in [0, 1]: 1280 channels times both widths, rounded to 8; 1280 of `lite0`."""
    scale = VARIANTS[variant]
    width = scale.width * width
    activation = "relu6" if scale.lite else "swish"
    stem, last = (STEM, LAST) if scale.lite else (scaled(STEM, width), scaled(LAST, width))
    stem_stride, *strides = small_input_strides((2, *(stage.stride for stage in STAGES)), shape_of(image), small_input)
    depths = [ceil(stage.repeats * scale.depth) for stage in STAGES]
    x = conv_norm(image, stem, 3, name="stem", stride=stem_stride, activation=activation)
    done = 0
    for number, (stage, depth, first_stride) in enumerate(zip(STAGES, depths, strides, strict=True), start=1):
        for block in range(1, depth + 1):
            name = f"stage{number}_{block}"
            excite = partial(
                squeeze_excite, squeeze=max(1, channels_of(x) // 4), name=f"{name}_squeeze", activation=activation
            )
            x = inverted_residual(
                x,
                scaled(stage.channels, width),
                name=name,
                expansion=stage.expansion,
                stride=first_stride if block == 1 else 1,
                kernel=stage.kernel,
                activation=activation,
                excite=None if scale.lite else excite,
                drop_path=drop_connect * done / sum(depths),
            )
            done += 1
    return conv_norm(x, last, name="last", activation=activation)


ARCHITECTURE = Architecture(
    name="efficientnet",
    title="EfficientNet",
    source="arXiv:1905.11946",
    summary="One searched network grown in width, depth and resolution together; lite0 for integer hardware.",
    features=features,
    widths=(1.0,),
    width_is_extension=True,
    options=(
        Option(
            "variant",
            "b0",
            "Size by compound coefficient; lite0 has no squeeze-and-excitation and ReLU6, for integer hardware",
            choices=tuple(VARIANTS),
        ),
        dropout_option(0.2, "authors' code: 0.2; 0.3 for b2 and b3"),
        Option(
            "drop_connect",
            0.2,
            "Share of images that skip the last residual block while training, growing linearly from 0 in the first "
            "(authors' code: 0.2)",
            minimum=0.0,
            maximum=0.9,
        ),
        SMALL_INPUT,
    ),
    resolutions=(96, 128, 160, 192, 224, 240, 260, 300),
    variant_resolutions={"b1": 240, "b2": 260, "b3": 300},
    published=(
        Published(1.0, 224, 390, 5.3, 77.1, {"variant": "b0"}),
        Published(1.0, 240, 700, 7.8, 79.1, {"variant": "b1"}),
        Published(1.0, 260, 1000, 9.2, 80.1, {"variant": "b2"}),
        Published(1.0, 300, 1800, 12, 81.6, {"variant": "b3"}),
        Published(
            1.0, 224, 407, 4.7, 75.1, {"variant": "lite0"},
            "the printed 407 M are not reproducible; the released network's 4,652,008 weights cost 385 M",
        ),
    ),
)  # fmt: skip
