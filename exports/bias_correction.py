"""Biases of an int8 file moved so that every channel has the mean it has in the float file.

Rounded weights shift what a layer puts out by a mean that is not zero, most of all where a filter has few weights. The
int8 file's own biases can take that back: 32-bit numbers, so nothing grows. Layers are corrected in order, each with
those before it corrected already.

Source: Nagel et al., arXiv:1906.04721, section 4.2, the empirical form. Behind a ReLU a mean moves only by the share of
values that are not cut off, which is made up for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from exports.tflite_file import Flatbuffer, pack, parse
from exports.tflite_rounding import Pair, open_whole, pairs_of, range_of

LEAST_ACTIVE = 0.1
MOST_IMAGES = 64  # that means are taken over


def corrected(float_file: bytes, int8_file: bytes, batches: Sequence[np.ndarray]) -> bytes:
    """`int8_file` with other biases; `batches` are calibration images, floats as the float file takes them.

    Raises: ValueError when the files do not hold the same operators.
    """
    plain, rounded = parse(float_file), parse(int8_file)
    pairs = [pair for pair in pairs_of(plain, rounded) if _bias_of(rounded, pair) is not None]
    some = batches[:MOST_IMAGES]
    wanted, active = _float_means(float_file, plain, pairs, some)
    content = int8_file
    for place, pair in enumerate(pairs):
        shift = _int8_mean(content, rounded, pair, some) - wanted[place]
        bias = _bias_of(rounded, pair)
        assert bias is not None
        steps = np.rint(shift / np.maximum(active[place], LEAST_ACTIVE) / np.asarray(bias.quantization.scale))
        if not steps.any():
            continue
        buffer = rounded.model.buffers[bias.buffer]
        moved = np.frombuffer(bytes(buffer.data), np.int32) - steps.astype(np.int64)
        limits = np.iinfo(np.int32)
        buffer.data = np.frombuffer(np.clip(moved, limits.min, limits.max).astype(np.int32).tobytes(), np.uint8)
        content = pack(rounded.model)
    return content


def _bias_of(rounded: Flatbuffer, pair: Pair) -> Any:
    """The operator's int32 bias tensor; None when it has none."""
    if len(pair.rounded.inputs) < 3 or pair.rounded.inputs[2] < 0:
        return None
    tensor = rounded.model.subgraphs[0].tensors[int(pair.rounded.inputs[2])]
    stored = rounded.model.buffers[tensor.buffer].data
    return tensor if rounded.type_names[tensor.type] == "INT32" and stored is not None else None


def _float_means(
    content: bytes, plain: Flatbuffer, pairs: Sequence[Pair], batches: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Per operator the mean of every channel, and the share of its values that no ReLU cuts off."""
    net, image = open_whole(content), int(plain.model.subgraphs[0].inputs[0])
    sums: list[Any] = [0.0] * len(pairs)
    alive: list[Any] = [0.0] * len(pairs)
    for batch in batches:
        net.set_tensor(image, batch)
        net.invoke()
        for place, pair in enumerate(pairs):
            rows = net.get_tensor(pair.output).reshape(-1, net.get_tensor(pair.output).shape[-1])
            sums[place] += rows.mean(axis=0, dtype=np.float64) / len(batches)
            alive[place] += (rows != 0).mean(axis=0) / len(batches)
    return [np.asarray(one) for one in sums], [np.asarray(one) for one in alive]


def _int8_mean(content: bytes, rounded: Flatbuffer, pair: Pair, batches: Sequence[np.ndarray]) -> np.ndarray:
    net, image = open_whole(content), int(rounded.model.subgraphs[0].inputs[0])
    given = range_of(rounded, image)
    assert given is not None
    kind, total = net.get_input_details()[0]["dtype"], 0.0
    for batch in batches:
        net.set_tensor(image, given.of(batch).astype(kind))
        net.invoke()
        values = net.get_tensor(pair.output8)
        total = total + values.reshape(-1, values.shape[-1]).mean(axis=0, dtype=np.float64) / len(batches)
    return pair.steps.back(np.asarray(total))
