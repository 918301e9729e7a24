"""Weights of MobileNetV3: `keras.applications.MobileNetV3Large` and `MobileNetV3Small`, minimalistic or not.

Keras' models begin with a rescaling layer of their own; the numbers are those of its older families. Its file without
the classifier ends before the hidden layer of the head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.architectures.mobilenet_v3 import STEM, table
from zoo.weights.declaration import MINUS_ONE_TO_ONE, File, Pair, Published, Weights, norm_behind

URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v3/"
# Variant, width -> MD5 with the classifier, without.
HASHES = {
    ("large", 0.75): ("765b44a33ad4005b3ac83185abf1d0eb", "40af19a13ebea4e2ee0c676887f69a2e"),
    ("large", 1.0): ("59e551e166be033d707958cf9e29a6a7", "07fb09a5933dd0c8eaafa16978110389"),
    ("large_minimalistic", 1.0): ("675e7b876c45c57e9e63e6d90a36599c", "ec5221f64a2f6d1ef965a614bdae7973"),
    ("small", 0.75): ("cb65d4e5be93758266aa0a7f2c6708b7", "ebdb5cc8e0b497cd13a7c275d475c819"),
    ("small", 1.0): ("8768d4c2e7dee89b9d02b2d03d65d862", "d3e8ec802a04aa4fc771ee12a9a9b836"),
    ("small_minimalistic", 1.0): ("99cd97fb2fcdad2bf028eb838de69e37", "cde8136e733e811080d9fcd8a252f7e4"),
}


def pairs(options: Mapping[str, Any]) -> tuple[Pair, ...]:
    """Theirs counts the blocks through; ours begins a stage wherever the channels change."""
    found = [*norm_behind("stem", "Conv", "Conv/BatchNorm")]
    inward, stage, place = STEM, 1, 0
    for number, block in enumerate(table(options["variant"]).blocks):
        stage, place = (stage, place + 1) if block.channels == inward else (stage + 1, 1)
        name, theirs = f"stage{stage}_{place}", f"expanded_conv_{number}" if number else "expanded_conv"
        if number:
            found += norm_behind(f"{name}_expand", f"{theirs}/expand", f"{theirs}/expand/BatchNorm")
        found += norm_behind(f"{name}_depthwise", f"{theirs}/depthwise", f"{theirs}/depthwise/BatchNorm", "depthwise")
        if block.excite:
            found.append(Pair(f"{theirs}/squeeze_excite/Conv", "conv", (f"{name}_squeeze_reduce_conv",)))
            found.append(Pair(f"{theirs}/squeeze_excite/Conv_1", "conv", (f"{name}_squeeze_expand_conv",)))
        found += norm_behind(f"{name}_project", f"{theirs}/project", f"{theirs}/project/BatchNorm")
        inward = block.channels
    found += norm_behind("last", "Conv_1", "Conv_1/BatchNorm")
    head = (("Conv_2", "head_hidden"), ("Logits", "head_logits"))
    return (*found, *(Pair(theirs, "conv_as_dense", (ours,)) for theirs, ours in head))


def file(variant: str, width: float, md5: str, ending: str) -> File:
    """The file as Keras names it."""
    name = f"weights_mobilenet_v3_{variant}_224_{width}_float{ending}.h5"
    return File(name, URL + name, md5)


WEIGHTS = Weights(
    family="mobilenet_v3",
    reference="MobileNetV3Large and MobileNetV3Small",
    affine=MINUS_ONE_TO_ONE,
    pairs=pairs,
    published=tuple(
        Published(
            224, file(variant, width, hashes[0], ""), file(variant, width, hashes[1], "_no_top_v2"), width, variant
        )
        for (variant, width), hashes in HASHES.items()
    ),
    widths=True,
)
