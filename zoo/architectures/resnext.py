"""ResNeXt: ResNet's bottleneck with a grouped 3x3 convolution. Source: arXiv:1611.05431, table 1 and section 5.3.

The paper names a network by groups x channels of a group in the first stage, "32x4d"; from stage to stage the groups
stay and their channels double. Width, an extension of this project, changes the number of groups, so that each group
stays what the paper says. Epsilon, padding and small inputs are as in ResNet, the stride is on the 3x3.
"""

from __future__ import annotations

from typing import NamedTuple

from zoo.blocks.convolution import conv_norm
from zoo.blocks.pooled_stem import pooled_stem
from zoo.blocks.residual import EPSILON, bottleneck
from zoo.blocks.rounding import scaled
from zoo.declaration import Architecture, Option, Published, dropout_option
from zoo.layers import Tensor


class Network(NamedTuple):
    """A network of the paper: groups, channels of a group in the first stage (they double), output channels per inner
    channel, blocks per stage."""

    groups: int
    group_channels: int
    expansion: float
    repeats: tuple[int, ...]
    stem: str


VARIANTS = {
    "50": Network(32, 4, 2, (3, 4, 6, 3), "imagenet"),  # ResNeXt-50 32x4d: inner 128, out 256
    "cifar29": Network(8, 64, 0.5, (3, 3, 3), "cifar"),  # ResNeXt-29 8x64d: inner 512, out 256
}
STEM = 64


def features(image: Tensor, width: float, form: str, *, variant: str) -> Tensor:
    """The last map from `image` in [0, 1]. The groups are the paper's times `width`, at least one."""
    network = VARIANTS[variant]
    groups = max(1, int(network.groups * width + 0.5))
    if network.stem == "imagenet":
        x = pooled_stem(image, scaled(STEM, width), epsilon=EPSILON)
    else:
        x = conv_norm(image, scaled(STEM, width), 3, name="stem", activation="relu", epsilon=EPSILON)
    for number, repeats in enumerate(network.repeats, start=1):
        inner = groups * network.group_channels * 2 ** (number - 1)
        for block in range(1, repeats + 1):
            x = bottleneck(
                x,
                inner,
                int(network.expansion * inner),
                name=f"stage{number}_{block}",
                stride=2 if block == 1 and number > 1 else 1,
                form=form,
                groups=groups,
            )
    return x


ARCHITECTURE = Architecture(
    name="resnext",
    title="ResNeXt",
    source="arXiv:1611.05431",
    summary="ResNet with grouped 3x3 convolutions: more accurate at equal cost, a stronger teacher.",
    features=features,
    widths=(1.0,),
    width_is_extension=True,
    variant_resolutions={"cifar29": 32},
    options=(
        Option(
            "variant",
            "50",
            "50: ResNeXt-50 32x4d; cifar29: ResNeXt-29 8x64d for images of 32 pixels",
            choices=tuple(VARIANTS),
        ),
        dropout_option(0.0, "paper: none"),
    ),
    published=(Published(mega_macs=4200, mega_params=25.0, top1=77.8, options={"variant": "50"}),),
)
