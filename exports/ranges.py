"""Int8 ranges that are not simply the least and greatest value seen, written into a calibrated flatbuffer.

The converter's own calibration takes extremes, so a single odd pixel can cost a tensor half of its steps. Here every
activation is looked at once more over the same images, and narrower ranges are set before the converter rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from exports.rounding import STEPS, Rounding
from exports.tflite_file import layers_of, pack, parse
from exports.tflite_rounding import open_whole

SAMPLE = 512  # values kept of each tensor and image
SILENT = 1e-8  # a scale below which a tensor held no value: the converter gives it 2e-6 / 255


def with_ranges(calibrated: bytes, batches: Sequence[np.ndarray], rounding: Rounding) -> bytes:
    """The calibrated flatbuffer with other ranges for its activations; `batches` are the calibration images.

    The image keeps its range: 0 to 255 is exact there.
    """
    file = parse(calibrated)
    main = file.model.subgraphs[0]
    images = {int(index) for index in main.inputs}
    asked = [index for index, one in enumerate(main.tensors) if index not in images and _has_range(one)]
    net = open_whole(calibrated)
    seen: dict[int, list[np.ndarray]] = {index: [] for index in asked}
    draw = np.random.default_rng(0)
    for batch in batches:
        net.set_tensor(int(main.inputs[0]), batch)
        net.invoke()
        for index in asked:
            seen[index].append(some_of(net.get_tensor(index), SAMPLE, draw))
    for index in asked:
        low, high = rounding.range_of(np.concatenate(seen[index]).astype(np.float64))
        if high > low:
            main.tensors[index].quantization.min, main.tensors[index].quantization.max = [low], [high]
    return pack(file.model)


def silent_layers(content: bytes) -> list[str]:
    """Layers of an int8 file that put out nothing but 0 on all calibration images.

    The converter gives them a scale of 8e-9, and a convolution whose scales lie more than 256 apart XNNPACK refuses,
    with the whole file; a sum of such scales it ends the process for.
    """
    file = parse(content)
    main = file.model.subgraphs[0]
    found = []
    for layer, operator in zip(layers_of(file), main.operators, strict=True):
        given = main.tensors[int(operator.outputs[0])].quantization
        if given is not None and given.scale is not None and len(given.scale) == 1 and given.scale[0] <= SILENT:
            found.append(layer)
    return found


def with_room(calibrated: bytes) -> bytes:
    """The calibrated flatbuffer whose tensors that are 0 throughout have the range 0 to 1: 0 stays exactly 0 in it."""
    file = parse(calibrated)
    changed = False
    for tensor in file.model.subgraphs[0].tensors:
        if _has_range(tensor) and tensor.quantization.max[0] - tensor.quantization.min[0] <= STEPS * SILENT:
            tensor.quantization.min, tensor.quantization.max = [0.0], [1.0]
            changed = True
    return pack(file.model) if changed else calibrated


def some_of(values: np.ndarray, count: int, draw: np.random.Generator) -> np.ndarray:
    """At most `count` of the values, drawn by lot: every n-th would be those of a few channels."""
    line = values.ravel()
    return line if line.size <= count else line[draw.integers(0, line.size, count)]


def _has_range(tensor: Any) -> bool:
    given = tensor.quantization
    return given is not None and given.min is not None and len(given.min) == 1
