"""Tensors of a reference's file arranged for our layers: found, converted, and every shape checked. No TensorFlow.

A layer of the reference is found by its name when every expected name is there. Otherwise the file is read in order,
as Keras reads it: some published files are older than the names. A file whose layers are numbered by class (Keras 3
writes `conv2d_7` whatever a layer is called) is read in order within each class.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from zoo.layers import AFFINE
from zoo.sketches import Op, Sketch
from zoo.weights.declaration import DEVIATION, KINDS, Affine, Pair, Weights

Tensors = Mapping[str, Sequence[np.ndarray]]  # layer of the reference -> its weights, in the order of the file

NUMBERED = re.compile(r"(.+?)(?:_(\d+))?")
# How an older Keras called the classes it numbers.
FORMER = {"conv2d": "convolution2d", "batch_normalization": "batchnormalization"}
SHOWN = 4  # mistakes named in one message


@dataclass(frozen=True)
class Arranged:
    """`values`: layer of ours -> its weights. `found_by` is name, order or class; `unused` are layers of the file that
    ours has no place for, `fresh` layers of ours that keep the weights they have.
    """

    values: dict[str, list[np.ndarray]] = field(repr=False)
    found_by: str
    unused: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()


def arrange(
    weights: Weights, sketch: Sketch, tensors: Tensors, options: Mapping[str, Any], *, classifier: bool
) -> Arranged:
    """What every layer of the network `sketch` takes from `tensors`; `options` are the settled ones of its family.

    Without `classifier` the layers of the head are left alone. Raises: ValueError naming the layers that are missing
    or do not fit, with what was found and what was expected.
    """
    if AFFINE not in sketch:
        raise ValueError(f"published weights need the step {AFFINE} in front of the network: build it with affine=True")
    every = weights.pairs(options)
    tensors = {name: list(arrays) for name, arrays in tensors.items() if len(arrays)}
    places, found_by = _find(every, tensors, classifier, weights.reference)
    wanted = [pair for pair in every if classifier or not pair.in_head]
    expected = {op.name: shapes_of(op, sketch) for op in sketch.ops if op.params}
    values: dict[str, list[np.ndarray]] = {}
    biases: dict[str, np.ndarray] = {}
    mistakes: list[str] = []
    for pair in wanted:
        arrays = [np.asarray(array, np.float32) for array in tensors[places[pair.theirs]]]
        if pair.bias_into and len(arrays) == 2:
            biases[pair.bias_into] = arrays.pop()
        try:
            parts = _converted(pair, arrays, [expected[name] for name in pair.ours])
        except ValueError as error:
            mistakes.append(f"layer {places[pair.theirs]} for {', '.join(pair.ours)}: {error}")
            continue
        values |= dict(zip(pair.ours, parts, strict=True))
    for name, bias in biases.items():
        if name in values and values[name][2].shape == bias.shape:
            # gamma (y + bias - mean) / deviation + beta: the bias is a mean with the other sign.
            values[name][2] = values[name][2] - bias
        elif name in values:
            mistakes.append(f"the bias for {name}: found {bias.shape}, expected {values[name][2].shape}")
    mistakes += [f"layer for {name}: not every number is finite" for name, arrays in values.items()
                 if not all(np.isfinite(array).all() for array in arrays)]  # fmt: skip
    if mistakes:
        rest = f"; and {len(mistakes) - SHOWN} more" if len(mistakes) > SHOWN else ""
        raise ValueError(
            f"the weights do not fit {weights.family}, nothing was loaded: {'; '.join(mistakes[:SHOWN])}{rest}. "
            "Are variant, width and, with a classifier, the number of classes those of the file?"
        )
    if weights.affine is not None:
        values[AFFINE] = _as_layer(weights.affine)
    used = {places[pair.theirs] for pair in wanted}
    return Arranged(
        values,
        found_by,
        unused=tuple(name for name in tensors if name not in used),
        fresh=tuple(name for name in expected if name not in values),
    )


def shapes_of(op: Op, sketch: Sketch) -> list[tuple[int, ...]]:
    """The shapes of an operation's weights, as Keras keeps them."""
    config = op.config
    inward = sketch[op.inputs[0]].shape[-1]
    if op.kind == "norm":
        return [(inward,)] * 4
    if op.kind == "conv":
        kernel = (*config["kernel_size"], inward // config.get("groups", 1), config["filters"])
    elif op.kind == "depthwise":
        kernel = (*config["kernel_size"], inward, config.get("depth_multiplier", 1))
    elif op.kind == "dense":
        kernel = (inward, config["units"])
    else:
        raise ValueError(f"layer {op.name}: no published network has weights of the kind {op.kind}")
    return [kernel, (op.shape[-1],)] if config.get("use_bias", True) else [kernel]


def _find(every: Sequence[Pair], tensors: Tensors, classifier: bool, reference: str) -> tuple[dict[str, str], str]:
    """Layer of the reference -> its name in the file, and how it was found."""
    body = [pair for pair in every if not pair.in_head]
    wanted = every if classifier else body
    named = _by_name(every, tensors)
    if all(pair.theirs in named for pair in wanted):
        return named, "name"
    missing = [pair.theirs for pair in wanted if pair.theirs not in named]
    headless = len(tensors) == len(body) and not any(pair.theirs in named for pair in every if pair.in_head)
    if classifier and (headless or all(pair.theirs in named for pair in body)):
        raise ValueError(
            "the file has no classifier; take the one that Keras publishes with it, or set classifier to false"
        )
    if headless or len(tensors) == len(every):
        numbered = _by_class(every, tensors)
        in_order = zip((pair.theirs for pair in (body if headless else every)), tensors, strict=True)
        return (numbered, "class") if numbered else (dict(in_order), "order")
    raise ValueError(
        f"the file is not one of keras.applications {reference}: it has {len(tensors)} layers with weights and the "
        f"reference {len(every)} ({len(body)} without classifier); missing by name: {', '.join(missing[:SHOWN])}"
    )


def _by_name(every: Iterable[Pair], tensors: Tensors) -> dict[str, str]:
    # Keras 3 writes an underscore where tf_keras has a slash.
    held = {name.replace("/", "_"): name for name in tensors}
    found: dict[str, str] = {}
    for pair in every:
        name, _, number = pair.theirs.partition("#")
        if number:
            same = _numbered(name, tensors)
            if int(number) < len(same):
                found[pair.theirs] = same[int(number)]
        elif name.replace("/", "_") in held:
            found[pair.theirs] = held[name.replace("/", "_")]
    return found


def _by_class(every: Sequence[Pair], tensors: Tensors) -> dict[str, str]:
    """Empty unless every layer of the file is called by its class and a number."""
    found: dict[str, str] = {}
    for name in set(KINDS.values()):
        own = (pair.theirs for pair in every if KINDS[pair.kind] == name)
        found |= dict(zip(own, _numbered(name, tensors), strict=False))
    return found if len(found) == len(tensors) else {}


def _numbered(name: str, tensors: Tensors) -> list[str]:
    """The layers called `name`, `name_1`, `name_2` ..., from whatever number on, in their order."""
    matches = [(match, layer) for layer in tensors if (match := NUMBERED.fullmatch(layer))]
    own = [(int(match[2] or 0), layer) for match, layer in matches if match[1] in (name, FORMER.get(name))]
    return [layer for _, layer in sorted(own)]


def _converted(pair: Pair, arrays: list[np.ndarray], expected: list[list[tuple[int, ...]]]) -> list[list[np.ndarray]]:
    """The weights of each of our layers, from those of one of theirs. Raises: ValueError when they do not fit."""
    if pair.kind == "input":
        return [_as_layer(_affine_of(arrays))]
    if pair.kind == "separable" and len(arrays) == 2:
        parts = [[array] for array in arrays]
    elif pair.kind == "norm" and len(expected) > 1:
        ends = np.cumsum([shapes[0][0] for shapes in expected])[:-1]
        parts = [list(part) for part in zip(*(np.split(array, ends) for array in arrays), strict=True)]
    elif pair.kind == "conv_as_dense" and arrays[0].shape[:-2] == (1, 1):
        parts = [[arrays[0][0, 0], *arrays[1:]]]
    else:
        parts = [arrays]
    found, wanted = [[array.shape for array in part] for part in parts], [list(shapes) for shapes in expected]
    if found != wanted:
        raise ValueError(f"found {_shown(found)}, expected {_shown(wanted)}")
    if pair.from_bgr:
        parts[0][0] = parts[0][0][:, :, ::-1]
    return parts


def _affine_of(arrays: list[np.ndarray]) -> Affine:
    """What a file's normalisation layer (mean, variance, count) does to a pixel in [0, 1]."""
    if len(arrays) < 2 or arrays[0].size != 3 or arrays[1].size != 3:
        raise ValueError(
            f"found {_shown([[array.shape for array in arrays]])}, expected mean and variance of 3 colours"
        )
    mean, variance = (array.reshape(3).astype(np.float64) for array in arrays[:2])
    # The published files hold the deviation where the variance belongs (efficientnet.py beside this file).
    deviation = variance if np.allclose(variance, DEVIATION, atol=1e-4) else np.sqrt(np.maximum(variance, 1e-14))
    scale, offset = 1 / deviation, -mean / deviation
    return Affine((scale[0], scale[1], scale[2]), (offset[0], offset[1], offset[2]))


def _as_layer(affine: Affine) -> list[np.ndarray]:
    """Kernel and bias of the depthwise 1x1 convolution that an affine step is here."""
    return [np.array(affine.scale, np.float32).reshape(1, 1, 3, 1), np.array(affine.offset, np.float32)]


def _shown(shapes: Iterable[Iterable[tuple[int, ...]]]) -> str:
    return " and ".join("x".join(map(str, shape)) for part in shapes for shape in part) or "nothing"


def numbers_in(arranged: Arranged) -> int:
    """How many numbers were arranged."""
    return sum(prod(array.shape) for arrays in arranged.values.values() for array in arrays)
