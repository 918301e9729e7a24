"""MobileNetV2 with fully learnable group convolution. Source: arXiv:1904.00346, on the table of arXiv:1801.04381.

Every input and every output channel of a 1x1 convolution learns which of `groups` groups it belongs to
(`zoo/keras_learned.py`). The learned groups need not be equally large. Counts of the deployed form are those of the
balanced case, inputs x outputs / groups: channels put in order, a native grouped convolution, channels put back. Groups
that came out unequal deploy as one convolution each (`zoo/deploy.py`).

The paper's figure for MobileNetV2 on CIFAR-10 (76 million multiply-adds at 8 groups) fits no choice of convolutions we
could find; the default learns groups in the projections, the option `where` in every 1x1 convolution. The weights and
multiply-adds stated here are this project's own.
"""

from __future__ import annotations

from zoo import layers
from zoo.architectures.mobilenet_v2 import LAST, STAGES, STEM
from zoo.blocks.convolution import conv_norm, depthwise_norm, norm_activate
from zoo.blocks.rounding import make_divisible, scaled, small_input_strides
from zoo.declaration import SMALL_INPUT, Architecture, Option, Published, dropout_option
from zoo.layers import Tensor, channels_of, shape_of


def features(image: Tensor, width: float, form: str, *, groups: int, where: str, small_input: str) -> Tensor:
    """The last map from `image` in [0, 1]."""

    def learned(x: Tensor, channels: int, name: str, activation: str | None = None) -> Tensor:
        return learned_group_norm(x, channels, name=name, groups=groups, form=form, activation=activation)

    def other(x: Tensor, channels: int, name: str, activation: str | None = None) -> Tensor:
        if where == "all":
            return learned(x, channels, name, activation)
        return conv_norm(x, channels, name=name, activation=activation)

    stem_stride, *strides = small_input_strides((2, *(stage.stride for stage in STAGES)), shape_of(image), small_input)
    x = conv_norm(image, scaled(STEM, width), 3, name="stem", stride=stem_stride, activation="relu6")
    for number, (stage, first_stride) in enumerate(zip(STAGES, strides, strict=True), start=1):
        for block in range(1, stage.repeats + 1):
            name, stride, source = f"stage{number}_{block}", first_stride if block == 1 else 1, x
            if stage.expansion != 1:
                x = other(x, channels_of(x) * stage.expansion, f"{name}_expand", "relu6")
            x = depthwise_norm(x, name=f"{name}_depthwise", stride=stride, activation="relu6")
            x = learned(x, scaled(stage.channels, width), f"{name}_project")
            if stride == 1 and channels_of(source) == channels_of(x):
                x = layers.add([source, x], name=f"{name}_add")
    last = make_divisible(LAST * width) if width > 1 else LAST
    return other(x, last, "last", "relu6")


def learned_group_norm(
    x: Tensor, channels: int, *, name: str, groups: int, form: str, activation: str | None
) -> Tensor:
    """A 1x1 convolution that learns its groups, its normalisation and an activation unless it is linear.

    Deployed, the order of channels is a matter of training; a sketch leaves them where they are.
    """
    if form != "deploy":
        x = layers.learned_group_conv(x, channels, name=f"{name}_conv", groups=groups)
        return norm_activate(x, activation, name=name)
    x = layers.gather(x, range(channels_of(x)), name=f"{name}_gather")
    x = layers.conv(x, channels, name=f"{name}_conv", groups=groups)
    x = norm_activate(x, activation, name=name)
    return layers.gather(x, range(channels), name=f"{name}_restore")


ARCHITECTURE = Architecture(
    name="flgc",
    title="MobileNetV2 with FLGC",
    source="arXiv:1904.00346",
    summary="MobileNetV2 whose 1x1 convolutions learn their own groups; the groups rarely come out equal.",
    features=features,
    widths=(1.0,),
    width_is_extension=True,
    options=(
        Option("groups", 4, "Groups of every learned 1x1 convolution", choices=(2, 4, 8)),
        Option(
            "where",
            "projections",
            "Which 1x1 convolutions learn groups: projections of the blocks, or all of them",
            choices=("projections", "all"),
        ),
        dropout_option(0.2, "as in MobileNetV2"),
        SMALL_INPUT,
    ),
    published=(Published(resolution=32, top1=93.09, options={"groups": 8}, note="CIFAR-10"),),
)
