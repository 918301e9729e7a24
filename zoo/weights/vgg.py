"""Weights of VGG-16: `keras.applications.VGG16`.

Trained on blue-green-red images less the mean of ImageNet; the first kernel is turned round instead of the image. The
classifier reads a map of 7x7 cells, so it fits 224 pixels only; below 64 pixels the network takes another form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.architectures.vgg import VARIANTS
from zoo.weights.declaration import MINUS_MEAN, File, Pair, Published, Weights

URL = "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
NAME = "vgg16_weights_tf_dim_ordering_tf_kernels"


def pairs(options: Mapping[str, Any]) -> tuple[Pair, ...]:
    """Both networks count by stage and place; our first stage is the stem."""
    found = []
    for stage, blocks in enumerate(VARIANTS["16"], start=1):
        for block in range(1, blocks + 1):
            name = f"stage{stage}_{block}_conv" if stage > 1 else f"stem_{block}_conv"
            found.append(Pair(f"block{stage}_conv{block}", "conv", (name,), from_bgr=stage == block == 1))
    head = (("fc1", "head_fc1"), ("fc2", "head_fc2"), ("predictions", "head_logits"))
    return (*found, *(Pair(theirs, "dense", (ours,)) for theirs, ours in head))


WEIGHTS = Weights(
    family="vgg",
    reference="VGG16",
    affine=MINUS_MEAN,
    pairs=pairs,
    published=(
        Published(
            224,
            File(f"{NAME}.h5", f"{URL}{NAME}.h5", "64373286793e3c8b2b4e3219cbf3544b"),
            File(f"{NAME}_notop.h5", f"{URL}{NAME}_notop.h5", "6d6bbae143d832006294945121d1f1fc"),
            variant="16",
        ),
    ),
    smallest_side=64,
    classifier_side=224,
)
