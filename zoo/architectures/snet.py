"""SNet: ShuffleNetV2 with 5x5 kernels, the backbones of the detector ThunderNet. Source: arXiv:1903.11752, table 1.

Here they carry a classification head, as they do while they are trained for the detector. The names are meant to be
millions of multiply-adds at 224 pixels, but only 535 is: the printed tables cost 51.2, 161.1 and 535.4. The detector
itself sees 320 pixels.
"""

from __future__ import annotations

from typing import NamedTuple

from zoo import layers
from zoo.blocks.convolution import conv_norm
from zoo.blocks.rounding import small_input_strides
from zoo.blocks.split_shuffle import split_shuffle_unit
from zoo.declaration import SMALL_INPUT, Architecture, Option, Published, dropout_option
from zoo.layers import Tensor, shape_of


class Variant(NamedTuple):
    """A column of the paper's table; channels double from stage to stage, and only SNet49 has a last convolution."""

    stem: int
    stage2: int
    last: int | None


VARIANTS = {
    "49": Variant(24, 60, 512),
    "146": Variant(24, 132, None),
    "535": Variant(48, 248, None),
}
REPEATS = (4, 8, 4)  # stages 2, 3 and 4
KERNEL = 5
EPSILON = 1e-5


def features(image: Tensor, width: float, *, variant: str, small_input: str) -> Tensor:
    """The last map from `image` in [0, 1]. Width scales the stages to multiples of 4, as halves must stay even; stem
    and last convolution keep their channels, as ShuffleNetV2's do.
    """
    table = VARIANTS[variant]
    stem_stride, pool_stride, *strides = small_input_strides((2, 2, 2, 2, 2), shape_of(image), small_input)
    x = conv_norm(image, table.stem, 3, name="stem", stride=stem_stride, activation="relu", epsilon=EPSILON)
    if pool_stride == 2:
        x = layers.max_pool(x, 3, stride=2, name="stem_pool")
    channels = max(4, int(table.stage2 * width / 4 + 0.5) * 4)
    for number, (repeats, stride) in enumerate(zip(REPEATS, strides, strict=True), start=2):
        for block in range(1, repeats + 1):
            first = block == 1
            x = split_shuffle_unit(
                x,
                channels,
                name=f"stage{number}_{block}",
                stride=stride if first else 1,
                first=first,
                kernel=KERNEL,
                epsilon=EPSILON,
            )
        channels *= 2
    if table.last is None:
        return x
    return conv_norm(x, table.last, name="conv5", activation="relu", epsilon=EPSILON)


ARCHITECTURE = Architecture(
    name="snet",
    title="SNet",
    source="arXiv:1903.11752",
    summary="ShuffleNetV2 with 5x5 kernels for a wider view: the backbones of the detector ThunderNet.",
    features=features,
    widths=(1.0,),
    width_is_extension=True,
    resolutions=(96, 128, 160, 192, 224, 320),
    options=(
        Option(
            "variant",
            "49",
            "Backbone of ThunderNet: 49 is the fastest, 146 in between, 535 the most accurate",
            choices=("49", "146", "535"),
        ),
        dropout_option(0.0, "paper: none mentioned"),
        SMALL_INPUT,
    ),
    published=(
        Published(mega_macs=49, options={"variant": "49"}, note="named so; its table costs 51.2, not reproducible"),
        Published(mega_macs=146, options={"variant": "146"}, note="named so; its table costs 161.1, not reproducible"),
        Published(mega_macs=535, options={"variant": "535"}),
    ),
)
