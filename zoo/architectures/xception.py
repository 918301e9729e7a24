"""Xception: Inception taken to its end, every convolution separable. Source: arXiv:1610.02357, figure 5.

Nothing stands between the two halves of a separable convolution, neither normalisation nor activation. Activations come
first inside the blocks, and the shortcuts start in front of them. The stem has no padding.
"""

from __future__ import annotations

from zoo import layers
from zoo.blocks.convolution import conv_norm
from zoo.blocks.rounding import scaled
from zoo.blocks.separable import separable_norm
from zoo.declaration import Architecture, Published, dropout_option
from zoo.layers import Tensor, shape_of

STEM = (32, 64)
ENTRY = (128, 256, 728)
MIDDLE, MIDDLE_BLOCKS = 728, 8
EXIT = (728, 1024)
LAST = (1536, 2048)
SMALL_SIDE = 71  # the reference code asks for at least this many pixels


def shrinking_block(
    x: Tensor, channels: tuple[int, int], *, name: str, stride: int, activate_first: bool = True
) -> Tensor:
    """Two separable convolutions and a pool, added to a 1x1 convolution of the block's input."""
    shortcut = conv_norm(x, channels[1], name=f"{name}_shortcut", stride=stride)
    if activate_first:
        x = layers.relu(x, name=f"{name}_relu")
    x = separable_norm(x, channels[0], name=f"{name}_one", activation="relu")
    x = separable_norm(x, channels[1], name=f"{name}_two")
    x = layers.max_pool(x, 3, stride=stride, name=f"{name}_pool")
    return layers.add([shortcut, x], name=f"{name}_add")


def middle_block(x: Tensor, channels: int, *, name: str) -> Tensor:
    """Three separable convolutions, each behind an activation, added to the block's input."""
    shortcut = x
    x = layers.relu(x, name=f"{name}_relu")
    x = separable_norm(x, channels, name=f"{name}_one", activation="relu")
    x = separable_norm(x, channels, name=f"{name}_two", activation="relu")
    x = separable_norm(x, channels, name=f"{name}_three")
    return layers.add([shortcut, x], name=f"{name}_add")


def features(image: Tensor, width: float) -> Tensor:
    """The last map, of `2048 * width` channels, from `image` in [0, 1].

    Below 71 pixels the stem and the first block keep the size, with padding: 8 instead of 32 in total.
    """
    small = min(shape_of(image)[:2]) < SMALL_SIDE
    padding = "same" if small else "valid"
    one, two = (scaled(channels, width) for channels in STEM)
    x = conv_norm(image, one, 3, name="stem_1", stride=1 if small else 2, padding=padding, activation="relu")
    x = conv_norm(x, two, 3, name="stem_2", padding=padding, activation="relu")
    for number, table in enumerate(ENTRY, start=1):
        channels = scaled(table, width)
        x = shrinking_block(
            x,
            (channels, channels),
            name=f"entry{number}",
            stride=1 if small and number == 1 else 2,
            activate_first=number > 1,
        )
    for number in range(1, MIDDLE_BLOCKS + 1):
        x = middle_block(x, scaled(MIDDLE, width), name=f"middle{number}")
    x = shrinking_block(x, (scaled(EXIT[0], width), scaled(EXIT[1], width)), name="exit", stride=2)
    for number, table in enumerate(LAST, start=1):
        x = separable_norm(x, scaled(table, width), name=f"last{number}", activation="relu")
    return x


ARCHITECTURE = Architecture(
    name="xception",
    title="Xception",
    source="arXiv:1610.02357",
    summary="A stack of separable convolutions with shortcuts: large, and a good teacher for small networks.",
    features=features,
    widths=(1.0,),
    width_is_extension=True,
    default_resolution=299,
    resolutions=(96, 128, 160, 192, 224, 299),
    options=(dropout_option(0.0, "paper: 0.5 for one data set only, reference code: none"),),
    published=(Published(1.0, 299, 8400, 22.9, 79.0),),
)
