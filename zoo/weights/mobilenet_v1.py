"""Weights of MobileNetV1: `keras.applications.MobileNet`, four widths at four resolutions each.

In front of a stride of 2 Keras always lays its zeros below and right. That is what `same` does with even sides, and
the published resolutions are even down to the last stride; with an odd one the maps lie half a cell apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.architectures.mobilenet_v1 import STAGES
from zoo.weights.declaration import MINUS_ONE_TO_ONE, File, Pair, Published, Weights, norm_behind

URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet/"
WIDTHS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}  # and as the files write them
RESOLUTIONS = (128, 160, 192, 224)


def pairs(options: Mapping[str, Any]) -> tuple[Pair, ...]:
    """Both networks are one chain; theirs counts the blocks through, ours by stage."""
    found = [*norm_behind("stem", "conv1", "conv1_bn")]
    number = 0
    for stage, row in enumerate(STAGES, start=1):
        for block in range(1, row.repeats + 1):
            number += 1
            name = f"stage{stage}_{block}"
            found += norm_behind(f"{name}_depthwise", f"conv_dw_{number}", f"conv_dw_{number}_bn", "depthwise")
            found += norm_behind(f"{name}_pointwise", f"conv_pw_{number}", f"conv_pw_{number}_bn")
    return (*found, Pair("conv_preds", "conv_as_dense", ("head_logits",)))


def file(width: float, resolution: int, ending: str) -> File:
    """Keras publishes no hash of these."""
    name = f"mobilenet_{WIDTHS[width]}_{resolution}_tf{ending}.h5"
    return File(name, URL + name, "")


WEIGHTS = Weights(
    family="mobilenet_v1",
    reference="MobileNet",
    affine=MINUS_ONE_TO_ONE,
    pairs=pairs,
    published=tuple(
        Published(resolution, file(width, resolution, ""), file(width, resolution, "_no_top"), width)
        for width in WIDTHS
        for resolution in RESOLUTIONS
    ),
    widths=True,
)
