"""Weights of Xception: `keras.applications.Xception`, at 299 pixels.

The convolutions of its four shortcuts carry no name there, only the numbers that Keras gave them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.architectures.xception import ENTRY, LAST, MIDDLE_BLOCKS
from zoo.weights.declaration import MINUS_ONE_TO_ONE, File, Pair, Published, Weights, norm_behind

URL = "https://storage.googleapis.com/tensorflow/keras-applications/xception/"
NAME = "xception_weights_tf_dim_ordering_tf_kernels"


def separable(ours: str, theirs: str) -> tuple[Pair, Pair]:
    """A separable convolution and the normalisation behind it."""
    return (
        Pair(theirs, "separable", (f"{ours}_depthwise_conv", f"{ours}_pointwise_conv")),
        Pair(f"{theirs}_bn", "norm", (f"{ours}_norm",)),
    )


def block(ours: str, theirs: str, convolutions: int, shortcut: int | None = None) -> list[Pair]:
    """A block of so many convolutions, and its shortcut's number if it has one with weights."""
    found: list[Pair] = []
    for number, place in enumerate(("one", "two", "three")[:convolutions], start=1):
        found += separable(f"{ours}_{place}", f"{theirs}_sepconv{number}")
    if shortcut is not None:
        found += norm_behind(f"{ours}_shortcut", f"conv2d#{shortcut}", f"batch_normalization#{shortcut}")
    return found


def pairs(options: Mapping[str, Any]) -> tuple[Pair, ...]:
    """Theirs counts the blocks through from 1, the stem being the first."""
    found = [*norm_behind("stem_1", "block1_conv1", "block1_conv1_bn")]
    found += norm_behind("stem_2", "block1_conv2", "block1_conv2_bn")
    number = 2
    for entry in range(len(ENTRY)):
        found += block(f"entry{entry + 1}", f"block{number}", 2, shortcut=entry)
        number += 1
    for middle in range(1, MIDDLE_BLOCKS + 1):
        found += block(f"middle{middle}", f"block{number}", 3)
        number += 1
    found += block("exit", f"block{number}", 2, shortcut=len(ENTRY))
    for place in range(1, len(LAST) + 1):
        found += separable(f"last{place}", f"block{number + 1}_sepconv{place}")
    return (*found, Pair("predictions", "dense", ("head_logits",)))


WEIGHTS = Weights(
    family="xception",
    reference="Xception",
    affine=MINUS_ONE_TO_ONE,
    pairs=pairs,
    published=(
        Published(
            299,
            File(f"{NAME}.h5", f"{URL}{NAME}.h5", "0a58e3b7378bc2990ea3b43d5981f1f6"),
            File(f"{NAME}_notop.h5", f"{URL}{NAME}_notop.h5", "b0042744bf5b25fce3cb969f33bebb97"),
        ),
    ),
)
