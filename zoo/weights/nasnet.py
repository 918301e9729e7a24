"""Weights of NASNet-A mobile: `keras.applications.NASNetMobile`.

Where a cell adjusts the map before it across a reduction, Keras normalises the two halves together and ours each by
itself. Within a cell, layers are stored in the order of their distance from the output.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.architectures.nasnet import GROUPS, VARIANTS
from zoo.weights.declaration import MINUS_ONE_TO_ONE, File, Pair, Published, Weights

URL = "https://storage.googleapis.com/tensorflow/keras-applications/nasnet/"
NORMAL = ("left1", "right1", "left2", "right2", "left5")
# Their names of the branches of a reduction cell, and the sums ours names them by.
REDUCTION = {"left1": "sum1_left", "right1": "sum1_right", "right2": "sum2_right", "right3": "sum3_right",
             "left4": "sum5_left"}  # fmt: skip


def separable(ours: str, theirs: str, step: int) -> Pair:
    """The first or second separable convolution of a branch; `theirs` is branch and cell."""
    place = f"{ours}_{('first', 'second')[step - 1]}"
    return Pair(f"separable_conv_{step}_{theirs}", "separable", (f"{place}_depthwise_conv", f"{place}_pointwise_conv"))


def norm(ours: str, theirs: str, step: int) -> Pair:
    """The normalisation behind it."""
    return Pair(f"separable_conv_{step}_bn_{theirs}", "norm", (f"{ours}_{('first', 'second')[step - 1]}_norm",))


def halves(ours: str, theirs: str) -> tuple[list[Pair], list[Pair]]:
    """Convolutions and normalisation of an adjustment across a reduction."""
    convs = [Pair(f"adjust_conv_{n}_{theirs}", "conv", (f"{ours}_adjust_{side}_conv",))
             for n, side in ((1, "left"), (2, "right"))]  # fmt: skip
    return convs, [Pair(f"adjust_bn_{theirs}", "norm", (f"{ours}_adjust_left_norm", f"{ours}_adjust_right_norm"))]


def projection(ours: str, theirs: str) -> tuple[list[Pair], list[Pair]]:
    """Convolution and normalisation of an adjustment that only changes channels."""
    return (
        [Pair(f"adjust_conv_projection_{theirs}", "conv", (f"{ours}_adjust_conv",))],
        [Pair(f"adjust_bn_{theirs}", "norm", (f"{ours}_adjust_norm",))],
    )


def squeeze(ours: str, theirs: str, kind: str) -> tuple[Pair, Pair]:
    """Convolution and normalisation of the current map."""
    return (
        Pair(f"{kind}_conv_1_{theirs}", "conv", (f"{ours}_squeeze_conv",)),
        Pair(f"{kind}_bn_1_{theirs}", "norm", (f"{ours}_squeeze_norm",)),
    )


def normal_cell(ours: str, theirs: str, across: bool) -> list[Pair]:
    """A normal cell; `across` when a reduction lies between its two maps."""
    convs, norms = (halves if across else projection)(ours, theirs)
    conv, bn = squeeze(ours, theirs, "normal")
    found = [*convs, conv, *norms, bn]
    for step in (1, 2):
        for make in (separable, norm):
            for branch in NORMAL:
                side, number = branch[:-1], branch[-1]
                found.append(make(f"{ours}_sum{number}_{side}", f"normal_{branch}_{theirs}", step))
    return found


def reduction_cell(ours: str, theirs: str, adjust: str) -> list[Pair]:
    """A reduction cell; the very first one adjusts nothing."""
    conv, bn = squeeze(ours, theirs, "reduction")
    if adjust == "halves":
        convs, norms = halves(ours, theirs)
        found = [*convs, conv, bn, *norms]
    elif adjust == "projection":
        convs, norms = projection(ours, theirs)
        found = [conv, *convs, bn, *norms]
    else:
        found = [conv, bn]

    def add(make: Any, step: int, *branches: str) -> None:
        found.extend(make(f"{ours}_{REDUCTION[one]}", f"reduction_{one}_{theirs}", step) for one in branches)

    for step in (1, 2):
        add(separable, step, "left1", "right1")
        add(norm, step, "left1", "right1")
    add(separable, 1, "right2")
    add(norm, 1, "right2")
    add(separable, 1, "right3", "left4")
    add(norm, 1, "right3", "left4")
    add(separable, 2, "right2")
    add(norm, 2, "right2")
    add(separable, 2, "right3", "left4")
    add(norm, 2, "right3", "left4")
    return found


def pairs(options: Mapping[str, Any]) -> tuple[Pair, ...]:
    """Theirs counts cells through from 0; ours by group."""
    found = [Pair("stem_conv1", "conv", ("stem_conv",)), Pair("stem_bn1", "norm", ("stem_norm",))]
    found += reduction_cell("stem1", "stem_1", "nothing") + reduction_cell("stem2", "stem_2", "halves")
    cells = VARIANTS["mobile"].cells
    for group in range(GROUPS):
        if group:
            found += reduction_cell(f"reduce{group}", f"reduce_{group * cells}", "projection")
        for cell in range(cells):
            # The number that the first reduction takes is left out; the second one takes none.
            number = group * cells + cell + (1 if group else 0)
            found += normal_cell(f"stage{group + 1}_{cell + 1}", str(number), across=cell == 0)
    return (*found, Pair("predictions", "dense", ("head_logits",)))


WEIGHTS = Weights(
    family="nasnet",
    reference="NASNetMobile",
    affine=MINUS_ONE_TO_ONE,
    pairs=pairs,
    published=(
        Published(
            224,
            File("nasnet_mobile.h5", f"{URL}NASNet-mobile.h5", "020fb642bf7360b370c678b08e0adf61"),
            File("nasnet_mobile_no_top.h5", f"{URL}NASNet-mobile-no-top.h5", "1ed92395b5b598bdda52abe5c0dbfd63"),
            variant="mobile",
        ),
    ),
)
