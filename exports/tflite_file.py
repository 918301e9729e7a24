"""What a .tflite flatbuffer says about itself, read with LiteRT's schema module; nothing is executed here.

Parsing a damaged file may fail in any way: callers that do not trust the bytes read them in a child process.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np

# The axis of output channels in the weights of each operator that has some.
KERNEL_CHANNELS = {"CONV_2D": 0, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0, "DEPTHWISE_CONV_2D": 3}
NUMBERS = {"float32": np.float32, "float16": np.float16, "int8": np.int8, "uint8": np.uint8}

# Bytes of one number of a tensor, by the schema's name of its type.
ELEMENT_BYTES = {
    "BOOL": 1, "INT2": 0.25, "INT4": 0.5, "INT8": 1, "UINT8": 1, "INT16": 2, "FLOAT16": 2, "INT32": 4, "FLOAT32": 4,
    "INT64": 8, "FLOAT64": 8,
}  # fmt: skip

BUFFER_ALIGNMENT = 16

EDGETPU_OPERATOR = "edgetpu-custom-op"

# A file with one of these holds a graph that was not frozen: the weights are missing and the output is NaN.
UNFROZEN = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}


@dataclass(frozen=True)
class TensorFacts:
    """Name, shape, dtype and quantisation (None when float or per channel) of a graph's input or output."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True)
class TfliteFacts:
    """The readable part of a file. `float_tensors` counts float32/float16 tensors, 0 in a fully integer file."""

    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    operators: dict[str, int] = field(default_factory=dict)
    custom: tuple[str, ...] = ()
    min_runtime: str | None = None
    float_tensors: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The facts as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class WeightFacts:
    """One kernel of a file as it is stored. `zeros` is a share; of its channels the richest one is counted."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    zeros: float
    distinct: int
    distinct_in_a_channel: int

    def as_dict(self) -> dict[str, Any]:
        """The facts as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class Flatbuffer:
    """A file's tables, with the schema's own names for its numbers: CONV_2D, INT8."""

    model: Any
    operator_names: dict[int, str]
    type_names: dict[int, str]

    def operator(self, operator: Any) -> tuple[str, bool]:
        """The operator's name, and whether it is a custom one."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        # Old readers know only the deprecated byte; the schema says the larger of the two is the operator.
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        name = self.operator_names.get(number, f"operator {number}")
        if name == "CUSTOM":
            return (code.customCode or b"unnamed").decode("utf-8", "replace"), True
        return name, False


def parse(data: bytes) -> Flatbuffer:
    """The tables of the flatbuffer `data`.

    Raises:
        ValueError: the bytes do not carry TFLite's identifier, or an operator reads what is made only after it.
    """
    from ai_edge_litert import schema_py_generated as schema

    if data[4:8] != b"TFL3":
        raise ValueError(f"not a TFLite file: bytes 4..8 are {data[4:8]!r} instead of b'TFL3'")
    file = Flatbuffer(
        schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(data), 0)),
        {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)},
        {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)},
    )
    _check_order(file)
    return file


def opcode(model: Any, name: str) -> int:
    """Where the tables list the operator of this name, ADD or RESHAPE; it is added where they do not."""
    from ai_edge_litert import schema_py_generated as schema

    number = getattr(schema.BuiltinOperator, name)
    known = [code.builtinCode for code in model.operatorCodes]
    if number not in known:
        code = schema.OperatorCodeT()
        # Old readers know only a byte: 127 there means that the number is in the other field.
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 1
        model.operatorCodes.append(code)
        known.append(number)
    return known.index(number)


def _check_order(file: Flatbuffer) -> None:
    """A runtime works through the operators as they stand, and would read memory that nothing has filled yet."""
    for graph in file.model.subgraphs:
        operators = list(graph.operators if graph.operators is not None else ())
        made = {int(index): at for at, one in reversed(list(enumerate(operators))) for index in _indices(one.outputs)}
        for at, one in enumerate(operators):
            late = next((index for index in _indices(one.inputs) if made.get(index, -1) >= at), None)
            if late is not None:
                raise ValueError(
                    f"operator {at} ({file.operator(one)[0]}) reads tensor {late}, which operator {made[late]} makes "
                    "only then: the graph leads in a circle"
                )


def _indices(found: Any) -> list[int]:
    return [] if found is None else [int(index) for index in found]


def tensor_name(tensor: Any) -> str:
    """The tensor's name as text; empty when it has none."""
    return (tensor.name or b"").decode("utf-8", "replace")


def layer_of(name: str) -> str:
    """`stage1_1_conv` of `small/stage1_1_relu6/Relu6;small/stage1_1_conv/Conv2D`: the first layer that was folded."""
    last = name.split(";")[-1].split("/")
    if "ReadVariableOp" in last:  # a bias that was folded in: `small/squeeze_conv/BiasAdd/ReadVariableOp/resource1`
        last = last[: last.index("ReadVariableOp")]
    # int8-aware training puts its mark in front of every layer's own name.
    return last[-2].removeprefix("quant_") if len(last) > 1 else ""


def layers_of(file: Flatbuffer) -> list[str]:
    """The layer of each operator, by what it puts out: `logits` for the last, the tensor's name where none is told."""
    main = file.model.subgraphs[0]
    last = {int(index) for index in main.outputs}
    names = [tensor_name(main.tensors[int(one.outputs[0])]) for one in main.operators]
    return [
        "logits" if int(one.outputs[0]) in last else layer_of(name) or name
        for one, name in zip(main.operators, names, strict=True)
    ]


def pack(model: Any) -> bytes:
    """The bytes of a file of these tables (`parse(data).model`, or new ones)."""
    import flatbuffers

    for buffer in model.buffers:
        buffer.Pack = partial(_pack_buffer, buffer)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _pack_buffer(buffer: Any, builder: Any) -> int:
    """As the generated code does it, but with the bytes where kernels may read them in vectors, as the schema says."""
    from ai_edge_litert import schema_py_generated as schema

    data = b"" if buffer.data is None else bytes(bytearray(buffer.data))
    if data:
        builder.StartVector(1, len(data), BUFFER_ALIGNMENT)
        builder.head -= len(data)
        builder.Bytes[builder.head : builder.head + len(data)] = data
        vector = builder.EndVector()
    schema.BufferStart(builder)
    if data:
        schema.BufferAddData(builder, vector)
    return int(schema.BufferEnd(builder))


def read_facts(data: bytes) -> TfliteFacts:
    """What the flatbuffer `data` declares: inputs, outputs, operators, runtime. Raises: ValueError as `parse`."""
    return facts_of(parse(data))


def stored_types(file: Flatbuffer) -> set[str]:
    """The types of the constants that a file holds, in the schema's names."""
    buffers = file.model.buffers
    return {
        file.type_names[tensor.type]
        for graph in file.model.subgraphs
        for tensor in graph.tensors
        if buffers[tensor.buffer].data is not None and len(buffers[tensor.buffer].data)
    }


def facts_of(file: Flatbuffer) -> TfliteFacts:
    """The same of tables that are already read."""
    model = file.model
    dtypes = {value: name.lower() for value, name in file.type_names.items()}
    named = [file.operator(operator) for graph in model.subgraphs for operator in graph.operators]
    main = model.subgraphs[0]

    def facts(index: int) -> TensorFacts:
        tensor = main.tensors[index]
        scales = [] if tensor.quantization is None or tensor.quantization.scale is None else tensor.quantization.scale
        single = len(scales) == 1
        return TensorFacts(
            name=tensor_name(tensor),
            shape=tuple(int(side) for side in tensor.shape) if tensor.shape is not None else (),
            dtype=dtypes[tensor.type],
            scale=float(scales[0]) if single else None,
            zero_point=int(tensor.quantization.zeroPoint[0]) if single else None,
        )

    runtime = None
    for entry in model.metadata or []:
        if entry.name == b"min_runtime_version":
            runtime = bytes(model.buffers[entry.buffer].data).rstrip(b"\0").decode("ascii", "replace")
    return TfliteFacts(
        inputs=tuple(facts(index) for index in main.inputs),
        outputs=tuple(facts(index) for index in main.outputs),
        operators=dict(sorted(Counter(name for name, _ in named).items())),
        custom=tuple(sorted({name for name, custom in named if custom})),
        min_runtime=runtime,
        float_tensors=sum(dtypes[t.type] in {"float32", "float16"} for g in model.subgraphs for t in g.tensors),
    )


def weight_facts(data: bytes) -> list[WeightFacts]:
    """Zeros and different values of every kernel in the flatbuffer `data`, in the order in which they are used.

    A zero is what stands for 0: the zero point of its channel. Raises: ValueError as `parse`.
    """
    file = parse(data)
    main, dtypes = file.model.subgraphs[0], {value: name.lower() for value, name in file.type_names.items()}
    made_by = {int(index): operator for operator in main.operators for index in operator.outputs}
    found: dict[int, WeightFacts] = {}
    for operator in main.operators:
        axis = KERNEL_CHANNELS.get(file.operator(operator)[0])
        if axis is None:
            continue
        index = int(operator.inputs[1])
        if index in made_by and file.operator(made_by[index])[0] == "DEQUANTIZE":
            index = int(made_by[index].inputs[0])  # stored as float16
        tensor = main.tensors[index]
        stored = file.model.buffers[tensor.buffer].data
        if index in found or stored is None or dtypes[tensor.type] not in NUMBERS:
            continue
        shape = tuple(int(side) for side in tensor.shape)
        kernel = np.frombuffer(bytes(stored), NUMBERS[dtypes[tensor.type]]).reshape(shape)
        rows = np.moveaxis(kernel, axis, 0).reshape(shape[axis], -1)
        points = None if tensor.quantization is None else tensor.quantization.zeroPoint
        zero = np.zeros(1) if points is None or not len(points) else np.asarray(points)
        found[index] = WeightFacts(
            name=tensor_name(tensor),
            shape=shape,
            dtype=dtypes[tensor.type],
            zeros=float(np.mean(rows == zero[:, None])),
            distinct=len(np.unique(kernel)),
            distinct_in_a_channel=max(len(np.unique(row)) for row in rows),
        )
    return list(found.values())


def refused_operators(facts: TfliteFacts, *, edgetpu: bool = False) -> list[str]:
    """The operators of a file that plain LiteRT cannot run, each with its reason; empty when all may pass."""
    reasons = [f"{name} (variables were not frozen, the weights are missing)" for name in facts.operators
               if name in UNFROZEN]
    for name in facts.custom:
        if name == EDGETPU_OPERATOR and edgetpu:
            continue
        kind = "a TensorFlow (Flex) operator" if name.startswith("Flex") else "a custom operator"
        reasons.append(f"{name} ({kind} that LiteRT does not have)")
    reasons += [f"{name} (unknown to this runtime)" for name in facts.operators if name.startswith("operator ")]
    return reasons
