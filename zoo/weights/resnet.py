"""Weights of ResNet-50: `keras.applications.ResNet50`, stride on the first 1x1 convolution.

Its convolutions have biases in front of their normalisations; ours have none, so each goes into the mean behind it. It
was trained on blue-green-red images less the mean of ImageNet; the first kernel is turned round instead of the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.architectures.resnet import VARIANTS
from zoo.weights.declaration import MINUS_MEAN, File, Pair, Published, Weights

URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
NAME = "resnet50_weights_tf_dim_ordering_tf_kernels"


def conv(ours: str, theirs: str, from_bgr: bool = False) -> Pair:
    """A convolution whose bias goes into the mean behind it."""
    return Pair(f"{theirs}_conv", "conv", (f"{ours}_conv",), f"{ours}_norm", from_bgr)


def norm(ours: str, theirs: str) -> Pair:
    """The normalisation behind it."""
    return Pair(f"{theirs}_bn", "norm", (f"{ours}_norm",))


def pairs(options: Mapping[str, Any]) -> tuple[Pair, ...]:
    """Their stages begin at 2, because the stem is the first; the shortcut is stored beside the last convolution."""
    found = [conv("stem", "conv1", from_bgr=True), norm("stem", "conv1")]
    for stage, blocks in enumerate(VARIANTS["50"].repeats, start=1):
        for block in range(1, blocks + 1):
            name, theirs = f"stage{stage}_{block}", f"conv{stage + 1}_block{block}"
            for number, place in ((1, "reduce"), (2, "spatial")):
                found += [conv(f"{name}_{place}", f"{theirs}_{number}"), norm(f"{name}_{place}", f"{theirs}_{number}")]
            last = [(f"{name}_shortcut", f"{theirs}_0")] if block == 1 else []
            last.append((f"{name}_expand", f"{theirs}_3"))
            found += [conv(*one) for one in last] + [norm(*one) for one in last]
    return (*found, Pair("predictions", "dense", ("head_logits",)))


WEIGHTS = Weights(
    family="resnet",
    reference="ResNet50",
    affine=MINUS_MEAN,
    pairs=pairs,
    published=(
        Published(
            224,
            File(f"{NAME}.h5", f"{URL}{NAME}.h5", "2cb95161c43110f7111970584f804107"),
            File(f"{NAME}_notop.h5", f"{URL}{NAME}_notop.h5", "4d473c1dd8becc155b73f8504c6f6626"),
            variant="50",
        ),
    ),
)
