"""NASNet-A: two cells found by search, stacked by hand. Source: arXiv:1707.07012, figures 2 and 4.

"N @ P" means N normal cells in each of three groups and P channels in the last but one layer; a normal cell of F
channels puts out 6 F, so the last ones have P / 24 * 4 each. Every cell reads two maps, its input h and the input p of
the cell right before it, also when that one was a reduction.

The layout is that of keras.applications, whose weights are published: `valid` stem, the very first cell reads p as it
is, and pools in reduction cells count the zeros around the map. The normalisation behind the two halves of a
factorised reduction stands here behind each half, which is the same and folds away. Auxiliary head and drop path,
aids of the paper's training, are left out. Below 64 pixels the stem and the first reduction keep the size of the map
(weights stay the same); the paper has the CIFAR network for that. Width is an extension of this project.
"""

from __future__ import annotations

from typing import NamedTuple

from zoo import layers
from zoo.blocks.convolution import conv_norm
from zoo.blocks.rounding import is_small, make_divisible
from zoo.blocks.separable import separable_norm
from zoo.declaration import Architecture, Option, Published, dropout_option
from zoo.layers import Tensor, channels_of, shape_of


class Network(NamedTuple):
    """A network of the paper: normal cells per group, channels of the last but one layer, channels of the stem."""

    cells: int
    filters: int
    stem: int


VARIANTS = {"mobile": Network(4, 1056, 32), "cifar": Network(6, 768, 96)}
GROUPS = 3


class Maps(NamedTuple):
    """What a cell reads: its input, that of the cell before, and the stride that lies between the two."""

    current: Tensor
    previous: Tensor
    stride: int | None = None  # None when no reduction lies between


def separable_twice(x: Tensor, channels: int, kernel: int, *, name: str, stride: int = 1) -> Tensor:
    """Two separable convolutions with a ReLU between them, the stride on the first; `x` is activated already."""
    x = separable_norm(x, channels, kernel, name=f"{name}_first", stride=stride, activation="relu")
    return separable_norm(x, channels, kernel, name=f"{name}_second")


def adjusted(maps: Maps, channels: int, *, name: str) -> Tensor:
    """The previous map at the size of the current one, with `channels`.

    Across a reduction by two 1x1 convolutions, one of them a cell down and to the right, so that no cell is lost.
    """
    x = maps.previous
    if maps.stride is not None:
        x = layers.relu(x, name=f"{name}_adjust_relu")
        shifted = layers.pad(x, 0, 1, 0, 1, name=f"{name}_adjust_pad")
        shifted = layers.crop(shifted, 1, 0, 1, 0, name=f"{name}_adjust_crop")
        halves = [
            conv_norm(part, channels // 2, name=f"{name}_adjust_{side}", stride=maps.stride)
            for part, side in ((x, "left"), (shifted, "right"))
        ]
        return layers.concat(halves, name=f"{name}_adjust_concat")
    if channels_of(x) == channels:
        return x
    x = layers.relu(x, name=f"{name}_adjust_relu")
    return conv_norm(x, channels, name=f"{name}_adjust")


def squeezed(x: Tensor, channels: int, *, name: str) -> Tensor:
    """The current map at `channels`."""
    return conv_norm(layers.relu(x, name=f"{name}_squeeze_relu"), channels, name=f"{name}_squeeze")


def normal_cell(maps: Maps, channels: int, *, name: str) -> Tensor:
    """Five sums of `channels` and the previous map: figure 4, left."""
    p = adjusted(maps, channels, name=name)
    h = squeezed(maps.current, channels, name=name)
    active_p, active_h = layers.relu(p, name=f"{name}_p_relu"), layers.relu(h, name=f"{name}_h_relu")
    mean_p = layers.average_pool(p, 3, stride=1, name=f"{name}_p_pool")
    mean_h = layers.average_pool(h, 3, stride=1, name=f"{name}_h_pool")
    pairs = (
        (
            separable_twice(active_h, channels, 5, name=f"{name}_sum1_left"),
            separable_twice(active_p, channels, 3, name=f"{name}_sum1_right"),
        ),
        (
            separable_twice(active_p, channels, 5, name=f"{name}_sum2_left"),
            separable_twice(active_p, channels, 3, name=f"{name}_sum2_right"),
        ),
        (mean_h, p),
        (mean_p, mean_p),
        (separable_twice(active_h, channels, 3, name=f"{name}_sum5_left"), h),
    )
    sums = [layers.add(pair, name=f"{name}_sum{number}_add") for number, pair in enumerate(pairs, start=1)]
    return layers.concat([p, *sums], name=f"{name}_concat")


def reduction_cell(maps: Maps, channels: int, *, name: str, stride: int, first: bool = False) -> Tensor:
    """Four of five sums of `channels`, at half the side when `stride` is 2: figure 4, right. The `first` cell of a
    network has no map before its input and reads that twice.
    """
    p = maps.previous if first else adjusted(maps, channels, name=name)
    h = squeezed(maps.current, channels, name=name)
    active_p, active_h = layers.relu(p, name=f"{name}_p_relu"), layers.relu(h, name=f"{name}_h_relu")
    height, width, _ = shape_of(h)
    # As little as `same` padding would lay above and left; but as zeros, which pools then count.
    top, left = (0 if size % 2 == 0 and stride == 2 else 1 for size in (height, width))
    padded = layers.pad(h, top, 1, left, 1, name=f"{name}_h_pad")
    largest = layers.max_pool(padded, 3, stride=stride, padding="valid", name=f"{name}_h_max_pool")
    mean = layers.average_pool(padded, 3, stride=stride, padding="valid", name=f"{name}_h_pool")
    inner = layers.add(
        [
            separable_twice(active_h, channels, 5, name=f"{name}_sum1_left", stride=stride),
            separable_twice(active_p, channels, 7, name=f"{name}_sum1_right", stride=stride),
        ],
        name=f"{name}_sum1_add",
    )
    second = layers.add(
        [largest, separable_twice(active_p, channels, 7, name=f"{name}_sum2_right", stride=stride)],
        name=f"{name}_sum2_add",
    )
    third = layers.add(
        [mean, separable_twice(active_p, channels, 5, name=f"{name}_sum3_right", stride=stride)],
        name=f"{name}_sum3_add",
    )
    fourth = layers.add(
        [second, layers.average_pool(inner, 3, stride=1, name=f"{name}_sum1_pool")], name=f"{name}_sum4_add"
    )
    active_inner = layers.relu(inner, name=f"{name}_sum1_relu")
    fifth = layers.add(
        [separable_twice(active_inner, channels, 3, name=f"{name}_sum5_left"), largest], name=f"{name}_sum5_add"
    )
    return layers.concat([second, third, fourth, fifth], name=f"{name}_concat")


def features(image: Tensor, width: float, form: str, *, variant: str, cells: int, filters: int) -> Tensor:
    """The last map, activated, from `image` in [0, 1]. The cells' channels round to a multiple of 4, because the stem
    divides them by 4.

    Raises: ValueError for `filters` that give no such multiple.
    """
    network = VARIANTS[variant]
    cells, filters = cells or network.cells, filters or network.filters
    if filters % 96:
        below = max(1, filters // 96) * 96
        raise ValueError(f"filters {filters} is not a multiple of 96; use {below} or {below + 96}")
    channels = make_divisible(filters / 24 * width, 4)
    maps = stem(image, width, network.stem, channels, imagenet=variant == "mobile")
    for group in range(GROUPS):
        own = channels * 2**group
        if group:
            reduced = reduction_cell(maps, own, name=f"reduce{group}", stride=2)
            maps = Maps(reduced, maps.current, stride=2)
        for cell in range(1, cells + 1):
            maps = Maps(normal_cell(maps, own, name=f"stage{group + 1}_{cell}"), maps.current)
    return layers.relu(maps.current, name="last_relu")


def stem(image: Tensor, width: float, stem_channels: int, channels: int, *, imagenet: bool) -> Maps:
    """A convolution and, for ImageNet, two narrow reductions: an eighth of the image's side, a quarter of it for
    images below 64 pixels halved once.
    """
    wide = make_divisible(stem_channels * width)
    if not imagenet:
        x = conv_norm(image, wide, 3, name="stem")
        return Maps(x, x)
    stride = 1 if is_small(shape_of(image)) else 2
    x = conv_norm(image, wide, 3, name="stem", stride=stride, padding="valid")
    first = reduction_cell(Maps(x, x), channels // 4, name="stem1", stride=stride, first=True)
    second = reduction_cell(Maps(first, x, stride), channels // 2, name="stem2", stride=2)
    return Maps(second, first, stride=2)


ARCHITECTURE = Architecture(
    name="nasnet",
    title="NASNet-A",
    source="arXiv:1707.07012",
    summary="Cells found by search: accurate for its multiply-adds, but split into many small operations.",
    features=features,
    widths=(1.0,),
    width_is_extension=True,
    variant_resolutions={"cifar": 32},
    options=(
        Option(
            "variant",
            "mobile",
            "mobile: 4 @ 1056 for ImageNet; cifar: 6 @ 768 for images of 32 pixels",
            choices=tuple(VARIANTS),
        ),
        Option("cells", 0, "Normal cells per group, N of N @ P; 0 is the variant's own", minimum=0, maximum=20),
        Option(
            "filters",
            0,
            "Channels of the last but one layer, P of N @ P, a multiple of 96; 0 is the variant's own",
            minimum=0,
            maximum=9600,
        ),
        dropout_option(0.5, "paper: 0.5"),
    ),
    published=(Published(mega_macs=564, mega_params=5.3, top1=74.0, options={"variant": "mobile"}),),
)
