"""SqueezeNet: squeeze to few channels, expand by 1x1 and 3x3 convolutions side by side. Source: arXiv:1602.07360,
table 1; version 1.1 from the authors' repository.

Convolutions have biases and nothing is normalised, so training is delicate: Adam at 1e-3 learns, SGD at 0.01 slowly.
Weights are drawn as He et al. (arXiv:1502.01852, equation 10) do for layers in front of a ReLU; by Glorot's rule the
last map of an untrained network is 1e-4 wide. There is no dense layer: the last convolution makes one map per class,
whose mean is the logit. Its activation is the authors'; a map that is 0 everywhere learns nothing, and its class is
silent for good. So here the biases of that convolution begin at 1, and its weights an eighth as varied.

The authors' framework rounds pooled sizes up, so every pool of an even side sees one more row and column, at the bottom
and the right. Their 1x1 last convolution in 1.0 is padded by 1, which feeds a ring of biases into the mean; nobody
copies that, nor does this.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from zoo import layers
from zoo.blocks.rounding import is_small, make_divisible
from zoo.declaration import Architecture, Option, Published, dropout_option
from zoo.layers import Tensor, shape_of


class Fire(NamedTuple):
    """Channels of one fire module, as printed: squeezed, and of each kind of expanding convolution."""

    squeeze: int
    expand: int


class Variant(NamedTuple):
    """What the two versions do not share: the stem, and the fire modules with a pool behind them."""

    stem: int
    kernel: int
    pooled: tuple[int, int]


FIRES = (
    Fire(16, 64),
    Fire(16, 64),
    Fire(32, 128),
    Fire(32, 128),
    Fire(48, 192),
    Fire(48, 192),
    Fire(64, 256),
    Fire(64, 256),
)  # fire2 to fire9
HEAD_START = {"class_name": "VarianceScaling", "config": {"scale": 0.25, "mode": "fan_in"}}
VARIANTS = {"1.0": Variant(96, 7, (4, 8)), "1.1": Variant(64, 3, (3, 5))}


def activated_conv(x: Tensor, channels: int, kernel: int = 1, *, name: str, **config: Any) -> Tensor:
    """A convolution with bias and a ReLU: layers NAME_conv and NAME_relu. `config` is handed to `layers.conv`."""
    x = layers.conv(x, channels, kernel, name=f"{name}_conv", bias=True, **{"start": "he_normal", **config})
    return layers.relu(x, name=f"{name}_relu")


def pool(x: Tensor, *, name: str) -> Tensor:
    """The maximum of 3x3 windows, two apart, sizes rounded up. Maps are never negative, so a zero changes nothing."""
    height, across, _ = shape_of(x)
    bottom, right = (height - 3) % 2, (across - 3) % 2
    if bottom or right:
        x = layers.pad(x, 0, bottom, 0, right, name=f"{name}_pad")
    return layers.max_pool(x, 3, stride=2, padding="valid", name=name)


def fire(x: Tensor, table: Fire, width: float, *, name: str) -> Tensor:
    """Twice `expand` channels, those of the 1x1 convolution first."""
    squeeze, expand = make_divisible(table.squeeze * width), make_divisible(table.expand * width)
    x = activated_conv(x, squeeze, name=f"{name}_squeeze")
    one = activated_conv(x, expand, name=f"{name}_expand1")
    three = activated_conv(x, expand, 3, name=f"{name}_expand3")
    return layers.concat([one, three], name=f"{name}_concat")


def features(image: Tensor, width: float, *, variant: str) -> Tensor:
    """The map of the last fire module from `image` in [0, 1]: 512 channels.

    Below 64 pixels the stem is 3x3 and keeps the size, and its pool is left out; so weights of version 1.0, whose stem
    is 7x7, fit only one side of that line. Width scales the fire modules and leaves the stem as it is.
    """
    table = VARIANTS[variant]
    small = is_small(shape_of(image))
    x = activated_conv(
        image,
        table.stem,
        3 if small else table.kernel,
        name="stem",
        stride=1 if small else 2,
        padding="same" if small else "valid",
    )
    if not small:
        x = pool(x, name="stem_pool")
    for number, row in enumerate(FIRES, start=2):
        x = fire(x, row, width, name=f"fire{number}")
        if number in table.pooled:
            x = pool(x, name=f"fire{number}_pool")
    return x


def head(features: Tensor, classes: int, dropout: float) -> Tensor:
    """Logits (batch, classes), none below zero: the mean of one activated map per class."""
    x = layers.dropout(features, dropout, name="head_dropout")
    x = activated_conv(x, classes, name="head", start=HEAD_START, bias_start=1.0)
    return layers.global_pool(x, name="head_logits")


ARCHITECTURE = Architecture(
    name="squeezenet",
    title="SqueezeNet",
    source="arXiv:1602.07360",
    summary="AlexNet's accuracy with a fiftieth of its weights: squeezed 1x1 convolutions, no normalisation.",
    features=features,
    head=head,
    widths=(1.0,),
    width_is_extension=True,
    weights_follow_resolution=True,
    options=(
        Option("variant", "1.0", "1.0 is the paper's; 1.1 costs less than half for the same accuracy", ("1.0", "1.1")),
        dropout_option(0.5, "paper: 0.5, in front of the last convolution"),
    ),
    published=(
        Published(
            1.0,
            224,
            860,
            None,
            57.5,
            {"variant": "1.0"},
            note="authors' table, which prints twice as much, additions apart; not reproducible",
        ),
        Published(
            1.0,
            224,
            360,
            None,
            57.5,
            {"variant": "1.1"},
            note="authors' table, which prints twice as much, additions apart; not reproducible",
        ),
    ),
)
