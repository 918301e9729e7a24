"""Files of a single operator, written without a converter: what a machine's kernels are timed with.

A file takes a few milliseconds to write and is a .tflite like any other. Weights are random, for a kernel's time does
not depend on them. All maps are square; padding keeps the size, but for the stride.

Source: TensorFlow Lite's schema (`schema.fbs`), through LiteRT's own Python module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SAME = 0  # the schema's number of this padding
RELU = 1


@dataclass(frozen=True)
class Kernel:
    """One operator. `side` is that of its output; `inputs` are channels, of each input where there are several.

    `kind` is a name of `KINDS`; what a kind does not have is 1.
    """

    kind: str
    side: int
    inputs: tuple[int, ...]
    outputs: int
    window: int = 1
    stride: int = 1
    groups: int = 1

    @property
    def macs(self) -> int:
        """Multiply-adds, 0 where there are none."""
        cells = self.side * self.side
        if self.kind == "depthwise":
            return cells * self.window**2 * self.outputs
        if self.kind in ("conv", "dense"):
            return cells * self.window**2 * self.inputs[0] // self.groups * self.outputs
        return 0

    @property
    def weights(self) -> int:
        """Numbers in its kernel and bias."""
        per_cell = self.macs // (self.side * self.side)
        return per_cell + self.outputs if per_cell else 0

    @property
    def read(self) -> int:
        """Numbers read from maps."""
        side = self.side * self.stride
        return side * side * sum(self.inputs)

    @property
    def written(self) -> int:
        """Numbers written."""
        return self.side * self.side * self.outputs


def kernel_file(kernel: Kernel) -> bytes:
    """The float32 .tflite of one operator. Raises: ValueError for a kind that is not known."""
    if kernel.kind not in KINDS:
        raise ValueError(f"kind {kernel.kind!r} is not known; one of {', '.join(KINDS)}")
    file = _File()
    KINDS[kernel.kind](file, kernel)
    return file.content()


class _File:
    """A flatbuffer in the making: one graph, its tensors, buffers and operators."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.buffers, self.model.operatorCodes = 3, [schema.BufferT()], []
        self.model.subgraphs = [self.graph]
        self.graph.name, self.graph.tensors, self.graph.operators = b"main", [], []
        self.graph.inputs, self.graph.outputs = [], []
        self._draw = np.random.default_rng(0)

    def map(self, side: int, channels: int) -> int:
        """An input of the file."""
        index = self.tensor((1, side, side, channels))
        self.graph.inputs.append(index)
        return index

    def tensor(self, shape: Sequence[int], values: np.ndarray | None = None) -> int:
        """A tensor, of constant `values` or computed."""
        made = self.schema.TensorT()
        made.shape, made.name, made.buffer = list(shape), f"t{len(self.graph.tensors)}".encode(), 0
        made.type = self.schema.TensorType.INT32 if values is not None and values.dtype == np.int32 else 0
        if values is not None:
            held = self.schema.BufferT()
            held.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            self.model.buffers.append(held)
            made.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def weights(self, *shape: int) -> int:
        """A constant tensor of random numbers."""
        return self.tensor(shape, self._draw.normal(0, 0.1, shape).astype(np.float32))

    def integers(self, values: Any) -> int:
        """A constant tensor of whole numbers."""
        found = np.asarray(values, np.int32)
        return self.tensor(found.shape, found)

    def put(self, name: str, inputs: Sequence[int], shape: Sequence[int], options: str = "", **values: Any) -> int:
        """An operator and its output; `options` is the schema's name of what belongs to it, `values` its fields."""
        number = getattr(self.schema.BuiltinOperator, name)
        known = [code.builtinCode for code in self.model.operatorCodes]
        if number not in known:
            code = self.schema.OperatorCodeT()
            code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 1
            self.model.operatorCodes.append(code)
            known.append(number)
        operator, output = self.schema.OperatorT(), self.tensor(shape)
        operator.opcodeIndex, operator.inputs, operator.outputs = known.index(number), list(inputs), [output]
        if options:
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(self.schema, f"{options}T")()
            for field, value in values.items():
                setattr(operator.builtinOptions, field, value)
        self.graph.operators.append(operator)
        return output

    def content(self) -> bytes:
        """The file, whose output is what the last operator gives."""
        import flatbuffers

        self.graph.outputs = [int(self.graph.operators[-1].outputs[0])]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _out(kernel: Kernel) -> tuple[int, int, int, int]:
    return 1, kernel.side, kernel.side, kernel.outputs


def _conv(file: _File, kernel: Kernel) -> None:
    image = file.map(kernel.side * kernel.stride, kernel.inputs[0])
    weights = file.weights(kernel.outputs, kernel.window, kernel.window, kernel.inputs[0] // kernel.groups)
    file.put("CONV_2D", [image, weights, file.weights(kernel.outputs)], _out(kernel), "Conv2DOptions", padding=SAME,
             strideH=kernel.stride, strideW=kernel.stride, fusedActivationFunction=RELU)  # fmt: skip


def _depthwise(file: _File, kernel: Kernel) -> None:
    image = file.map(kernel.side * kernel.stride, kernel.inputs[0])
    weights = file.weights(1, kernel.window, kernel.window, kernel.outputs)
    file.put("DEPTHWISE_CONV_2D", [image, weights, file.weights(kernel.outputs)], _out(kernel),
             "DepthwiseConv2DOptions", padding=SAME, strideH=kernel.stride, strideW=kernel.stride,
             depthMultiplier=kernel.outputs // kernel.inputs[0], fusedActivationFunction=RELU)  # fmt: skip


def _dense(file: _File, kernel: Kernel) -> None:
    vector = file.tensor((1, kernel.inputs[0]))
    file.graph.inputs.append(vector)
    weights = file.weights(kernel.outputs, kernel.inputs[0])
    file.put("FULLY_CONNECTED", [vector, weights, file.weights(kernel.outputs)], (1, kernel.outputs),
             "FullyConnectedOptions")  # fmt: skip


def _sum(file: _File, kernel: Kernel) -> None:
    maps = [file.map(kernel.side, channels) for channels in kernel.inputs]
    file.put("ADD", maps, _out(kernel), "AddOptions")


def _gate(file: _File, kernel: Kernel) -> None:
    maps = [file.map(kernel.side, kernel.inputs[0]), file.map(1, kernel.inputs[0])]
    file.put("MUL", maps, _out(kernel), "MulOptions")


def _scale(file: _File, kernel: Kernel) -> None:
    image = file.map(kernel.side, kernel.inputs[0])
    file.put("MUL", [image, file.weights(kernel.outputs)], _out(kernel), "MulOptions")


def _concat(file: _File, kernel: Kernel) -> None:
    maps = [file.map(kernel.side, channels) for channels in kernel.inputs]
    file.put("CONCATENATION", maps, _out(kernel), "ConcatenationOptions", axis=3)


def _pool(operator: str) -> Callable[[_File, Kernel], None]:
    def put(file: _File, kernel: Kernel) -> None:
        image = file.map(kernel.side * kernel.stride, kernel.inputs[0])
        file.put(operator, [image], _out(kernel), "Pool2DOptions", padding=SAME, strideH=kernel.stride,
                 strideW=kernel.stride, filterHeight=kernel.window, filterWidth=kernel.window)  # fmt: skip

    return put


def _mean(file: _File, kernel: Kernel) -> None:
    """The mean of a whole map: the output has a side of 1, so `stride` is the side of the input."""
    image = file.map(kernel.stride, kernel.inputs[0])
    file.put("MEAN", [image, file.integers([1, 2])], _out(kernel), "ReducerOptions", keepDims=True)


def _pointwise(operator: str, options: str = "") -> Callable[[_File, Kernel], None]:
    def put(file: _File, kernel: Kernel) -> None:
        file.put(operator, [file.map(kernel.side, kernel.inputs[0])], _out(kernel), options)

    return put


def _pad(file: _File, kernel: Kernel) -> None:
    image = file.map(kernel.side - 2, kernel.inputs[0])
    sides = file.integers([[0, 0], [1, 1], [1, 1], [0, 0]])
    file.put("PAD", [image, sides], _out(kernel), "PadOptions")


def _slice(file: _File, kernel: Kernel) -> None:
    image = file.map(kernel.side, kernel.inputs[0])
    ends = [[0, 0, 0, 0], [1, kernel.side, kernel.side, kernel.outputs], [1, 1, 1, 1]]
    file.put("STRIDED_SLICE", [image, *map(file.integers, ends)], _out(kernel), "StridedSliceOptions")


def _shuffle(file: _File, kernel: Kernel) -> None:
    image = file.map(kernel.side, kernel.inputs[0])
    cells, each = kernel.side * kernel.side, kernel.outputs // kernel.groups
    parts = (1, cells, kernel.groups, each)
    x = file.put("RESHAPE", [image, file.integers(parts)], parts, "ReshapeOptions", newShape=list(parts))
    x = file.put("TRANSPOSE", [x, file.integers([0, 1, 3, 2])], (1, cells, each, kernel.groups), "TransposeOptions")
    file.put("RESHAPE", [x, file.integers(_out(kernel))], _out(kernel), "ReshapeOptions", newShape=list(_out(kernel)))


def _gather(file: _File, kernel: Kernel) -> None:
    image = file.map(kernel.side, kernel.inputs[0])
    order = np.random.default_rng(0).integers(0, kernel.inputs[0], kernel.outputs)
    file.put("GATHER", [image, file.integers(order)], _out(kernel), "GatherOptions", axis=3)


KINDS: dict[str, Callable[[_File, Kernel], None]] = {
    "conv": _conv,
    "depthwise": _depthwise,
    "dense": _dense,
    "add": _sum,
    "gate": _gate,
    "scale": _scale,
    "concat": _concat,
    "max_pool": _pool("MAX_POOL_2D"),
    "average_pool": _pool("AVERAGE_POOL_2D"),
    "mean": _mean,
    "relu": _pointwise("RELU"),
    "hard_swish": _pointwise("HARD_SWISH", "HardSwishOptions"),
    "sigmoid": _pointwise("LOGISTIC"),
    "pad": _pad,
    "slice": _slice,
    "shuffle": _shuffle,
    "gather": _gather,
}
