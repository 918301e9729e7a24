"""Weights carried between the training and the deployment form of one network, by layer name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from zoo.keras import keras

_GROUP = re.compile(r"_group(\d+)_")


def copy_weights(source: keras.Model, target: keras.Model) -> keras.Model:
    """`target` with the weights of `source`, which is the same network in the same or the other form.

    A native layer `NAME_conv` gathers `NAME_group1_conv`, `NAME_group2_conv`, ... along its last axis; the reverse
    cuts.

    Raises: ValueError when a layer of `target` has no counterpart of the right shape.
    """
    own = {layer.name: layer for layer in source.layers if layer.weights}
    groups: dict[str, list[Any]] = {}
    for layer in own.values():
        if _GROUP.search(layer.name):
            groups.setdefault(_GROUP.sub("_", layer.name), []).append(layer)
    for layer in target.layers:
        if layer.weights:
            values = _values(layer, own, groups)
            if values is None or [value.shape for value in values] != [tuple(weight.shape) for weight in layer.weights]:
                raise ValueError(f"layer {layer.name} has no counterpart in {source.name}; are both the same network?")
            layer.set_weights(values)
    return target


def _values(layer: Any, own: dict[str, Any], groups: dict[str, list[Any]]) -> list[np.ndarray] | None:
    if layer.name in own:
        return own[layer.name].get_weights()
    if layer.name in groups:
        parts = sorted(groups[layer.name], key=_group_number)
        return [np.concatenate(pieces, axis=-1) for pieces in zip(*(part.get_weights() for part in parts), strict=True)]
    whole = own.get(_GROUP.sub("_", layer.name))
    if whole is None:
        return None
    size = layer.weights[0].shape[-1]
    start = (_group_number(layer) - 1) * size
    return [value[..., start : start + size] for value in whole.get_weights()]


def _group_number(layer: Any) -> int:
    match = _GROUP.search(layer.name)
    return int(match.group(1)) if match else 0
