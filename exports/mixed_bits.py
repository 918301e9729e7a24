"""TFLite files in which every layer with weights has bits of its own, made from the float file of a model.

Weights of 8 or 4 bits, activations of 8 or 16, or a layer that stays float; everything else is int8. Conversions stand
at the borders. What runs where was measured in LiteRT: 4-bit weights and 16-bit activations have kernels, but XNNPACK
leaves most of them to slower ones; depthwise convolutions have no 4-bit kernel.

Source: ai-edge-quantizer rewrites the file; ranges are ours (`exports.rounding`), seen on the calibration images.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from exports.ranges import SAMPLE, some_of
from exports.rounding import Rounding
from exports.tflite_file import KERNEL_CHANNELS, Flatbuffer, layers_of, parse, tensor_name
from exports.tflite_rounding import open_whole

FLOAT = "float"
INT8 = "w8a8"
# Bits of weights and of activations; float counts as 32 of each.
BITS: dict[str, tuple[int, int]] = {INT8: (8, 8), "w4a8": (4, 8), "w8a16": (8, 16), "w4a16": (4, 16), FLOAT: (32, 32)}
FOUR_BIT = ("CONV_2D", "FULLY_CONNECTED")
ENTRY = re.compile(r"\s*([^:,\s]+)\s*:\s*([a-z0-9]+)\s*")


@dataclass(frozen=True)
class BitLayer:
    """A layer of a file: `name` as in the model, `weights` and `macs` as counts, `bits` what its operator can have.

    `inputs` and `outputs` are channels, `kernel` and `stride` the larger side, `places` the pixels that it reads.
    """

    name: str
    operator: str
    weights: int
    macs: int
    bits: tuple[str, ...]
    inputs: int = 0
    outputs: int = 0
    kernel: int = 1
    stride: int = 1
    places: int = 1

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def parse_precision(text: str) -> tuple[tuple[str, str], ...]:
    """`stem_*: w8a16, logits: float` as pairs of a pattern of layer names and bits; of two that fit the later counts.

    Raises: ValueError with the part that cannot be read.
    """
    pairs = []
    for part in text.split(","):
        if not part.strip():
            continue
        found = ENTRY.fullmatch(part)
        if found is None:
            raise ValueError(f"precision {part.strip()!r} cannot be read; write layer: bits, such as stem_*: w8a16")
        if found[2] not in BITS:
            raise ValueError(f"precision {part.strip()!r}: bits {found[2]!r} are not known; choose {', '.join(BITS)}")
        pairs.append((found[1], found[2]))
    return tuple(pairs)


class MixedBits:
    """The float file `plain` of a model, opened for other precisions. `batches` are images as the file takes them."""

    def __init__(self, plain: bytes, batches: Sequence[np.ndarray], rounding: Rounding) -> None:
        self.plain, self.batches, self.rounding = plain, batches, rounding
        self._file: Flatbuffer = parse(plain)
        self._scopes: dict[str, list[tuple[str, str]]] = {}
        self.layers = tuple(self._layers())

    def file(self, precision: Mapping[str, str], *, others: str = INT8) -> bytes:
        """The file whose layers have the bits that `precision` names, those not named and all operators `others`.

        Raises: ValueError for an unknown layer, or bits its operator cannot have.
        """
        from ai_edge_quantizer import quantizer
        from ai_edge_quantizer.algorithm_manager import AlgorithmName
        from ai_edge_quantizer.qtyping import TFLOperationName

        self._check(precision)
        work = quantizer.Quantizer(self.plain)
        if others != FLOAT:
            work.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, 8, 8)
        for layer, bits in precision.items():
            for operator, output in self._scopes[layer]:
                scope = rf"(?:^|;){re.escape(output)}(?:;|$)"
                if bits == FLOAT:
                    work.update_quantization_recipe(
                        scope, TFLOperationName(operator), algorithm_key=AlgorithmName.NO_QUANTIZE
                    )
                else:
                    weights, activations = BITS[bits]
                    work.add_static_config(scope, TFLOperationName(operator), activations, weights)
        if not work.get_quantization_recipe():
            return self.plain
        with warnings.catch_warnings():
            # It opens the float file once more, keeping all tensors, to look for signatures; LiteRT calls that costly.
            warnings.simplefilter("ignore", UserWarning)
            content = work.quantize(
                self._ranges, enable_progress_bar=False, enable_progress_report=False
            ).quantized_model
        assert content is not None
        return bytes(content)

    def resolved(self, pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
        """Layer -> bits for patterns; layers without a pattern are left out. Raises: ValueError as `file`."""
        found: dict[str, str] = {}
        for pattern, bits in pairs:
            fitting = [layer.name for layer in self.layers if fnmatch(layer.name, pattern)]
            if not fitting:
                shown = ", ".join(layer.name for layer in self.layers[:5])
                raise ValueError(f"precision {pattern!r} fits no layer with weights; there are {shown}, ...")
            found |= dict.fromkeys(fitting, bits)
        self._check(found)
        return found

    def _check(self, precision: Mapping[str, str]) -> None:
        able = {layer.name: layer.bits for layer in self.layers}
        for name, bits in precision.items():
            if name not in able:
                raise ValueError(f"there is no layer {name!r} with weights in the file; there are {', '.join(able)}")
            if bits not in able[name]:
                raise ValueError(f"layer {name!r} cannot have {bits}; its operator runs with {', '.join(able[name])}")

    def _layers(self) -> list[BitLayer]:
        main = self._file.model.subgraphs[0]
        found: dict[str, BitLayer] = {}
        for number, (one, layer_name) in enumerate(zip(main.operators, layers_of(self._file), strict=True)):
            kind, _ = self._file.operator(one)
            if kind not in KERNEL_CHANNELS or len(one.inputs) < 2 or self._stored(int(one.inputs[1])) is None:
                continue
            output = int(one.outputs[0])
            name = layer_name or f"operator_{number}"
            kernel = [int(side) for side in main.tensors[int(one.inputs[1])].shape]
            weights = prod(kernel)
            places = prod(int(side) for side in main.tensors[output].shape[:-1])
            bits = tuple(BITS) if kind in FOUR_BIT else tuple(each for each in BITS if BITS[each][0] != 4)
            read = [int(side) for side in main.tensors[int(one.inputs[0])].shape]
            layer = BitLayer(
                name, kind, weights, places * weights, bits, inputs=read[-1],
                outputs=int(main.tensors[output].shape[-1]), kernel=max(kernel[1:3]) if len(kernel) == 4 else 1,
                stride=max(getattr(one.builtinOptions, "strideH", 1), getattr(one.builtinOptions, "strideW", 1)),
                places=prod(read[1:-1]),
            )  # fmt: skip
            before = found.get(name)
            if before is not None:  # slices of a grouped convolution: one layer of the model, several operators
                layer = replace(
                    layer, weights=before.weights + weights, macs=before.macs + layer.macs,
                    inputs=before.inputs + layer.inputs, outputs=before.outputs + layer.outputs,
                )  # fmt: skip
            found[name] = layer
            self._scopes.setdefault(name, []).append((kind, tensor_name(main.tensors[output])))
        return list(found.values())

    @cached_property
    def _ranges(self) -> dict[str, dict[str, np.ndarray]]:
        """Name of each float activation -> its range, in the form of ai-edge-quantizer. A pixel has 0 to 255."""
        main = self._file.model.subgraphs[0]
        asked = {
            index: tensor_name(tensor)
            for index, tensor in enumerate(main.tensors)
            if self._stored(index) is None and self._file.type_names[tensor.type] == "FLOAT32"
        }
        image, net, draw = int(main.inputs[0]), open_whole(self.plain), np.random.default_rng(0)
        whole = self.rounding.ranges == "min_max"
        seen: dict[int, list[np.ndarray]] = {index: [] for index in asked}
        for batch in self.batches:
            net.set_tensor(image, batch)
            net.invoke()
            for index in asked:
                values = net.get_tensor(index)
                ends = np.array([values.min(), values.max()])
                seen[index].append(ends if whole else some_of(values, SAMPLE, draw))
        found = {}
        for index, name in asked.items():
            low, high = self.rounding.range_of(np.concatenate(seen[index]).astype(np.float64))
            if index == image:
                low, high = 0.0, 255.0
            sides = (1,) * len(main.tensors[index].shape)
            found[name] = {"min": np.full(sides, low, np.float32), "max": np.full(sides, high, np.float32)}
        return found

    def _stored(self, index: int) -> Any:
        """The bytes of a constant tensor; None for one that is computed."""
        data = self._file.model.buffers[self._file.model.subgraphs[0].tensors[index].buffer].data
        return data if data is not None and len(data) else None
