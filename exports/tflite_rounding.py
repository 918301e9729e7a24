"""A float32 and an int8 file of one model side by side, and float files that carry one piece of the int8 rounding."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from exports.tflite_file import KERNEL_CHANNELS, Flatbuffer, opcode, pack

STEPS = ("QUANTIZE", "DEQUANTIZE")
# These hand numbers on; with the scale of what they read they round nothing that was not rounded before.
CARRIERS = {
    "RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "STRIDED_SLICE", "SLICE", "SPLIT", "SPLIT_V", "GATHER",
    "MAX_POOL_2D", "PAD", "PADV2", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND",
}  # fmt: skip


@dataclass(frozen=True)
class Steps:
    """How a tensor with one scale holds numbers: `(value / scale) + zero`, from `low` to `high`."""

    scale: float
    zero: int
    low: int
    high: int

    def unbounded(self, values: np.ndarray) -> np.ndarray:
        """The steps of values, also of those beyond the range."""
        return np.rint(values / self.scale) + self.zero

    def of(self, values: np.ndarray) -> np.ndarray:
        """The steps of values, as whole floats; what lies beyond the range is cut off."""
        return np.clip(self.unbounded(values), self.low, self.high)

    def back(self, steps: np.ndarray) -> np.ndarray:
        """The values that steps stand for."""
        return (steps - self.zero) * self.scale


@dataclass(frozen=True)
class Pair:
    """An operator as it stands in both files."""

    number: int
    kind: str
    plain: Any
    rounded: Any
    output: int  # tensor in the float file
    output8: int
    steps: Steps  # of output8


def pairs_of(plain: Flatbuffer, rounded: Flatbuffer) -> list[Pair]:
    """The operators of both files side by side. Raises: ValueError when they differ."""
    first = operators_of(plain)
    second = [one for one in operators_of(rounded) if one[1] not in STEPS]
    if [kind for _, kind, _ in first] != [kind for _, kind, _ in second]:
        raise ValueError(
            f"the two files do not hold the same operators ({len(first)} and {len(second)}); "
            "give a float32 and an int8 file written from one model"
        )
    found = []
    for (number, kind, one), (_, _, other) in zip(first, second, strict=True):
        output8 = int(other.outputs[0])
        given = range_of(rounded, output8)
        handed_on = int(other.inputs[1 if kind == "SPLIT" else 0])
        if given is not None and not (kind in CARRIERS and given == range_of(rounded, handed_on)):
            found.append(Pair(number, kind, one, other, int(one.outputs[0]), output8, given))
    if not found:
        raise ValueError("no tensor of the second file is int8; give a file with int8 activations")
    return found


def operators_of(file: Flatbuffer) -> list[tuple[int, str, Any]]:
    """Number, name and table of each operator of the main graph."""
    return [(number, file.operator(one)[0], one) for number, one in enumerate(file.model.subgraphs[0].operators)]


def range_of(file: Flatbuffer, index: int) -> Steps | None:
    """The steps of an 8 or 16 bit tensor with one scale; None for others."""
    tensor = file.model.subgraphs[0].tensors[index]
    ends = {"INT8": (-128, 127), "UINT8": (0, 255), "INT16": (-32768, 32767)}.get(file.type_names[tensor.type])
    given = tensor.quantization
    if ends is None or given is None or given.scale is None or len(given.scale) != 1:
        return None
    return Steps(float(given.scale[0]), int(given.zeroPoint[0]), *ends)


def kernels_of(
    plain: Flatbuffer, rounded: Flatbuffer, operator: Any, operator8: Any, kind: str
) -> tuple[np.ndarray, np.ndarray, int] | None:
    """An operator's float kernel, its int8 kernel turned back into floats, and the number of scales it has."""
    if kind not in KERNEL_CHANNELS:
        return None
    tensor = plain.model.subgraphs[0].tensors[int(operator.inputs[1])]
    tensor8 = rounded.model.subgraphs[0].tensors[int(operator8.inputs[1])]
    stored, stored8 = (file.model.buffers[one.buffer].data for file, one in ((plain, tensor), (rounded, tensor8)))
    if stored is None or stored8 is None or rounded.type_names[tensor8.type] != "INT8":
        return None
    shape = tuple(int(side) for side in tensor.shape)
    kernel = np.frombuffer(bytes(stored), np.float32).reshape(shape)
    raw = np.frombuffer(bytes(stored8), np.int8).reshape(shape).astype(np.float32)
    scales = np.asarray(tensor8.quantization.scale, np.float32)
    sides = [1] * raw.ndim
    if len(scales) > 1:
        sides[tensor8.quantization.quantizedDimension] = len(scales)
    return kernel, raw * scales.reshape(sides if len(scales) > 1 else [1] * raw.ndim), len(scales)


def open_fast(content: bytes) -> Any:
    """An interpreter for the bytes, one thread, XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    net = Interpreter(model_content=content, num_threads=1, experimental_op_resolver_type=OpResolverType.BUILTIN)
    net.allocate_tensors()
    return net


def open_whole(content: bytes) -> Any:
    """An interpreter that keeps every tensor, with kernels that fold nothing away."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    net = Interpreter(
        model_content=content, num_threads=1, experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )  # fmt: skip
    net.allocate_tensors()
    return net


class Editor:
    """Float files with a piece of the int8 file's rounding in them; the tables are as before after each."""

    def __init__(self, plain: Flatbuffer, rounded: Flatbuffer) -> None:
        self.plain, self.rounded = plain, rounded
        self.main = plain.model.subgraphs[0]

    def with_weights(self, pair: Pair) -> bytes:
        """The operator's weights as the int8 file holds them."""
        both = kernels_of(self.plain, self.rounded, pair.plain, pair.rounded, pair.kind)
        assert both is not None
        buffer = self.plain.model.buffers[self.main.tensors[int(pair.plain.inputs[1])].buffer]
        before = buffer.data
        buffer.data = np.frombuffer(np.ascontiguousarray(both[1], np.float32).tobytes(), np.uint8)
        try:
            return pack(self.plain.model)
        finally:
            buffer.data = before

    def with_output(self, pair: Pair) -> bytes:
        """The operator's output rounded before anything reads it."""
        return self._rounded(pair.output, pair.output8, pair.number + 1)

    def with_image(self) -> bytes:
        """The image rounded before the first operator reads it."""
        return self._rounded(int(self.main.inputs[0]), int(self.rounded.model.subgraphs[0].inputs[0]), 0)

    def _rounded(self, index: int, index8: int, place: int) -> bytes:
        from ai_edge_litert import schema_py_generated as schema

        model, main = self.plain.model, self.main
        codes, tensors, operators = list(model.operatorCodes), list(main.tensors), list(main.operators)
        read = [np.array(one.inputs) for one in operators]
        outputs = np.array(main.outputs)
        steps, back = copy.copy(tensors[index]), copy.copy(tensors[index])
        source = self.rounded.model.subgraphs[0].tensors[index8]
        steps.type, steps.quantization = source.type, source.quantization
        steps.buffer = back.buffer = 0
        steps.name, back.name = b"rounded/steps", b"rounded/back"
        numbers = (len(tensors), len(tensors) + 1)
        added = []
        for name, given, made in (("QUANTIZE", index, numbers[0]), ("DEQUANTIZE", numbers[0], numbers[1])):
            operator = schema.OperatorT()
            operator.opcodeIndex = opcode(model, name)
            operator.inputs, operator.outputs = np.array([given], np.int32), np.array([made], np.int32)
            added.append(operator)
        main.tensors = [*tensors, steps, back]
        for one in operators[place:]:
            one.inputs = np.where(np.array(one.inputs) == index, numbers[1], one.inputs).astype(np.int32)
        main.outputs = np.where(outputs == index, numbers[1], outputs).astype(np.int32)
        main.operators = [*operators[:place], *added, *operators[place:]]
        try:
            return pack(self.plain.model)
        finally:
            model.operatorCodes, main.tensors, main.operators = codes, tensors, operators
            main.outputs = outputs
            for one, inputs in zip(operators, read, strict=True):
                one.inputs = inputs
