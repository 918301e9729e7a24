"""A .tflite in the making, put together operator by operator, without a converter and in a few milliseconds.

Source: TensorFlow Lite's schema (`schema.fbs`), through LiteRT's own Python module.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from typing import Any

import numpy as np

from exports.tflite_file import opcode, pack

PADDINGS = {"same": 0, "valid": 1}  # the schema's numbers
SCALE = 1 / 16  # of all integer maps, so that those that must have equal scales do
SHARES = ("LOGISTIC", "SOFTMAX")  # what they give has a scale that the runtime prescribes
RELU, RELU6 = 1, 3  # of activations that an operator may hold


class TfliteGraph:
    """One graph, its tensors, buffers and operators, batch 1; `dtype` is float32 or int8, that of all its maps."""

    def __init__(self, dtype: str = "float32") -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.buffers, self.model.operatorCodes = 3, [schema.BufferT()], []
        self.model.subgraphs = [self.graph]
        self.graph.name, self.graph.tensors, self.graph.operators = b"main", [], []
        self.graph.inputs, self.graph.outputs = [], []
        self.integer = dtype == "int8"
        self._draw = np.random.default_rng(0)

    def input(self, *shape: int) -> int:
        """An input of the file, of this shape behind the batch of 1."""
        index = self.tensor((1, *shape))
        self.graph.inputs.append(index)
        return index

    def tensor(self, shape: Sequence[int], values: np.ndarray | None = None) -> int:
        """A tensor, of constant `values` (float32, int8 or int32) or computed."""
        types = self.schema.TensorType
        made = self.schema.TensorT()
        made.shape, made.name, made.buffer = list(shape), f"t{len(self.graph.tensors)}".encode(), 0
        dtype = np.dtype(values.dtype if values is not None else np.int8 if self.integer else np.float32)
        made.type = {"float32": types.FLOAT32, "int8": types.INT8, "int32": types.INT32}[dtype.name]
        if dtype == np.int8:
            made.quantization = self._scales([SCALE], [0])
        if values is not None:
            held = self.schema.BufferT()
            held.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            self.model.buffers.append(held)
            made.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def _scales(self, scales: Sequence[float], zero_points: Sequence[int], axis: int = 0) -> Any:
        found = self.schema.QuantizationParametersT()
        found.scale, found.zeroPoint, found.quantizedDimension = list(scales), list(zero_points), axis
        return found

    def kernel(self, x: int, shape: Sequence[int], axis: int, fan_in: int) -> list[int]:
        """A constant kernel and its bias, for an operator on `x`; `axis` is that of the output channels.

        Numbers are random and keep the size of what goes through (He et al. 2015, eq. 10).
        """
        spread, outputs = sqrt(2 / fan_in), shape[axis]
        if not self.integer:
            kernel = self._draw.normal(0, spread, shape).astype(np.float32)
            return [self.tensor(shape, kernel), self.tensor((outputs,), np.zeros(outputs, np.float32))]
        made = [
            self.tensor(shape, self._draw.integers(-127, 128, shape).astype(np.int8)),
            self.tensor((outputs,), np.zeros(outputs, np.int32)),
        ]
        step = spread / 64  # of a number between -127 and 127 that has about this spread
        taken = self.graph.tensors[x].quantization.scale[0]
        for index, scale, along in zip(made, (step, step * taken), (axis, 0), strict=True):
            self.graph.tensors[index].quantization = self._scales([scale] * outputs, [0] * outputs, along)
        return made

    def constant(self, *shape: int) -> int:
        """A constant tensor of random numbers about 1, as the second operand of a product or a sum."""
        values = self._draw.normal(1, 0.1, shape)
        return self.tensor(shape, self._stored(values))

    def number(self, value: float) -> int:
        """A constant single number."""
        return self.tensor((), self._stored(np.asarray(value)))

    def _stored(self, values: np.ndarray) -> np.ndarray:
        if self.integer:
            return np.clip(np.rint(values / SCALE), -128, 127).astype(np.int8)
        return values.astype(np.float32)

    def integers(self, values: Any) -> int:
        """A constant tensor of whole numbers."""
        found = np.asarray(values, np.int32)
        return self.tensor(found.shape, found)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The shape of a tensor, with its batch."""
        return tuple(self.graph.tensors[tensor].shape)

    def put(self, name: str, inputs: Sequence[int], shape: Sequence[int], options: str = "", **values: Any) -> int:
        """An operator and its output; `options` is the schema's name of what belongs to it, `values` its fields."""
        operator, output = self.schema.OperatorT(), self.tensor(shape)
        if self.integer and name in SHARES:
            self.graph.tensors[output].quantization = self._scales([1 / 256], [-128])
        operator.opcodeIndex, operator.inputs, operator.outputs = opcode(self.model, name), list(inputs), [output]
        if options:
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(self.schema, f"{options}T")()
            for field, value in values.items():
                setattr(operator.builtinOptions, field, value)
        self.graph.operators.append(operator)
        return output

    def content(self) -> bytes:
        """The file, whose output is what the last operator gives."""
        self.graph.outputs = [int(self.graph.operators[-1].outputs[0])]
        return pack(self.model)

    def reshaped(self, tensor: int, shape: Sequence[int]) -> int:
        """The tensor in another shape; itself where it has it."""
        if self.shape(tensor) == tuple(shape):
            return tensor
        assert prod(self.shape(tensor)) == prod(shape)
        return self.put("RESHAPE", [tensor, self.integers(shape)], shape, "ReshapeOptions", newShape=list(shape))

    def conv(
        self, x: int, shape: Sequence[int], window: Sequence[int], *, strides: Sequence[int] = (1, 1),
        dilation: Sequence[int] = (1, 1), groups: int = 1, padding: str = "same",
    ) -> int:
        """A convolution with a bias and a ReLU; `shape` is that of what it gives."""
        outputs, each = shape[-1], self.shape(x)[-1] // groups
        kernel = self.kernel(x, (outputs, *window, each), 0, prod(window) * each)
        return self.put(
            "CONV_2D", [x, *kernel], shape, "Conv2DOptions", padding=PADDINGS[padding], strideH=strides[0],
            strideW=strides[1], dilationHFactor=dilation[0], dilationWFactor=dilation[1], fusedActivationFunction=RELU,
        )  # fmt: skip

    def depthwise(
        self, x: int, shape: Sequence[int], window: Sequence[int], *, strides: Sequence[int] = (1, 1),
        dilation: Sequence[int] = (1, 1), padding: str = "same",
    ) -> int:
        """A depthwise convolution with a bias and a ReLU."""
        outputs = shape[-1]
        return self.put(
            "DEPTHWISE_CONV_2D", [x, *self.kernel(x, (1, *window, outputs), 3, prod(window))], shape,
            "DepthwiseConv2DOptions", padding=PADDINGS[padding], strideH=strides[0], strideW=strides[1],
            dilationHFactor=dilation[0], dilationWFactor=dilation[1], fusedActivationFunction=RELU,
            depthMultiplier=outputs // self.shape(x)[-1],
        )  # fmt: skip

    def dense(self, x: int, units: int) -> int:
        """A dense layer with a bias, on the numbers of `x` in their order."""
        numbers = prod(self.shape(x))
        row = x if self.shape(x)[-1] == numbers else self.reshaped(x, (1, numbers))
        return self.put(
            "FULLY_CONNECTED", [row, *self.kernel(x, (units, numbers), 0, numbers)], (1, units), "FullyConnectedOptions"
        )

    def pool(
        self, operator: str, x: int, shape: Sequence[int], window: Sequence[int], strides: Sequence[int],
        padding: str = "same",
    ) -> int:
        """MAX_POOL_2D or AVERAGE_POOL_2D."""
        return self.put(
            operator, [x], shape, "Pool2DOptions", padding=PADDINGS[padding], strideH=strides[0], strideW=strides[1],
            filterHeight=window[0], filterWidth=window[1],
        )  # fmt: skip

    def reduced(self, operator: str, x: int, keep_map: bool = True) -> int:
        """MEAN or REDUCE_MAX of every channel's map; gives a map of one cell, or no map."""
        channels = self.shape(x)[-1]
        shape = (1, 1, 1, channels) if keep_map else (1, channels)
        return self.put(operator, [x, self.integers([1, 2])], shape, "ReducerOptions", keepDims=keep_map)

    def joined(self, xs: Sequence[int]) -> int:
        """CONCATENATION of channels."""
        shape = (*self.shape(xs[0])[:-1], sum(self.shape(x)[-1] for x in xs))
        return self.put("CONCATENATION", xs, shape, "ConcatenationOptions", axis=len(shape) - 1)

    def padded(self, x: int, sides: Sequence[Sequence[int]]) -> int:
        """PAD by (before, after) of each axis, the batch's too."""
        shape = [size + sum(side) for size, side in zip(self.shape(x), sides, strict=True)]
        return self.put("PAD", [x, self.integers(sides)], shape, "PadOptions")

    def sliced(self, x: int, begin: Sequence[int], end: Sequence[int]) -> int:
        """STRIDED_SLICE from `begin` to `end` of each axis."""
        shape = [last - first for first, last in zip(begin, end, strict=True)]
        ends = [self.integers(one) for one in (begin, end, [1] * len(shape))]
        return self.put("STRIDED_SLICE", [x, *ends], shape, "StridedSliceOptions")

    def shuffled(self, x: int, groups: int) -> int:
        """Channels of `groups` groups in turn: a reshape, a transposition, a reshape."""
        shape = self.shape(x)
        cells, each = shape[1] * shape[2], shape[3] // groups
        parts = self.reshaped(x, (1, cells, groups, each))
        turned = self.put(
            "TRANSPOSE", [parts, self.integers([0, 1, 3, 2])], (1, cells, each, groups), "TransposeOptions"
        )
        return self.reshaped(turned, shape)

    def gathered(self, x: int, indices: Sequence[int], axis: int = 3) -> int:
        """GATHER of the places `indices` along an axis."""
        shape = list(self.shape(x))
        shape[axis] = len(indices)
        return self.put("GATHER", [x, self.integers(indices)], shape, "GatherOptions", axis=axis)
