"""Weights of DenseNet: `keras.applications.DenseNet121`, `DenseNet169` and `DenseNet201`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.architectures.densenet import VARIANTS
from zoo.weights.declaration import STANDARDISED, File, Pair, Published, Weights, norm_behind

URL = "https://storage.googleapis.com/tensorflow/keras-applications/densenet/"
# Variant -> MD5 with the classifier, without.
HASHES = {
    "121": ("9d60b8095a5708f2dcce2bca79d332c7", "30ee3e1110167f948a6b9946edeeb738"),
    "169": ("d699b8f76981ab1b30698df4c175e90b", "b8c4d4c20dd625c148057b9ff1c1176b"),
    "201": ("1ceb130c1ea1b78c3bf6114dbdfd8807", "c13680b51ded0fb44dff2d8f86ac8bb1"),
}


def pairs(options: Mapping[str, Any]) -> tuple[Pair, ...]:
    """Their stages begin at 2, because the stem is the first."""
    found = [*norm_behind("stem", "conv1/conv", "conv1/bn")]
    repeats = VARIANTS[options["variant"]].repeats
    for number, layers in enumerate(repeats, start=1):
        for layer in range(1, layers + 1):
            name, theirs = f"stage{number}_{layer}", f"conv{number + 1}_block{layer}"
            found.append(Pair(f"{theirs}_0_bn", "norm", (f"{name}_input_norm",)))
            found += norm_behind(f"{name}_reduce", f"{theirs}_1_conv", f"{theirs}_1_bn")
            found.append(Pair(f"{theirs}_2_conv", "conv", (f"{name}_grow_conv",)))
        if number < len(repeats):
            found.append(Pair(f"pool{number + 1}_bn", "norm", (f"transition{number}_input_norm",)))
            found.append(Pair(f"pool{number + 1}_conv", "conv", (f"transition{number}_conv",)))
    return (*found, Pair("bn", "norm", ("last_norm",)), Pair("predictions", "dense", ("head_logits",)))


def file(variant: str, md5: str, ending: str) -> File:
    """The file as Keras names it."""
    name = f"densenet{variant}_weights_tf_dim_ordering_tf_kernels{ending}.h5"
    return File(name, URL + name, md5)


WEIGHTS = Weights(
    family="densenet",
    reference="DenseNet121, DenseNet169 and DenseNet201",
    affine=STANDARDISED,
    pairs=pairs,
    published=tuple(
        Published(224, file(variant, top, ""), file(variant, no_top, "_notop"), variant=variant)
        for variant, (top, no_top) in HASHES.items()
    ),
)
