"""ShuffleNetV2: half the channels pass by untouched, then all are shuffled. Source: arXiv:1807.11164, figure 3 and
table 5.

This is the paper's definition with equal halves. The authors' released code differs (left branch keeps its channels in
stride-2 units, the shuffle moves into the next unit, no bias in the classifier): 2,278,760 weights at 1.0 there,
2,278,604 here. The printed multiply-adds belong to that code and lie about 1 % above ours.
"""

from __future__ import annotations

from typing import NamedTuple

from zoo import layers
from zoo.blocks.convolution import conv_norm
from zoo.blocks.rounding import small_input_strides
from zoo.blocks.split_shuffle import split_shuffle_unit
from zoo.declaration import SMALL_INPUT, Architecture, Option, Published, dropout_option
from zoo.layers import Tensor, channels_of, shape_of


class Stage(NamedTuple):
    """Units of one map size; the first has stride 2."""

    number: int
    repeats: int


STEM = 24
STAGES = (Stage(2, 4), Stage(3, 8), Stage(4, 4))
STAGE2_CHANNELS = {0.5: 48, 1.0: 116, 1.5: 176, 2.0: 244}  # doubles at every later stage
EPSILON = 1e-5


def stage2_channels(width: float) -> int:
    """Channels of the first stage. The paper gives a table, not a formula.

    Off its rows they are 116 * width to the nearest multiple of 4 (halves must stay even), at least 4. The row of 0.5
    lies below that and the row of 2.0 above, so 0.45 has more channels than 0.5. Widths outside 0.5 to 2.0 are an
    extension of this project.
    """
    return STAGE2_CHANNELS.get(width) or max(4, int(116 * width / 4 + 0.5) * 4)


def features(image: Tensor, width: float, *, shuffle: bool, small_input: str) -> Tensor:
    """The last map from `image` in [0, 1]: 1024 channels, 2048 from width 2 on. The stem keeps 24 at every width.

    Below width 0.5 the two fixed ends dominate: width shrinks the stages, and the weights of the last convolution
    only in proportion to its input.
    """
    stem_stride, pool_stride, *strides = small_input_strides((2, 2, 2, 2, 2), shape_of(image), small_input)
    x = conv_norm(image, STEM, 3, name="stem", stride=stem_stride, activation="relu", epsilon=EPSILON)
    if pool_stride == 2:
        x = layers.max_pool(x, 3, stride=2, name="stem_pool")
    channels = stage2_channels(width)
    for stage, stride in zip(STAGES, strides, strict=True):
        for block in range(1, stage.repeats + 1):
            first = block == 1
            x = split_shuffle_unit(
                x,
                channels,
                name=f"stage{stage.number}_{block}",
                stride=stride if first else 1,
                first=first,
                shuffle=shuffle,
                epsilon=EPSILON,
            )
        channels = 2 * channels_of(x)
    return conv_norm(x, 2048 if width >= 2 else 1024, name="conv5", activation="relu", epsilon=EPSILON)


ARCHITECTURE = Architecture(
    name="shufflenet_v2",
    title="ShuffleNetV2",
    source="arXiv:1807.11164",
    summary="Channel split and shuffle, designed for speed on real hardware rather than for few multiply-adds.",
    features=features,
    widths=(0.5, 1.0, 1.5, 2.0),
    width_is_extension=True,
    options=(
        dropout_option(0.0, "official code: 0.2 at width 2.0, none below"),
        Option("shuffle", True, "Shuffle channels behind every unit; without, the halves of a stage never mix"),
        SMALL_INPUT,
    ),
    published=(
        Published(0.5, 224, 41, 1.4, 61.1),
        Published(1.0, 224, 146, 2.3, 69.4),
        Published(1.5, 224, 299, 3.5, 72.6),
        Published(2.0, 224, 591, 7.4, 75.0),
    ),
)
