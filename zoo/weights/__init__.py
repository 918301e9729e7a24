"""Weights published elsewhere, for the families that `keras.applications` has: which layer of theirs goes where in
ours, what is folded on the way, and where the files are. No file is opened here; `exports/keras_weights.py` reads them.
"""

from __future__ import annotations

from zoo.architectures import architecture
from zoo.weights import (
    densenet,
    efficientnet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    nasnet,
    resnet,
    vgg,
    xception,
)
from zoo.weights.arrange import Arranged, Tensors, arrange
from zoo.weights.assign import assign
from zoo.weights.declaration import File, Pair, Published, Weights

WEIGHTS: dict[str, Weights] = {
    "mobilenet_v1": mobilenet_v1.WEIGHTS,
    "mobilenet_v2": mobilenet_v2.WEIGHTS,
    "mobilenet_v3": mobilenet_v3.WEIGHTS,
    "xception": xception.WEIGHTS,
    "nasnet": nasnet.WEIGHTS,
    "efficientnet": efficientnet.WEIGHTS,
    "resnet": resnet.WEIGHTS,
    "densenet": densenet.WEIGHTS,
    "vgg": vgg.WEIGHTS,
}


def weights_of(name: str) -> Weights:
    """The published weights of the family `name`. Raises: ValueError naming the families that have some."""
    architecture(name)
    if name not in WEIGHTS:
        raise ValueError(f"no weights are published for {name}; keras.applications has {', '.join(WEIGHTS)}")
    return WEIGHTS[name]


__all__ = [
    "WEIGHTS",
    "Arranged",
    "File",
    "Pair",
    "Published",
    "Tensors",
    "Weights",
    "arrange",
    "assign",
    "weights_of",
]
