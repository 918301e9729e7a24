"""Weights of MobileNetV2: `keras.applications.MobileNetV2`, six widths, the four smaller ones at five resolutions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.architectures.mobilenet_v2 import STAGES
from zoo.weights.declaration import MINUS_ONE_TO_ONE, File, Pair, Published, Weights, norm_behind

URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
RESOLUTIONS = {
    **dict.fromkeys((0.35, 0.5, 0.75, 1.0), (96, 128, 160, 192, 224)),
    **dict.fromkeys((1.3, 1.4), (224,)),
}


def pairs(options: Mapping[str, Any]) -> tuple[Pair, ...]:
    """Theirs counts the blocks through from 0, which is called `expanded_conv` and expands nothing."""
    found = [*norm_behind("stem", "Conv1", "bn_Conv1")]
    number = 0
    for stage, row in enumerate(STAGES, start=1):
        for block in range(1, row.repeats + 1):
            name, theirs = f"stage{stage}_{block}", f"block_{number}" if number else "expanded_conv"
            if row.expansion != 1:
                found += norm_behind(f"{name}_expand", f"{theirs}_expand", f"{theirs}_expand_BN")
            found += norm_behind(f"{name}_depthwise", f"{theirs}_depthwise", f"{theirs}_depthwise_BN", "depthwise")
            found += norm_behind(f"{name}_project", f"{theirs}_project", f"{theirs}_project_BN")
            number += 1
    found += norm_behind("last", "Conv_1", "Conv_1_bn")
    return (*found, Pair("predictions", "dense", ("head_logits",)))


def file(width: float, resolution: int, ending: str) -> File:
    """Keras publishes no hash of these."""
    name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{width}_{resolution}{ending}.h5"
    return File(name, URL + name, "")


WEIGHTS = Weights(
    family="mobilenet_v2",
    reference="MobileNetV2",
    affine=MINUS_ONE_TO_ONE,
    pairs=pairs,
    published=tuple(
        Published(resolution, file(width, resolution, ""), file(width, resolution, "_no_top"), width)
        for width, resolutions in RESOLUTIONS.items()
        for resolution in resolutions
    ),
    widths=True,
)
