"""CondenseNet: dense connections whose 1x1 convolutions learn their groups. Source: arXiv:1711.09224, sections 3 and 4,
table 1 of the ImageNet network, and the authors' code.

Every layer reads all maps before it and adds `growth` channels; blocks are joined by average pooling alone, without a
convolution. While training, the 1x1 convolutions drop inputs group by group and the classifier drops half of its
inputs (`zoo/keras_learned.py`); deployed, each becomes a gather of the kept inputs, a grouped convolution and a
shuffle. The two forms therefore differ in weights: `74` trains 11.9 million and deploys 4.8 million.

Where the paper leaves room:

- The classifier belongs to the published size with half of its inputs. The authors cut it when they convert; here it
  drops them at the end of condensation, so that the second half of training adapts and conversion changes nothing.
- Deployed, normalisation and ReLU behind a 1x1 convolution stand in front of its shuffle, where they fold into it.
- Growth rounds to a multiple of both `groups` and `condensation`. The paper has no width multiplier.
"""

from __future__ import annotations

from math import lcm
from typing import NamedTuple

from zoo import layers
from zoo.blocks.convolution import norm_activate
from zoo.blocks.grouped import grouped_conv
from zoo.blocks.rounding import make_divisible, small_input_strides
from zoo.declaration import SMALL_INPUT, Architecture, Option, Published, dropout_option
from zoo.layers import Tensor, channels_of, shape_of


class Block(NamedTuple):
    """Layers of one map size, each of which adds `growth` channels."""

    layers: int
    growth: int


IMAGENET = (Block(4, 8), Block(6, 16), Block(8, 32), Block(10, 64), Block(8, 128))


def cifar(depth: int, growth: int = 8) -> tuple[Block, ...]:
    """The three blocks of a network for 32-pixel images."""
    return tuple(Block((depth - 2) // 6, growth * factor) for factor in (1, 2, 4))


VARIANTS = {
    "74": IMAGENET,
    **{f"cifar{depth}": cifar(depth) for depth in (50, 74, 86, 98, 110, 122)},
    "cifar182": cifar(182, growth=12),
}
BOTTLENECK = 4
CLASSIFIER_CONDENSATION = 2
EPSILON = 1e-5
# Those of their MACs lie 3 to 6 % above the multiply-adds alone.
COUNTER = "MACs not reproducible to 3 %: the authors' counter adds ReLU and pooling"


def factors(groups: int, condensation: int) -> tuple[int, int]:
    """Groups and condensation factor; a factor of 0 stands for as many as groups."""
    return groups, condensation or groups


def features(
    image: Tensor, width: float, form: str, *, variant: str, groups: int, condensation: int, small_input: str
) -> Tensor:
    """The last map, normalised, from `image` in [0, 1]."""
    groups, condensation = factors(groups, condensation)
    blocks = VARIANTS[variant]
    growths = [make_divisible(block.growth * width, lcm(groups, condensation)) for block in blocks]
    # Networks for CIFAR keep their strides: they divide the side by 4 only.
    strides = (1, 2, 2) if variant.startswith("cifar") else small_input_strides((2,) * 5, shape_of(image), small_input)
    x = layers.conv(image, 2 * growths[0], 3, name="stem_conv", stride=strides[0])
    for number, (block, growth) in enumerate(zip(blocks, growths, strict=True), start=1):
        if number > 1 and strides[number - 1] == 2:
            x = layers.average_pool(x, 2, name=f"stage{number}_pool")
        for layer in range(1, block.layers + 1):
            name = f"stage{number}_{layer}"
            y = bottleneck(x, BOTTLENECK * growth, f"{name}_bottleneck", form, groups, condensation)
            y = grouped_conv(y, growth, 3, name=f"{name}_grow", groups=groups, form=form)
            x = layers.concat([x, y], name=f"{name}_concat")
    return norm_activate(x, "relu", name="last", epsilon=EPSILON)


def bottleneck(x: Tensor, channels: int, name: str, form: str, groups: int, condensation: int) -> Tensor:
    """Normalise, activate, learn groups; ready for the 3x3 convolution, whose own normalisation is the last here.

    Deployed, the inputs that groups keep are a matter of training; a sketch lists neighbours in their place.
    """
    if form == "deploy":
        kept, inputs = channels_of(x) // condensation, channels_of(x)
        indices = [(group * kept + place) % inputs for group in range(groups) for place in range(kept)]
        x = layers.gather(x, indices, name=f"{name}_gather")
    x = norm_activate(x, "relu", name=f"{name}_before", epsilon=EPSILON)
    if form == "deploy":
        x = layers.conv(x, channels, name=f"{name}_conv", groups=groups)
    else:
        x = layers.condensing_conv(x, channels, name=f"{name}_conv", groups=groups, condensation=condensation)
    x = norm_activate(x, "relu", name=name, epsilon=EPSILON)
    return layers.shuffle(x, groups, name=f"{name}_shuffle") if form == "deploy" else x


def head(features: Tensor, classes: int, form: str, dropout: float) -> Tensor:
    """Logits (batch, classes) from half of the channels."""
    x = layers.global_pool(features, name="head_pool")
    x = layers.dropout(x, dropout, name="head_dropout")
    if form == "deploy":
        x = layers.gather(x, range(channels_of(x) // CLASSIFIER_CONDENSATION), name="head_gather")
        return layers.dense(x, classes, name="head_logits")
    return layers.condensing_dense(x, classes, name="head_logits", condensation=CLASSIFIER_CONDENSATION)


ARCHITECTURE = Architecture(
    name="condensenet",
    title="CondenseNet",
    source="arXiv:1711.09224",
    summary="Dense connections of which training keeps only the useful ones: few multiply-adds, many small operators.",
    features=features,
    head=head,
    widths=(1.0,),
    width_is_extension=True,
    options=(
        Option(
            "variant",
            "74",
            "Layers and growth: 74 for ImageNet, cifar50 to cifar182 for images of 32 pixels",
            choices=tuple(VARIANTS),
        ),
        Option("groups", 4, "Groups of every 1x1 and 3x3 convolution", choices=(4, 8)),
        Option(
            "condensation",
            0,
            "Each group of a 1x1 convolution keeps one in so many inputs; 0: one in as many as there are groups",
            choices=(0, 2, 4, 8),
        ),
        dropout_option(0.0, "authors' code: none"),
        SMALL_INPUT,
    ),
    variant_resolutions={variant: 32 for variant in VARIANTS if variant.startswith("cifar")},
    published=(
        Published(mega_macs=529, mega_params=4.8, top1=73.8, options={"groups": 4}),
        Published(mega_macs=274, mega_params=2.9, top1=71.0, options={"groups": 8}, note=COUNTER),
        Published(1.0, 32, 28.6, 0.22, 93.78, {"variant": "cifar50"}, f"CIFAR-10; {COUNTER}"),
        Published(1.0, 32, 65.8, 0.52, 94.94, {"variant": "cifar86"}, f"CIFAR-10; {COUNTER}"),
        Published(1.0, 32, 513, 4.2, 96.24, {"variant": "cifar182"}, f"CIFAR-10; {COUNTER}"),
    ),
)
