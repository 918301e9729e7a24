"""Weights of EfficientNet: `keras.applications.EfficientNetB0` to `B3`.

Keras' models hold their input statistics in a normalisation layer of their own, so they are read from the file. The
published files have the standard deviation where that layer expects the variance; Keras divides by its root once more
when it loads them (TensorFlow issue 49930), and so does `arrange`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from string import ascii_lowercase
from typing import Any

from zoo.architectures.efficientnet import STAGES, VARIANTS
from zoo.layers import AFFINE
from zoo.weights.declaration import File, Pair, Published, Weights, norm_behind

URL = "https://storage.googleapis.com/keras-applications/"
# Variant -> resolution, MD5 with the classifier, without.
HASHES = {
    "b0": (224, "902e53a9f72be733fc0bcb005b3ebbac", "50bc09e76180e00e4465e1a485ddc09d"),
    "b1": (240, "1d254153d4ab51201f1646940f018540", "74c4e6b3e1f6a1eea24c589628592432"),
    "b2": (260, "b15cce36ff4dcbd00b6dd88e7857a6ad", "111f8e2ac8aa800a7a99e3239f7bfb39"),
    "b3": (300, "ffd1fdc53d0ce67064dc6a9c7960ede0", "af6d107764bb5b1abb91932881670226"),
}


def pairs(options: Mapping[str, Any]) -> tuple[Pair, ...]:
    """Theirs counts the blocks of a stage by letters."""
    found = [Pair("normalization#0", "input", (AFFINE,)), *norm_behind("stem", "stem_conv", "stem_bn")]
    for stage, row in enumerate(STAGES, start=1):
        for block in range(1, ceil(row.repeats * VARIANTS[options["variant"]].depth) + 1):
            name, theirs = f"stage{stage}_{block}", f"block{stage}{ascii_lowercase[block - 1]}"
            if row.expansion != 1:
                found += norm_behind(f"{name}_expand", f"{theirs}_expand_conv", f"{theirs}_expand_bn")
            found += norm_behind(f"{name}_depthwise", f"{theirs}_dwconv", f"{theirs}_bn", "depthwise")
            found.append(Pair(f"{theirs}_se_reduce", "conv", (f"{name}_squeeze_reduce_conv",)))
            found.append(Pair(f"{theirs}_se_expand", "conv", (f"{name}_squeeze_expand_conv",)))
            found += norm_behind(f"{name}_project", f"{theirs}_project_conv", f"{theirs}_project_bn")
    found += norm_behind("last", "top_conv", "top_bn")
    return (*found, Pair("predictions", "dense", ("head_logits",)))


def file(variant: str, md5: str, ending: str) -> File:
    """The file as Keras names it."""
    name = f"efficientnet{variant}{ending}.h5"
    return File(name, URL + name, md5)


WEIGHTS = Weights(
    family="efficientnet",
    reference="EfficientNetB0 to EfficientNetB3",
    affine=None,
    pairs=pairs,
    published=tuple(
        Published(resolution, file(variant, top, ""), file(variant, no_top, "_notop"), variant=variant)
        for variant, (resolution, top, no_top) in HASHES.items()
    ),
)
