"""ResNet: blocks that learn a difference and add it to their input. Source: arXiv:1512.03385, tables 1 and 6.

Convolutions have no biases, as in the paper (keras.applications has them: 25,583,592 trainable weights against
25,557,032). The stride of a bottleneck lies on its first 1x1 as in the paper and Keras; on the 3x3 ("v1.5") it costs
6 % more and is more accurate. Padding and epsilon are those of keras.applications, so that its weights fit. In the
CIFAR networks, shortcuts by projection are what most ports do; the paper's have none with weights (option `identity`).
Below 64 pixels the ImageNet networks keep the whole map in the stem; the paper has the CIFAR networks for that.
"""

from __future__ import annotations

from typing import NamedTuple

from zoo import layers
from zoo.blocks.convolution import conv_norm
from zoo.blocks.pooled_stem import pooled_stem
from zoo.blocks.residual import EPSILON, bottleneck, conv3x3_norm, fitted_shortcut
from zoo.blocks.rounding import scaled
from zoo.declaration import Architecture, Option, Published, dropout_option
from zoo.layers import Tensor


class Network(NamedTuple):
    """A network of the paper: its block, the channels of its first stage (later ones double) and blocks per stage."""

    block: str
    channels: int
    repeats: tuple[int, ...]
    stem: str


VARIANTS = {
    "50": Network("bottleneck", 64, (3, 4, 6, 3), "imagenet"),
    "18": Network("basic", 64, (2, 2, 2, 2), "imagenet"),
    "34": Network("basic", 64, (3, 4, 6, 3), "imagenet"),
    "cifar20": Network("basic", 16, (3, 3, 3), "cifar"),
    "cifar56": Network("basic", 16, (9, 9, 9), "cifar"),
}
EXPANSION = 4  # a bottleneck's output channels over its inner ones


def basic_block(x: Tensor, channels: int, *, name: str, stride: int, form: str, shortcut_kind: str) -> Tensor:
    """Two 3x3 convolutions and the shortcut: figure 5, left. The first has the stride."""
    past = fitted_shortcut(x, channels, name=name, stride=stride, kind=shortcut_kind)
    x = conv3x3_norm(x, channels, name=f"{name}_first", stride=stride, form=form, activation="relu")
    x = conv3x3_norm(x, channels, name=f"{name}_second", stride=1, form=form)
    x = layers.add([past, x], name=f"{name}_add")
    return layers.relu(x, name=f"{name}_relu")


def features(image: Tensor, width: float, form: str, *, variant: str, shortcut: str, stride_on: str) -> Tensor:
    """The last map from `image` in [0, 1]. Channels round to a multiple of 8; a bottleneck's output is 4 times its
    inner, rounded ones.
    """
    network = VARIANTS[variant]
    stem = scaled(network.channels, width)
    if network.stem == "imagenet":
        x = pooled_stem(image, stem, epsilon=EPSILON)
    else:
        x = conv_norm(image, stem, 3, name="stem", activation="relu", epsilon=EPSILON)
    for number, repeats in enumerate(network.repeats, start=1):
        inner = scaled(network.channels * 2 ** (number - 1), width)
        for block in range(1, repeats + 1):
            name, stride = f"stage{number}_{block}", 2 if block == 1 and number > 1 else 1
            if network.block == "basic":
                x = basic_block(x, inner, name=name, stride=stride, form=form, shortcut_kind=shortcut)
            else:
                x = bottleneck(
                    x,
                    inner,
                    EXPANSION * inner,
                    name=name,
                    stride=stride,
                    form=form,
                    stride_on=stride_on,
                    shortcut_kind=shortcut,
                )
    return x


ARCHITECTURE = Architecture(
    name="resnet",
    title="ResNet",
    source="arXiv:1512.03385",
    summary="Blocks that add to their input: the usual teacher, and the baseline everything is compared with.",
    features=features,
    widths=(1.0,),
    width_is_extension=True,
    variant_resolutions={"cifar20": 32, "cifar56": 32},
    options=(
        Option("variant", "50", "Depth; cifar ones are for images of 32 pixels", choices=tuple(VARIANTS)),
        Option(
            "shortcut",
            "projection",
            "Where the shape changes: projection by a 1x1 convolution, identity with zeros for new channels",
            choices=("projection", "identity"),
        ),
        Option(
            "stride_on",
            "first",
            "Convolution of a bottleneck with the stride: first as in the paper and Keras, 3x3 as in v1.5 (only 50)",
            choices=("first", "3x3"),
        ),
        dropout_option(0.0, "paper: none"),
    ),
    published=(
        Published(mega_macs=3858, mega_params=25.6, top1=75.3, options={"variant": "50"}),
        Published(mega_macs=4090, mega_params=25.6, top1=76.1, options={"variant": "50", "stride_on": "3x3"}),
        Published(
            resolution=32,
            mega_params=0.27,
            top1=91.25,
            options={"variant": "cifar20", "shortcut": "identity"},
            note="CIFAR-10",
        ),
        Published(resolution=32, top1=93.03, options={"variant": "cifar56", "shortcut": "identity"}, note="CIFAR-10"),
    ),
)
