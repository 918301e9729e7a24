"""A .tflite file as a sketch: its operators as they are written, so what the converter has folded is gone.

Read with LiteRT's schema module; nothing is executed. `exports/file_sketch.py` does this in a child process. Sizes in
bytes are the file's own: an operator's traffic is divided by the bytes of an activation, so that int8 weights beside
float32 activations count a quarter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, prod
from typing import Any

from exports.tflite_file import ELEMENT_BYTES, layer_of, parse, tensor_name
from zoo.sketches import Op, Sketch

KINDS = {
    "CONV_2D": "conv", "DEPTHWISE_CONV_2D": "depthwise", "FULLY_CONNECTED": "dense", "TRANSPOSE_CONV": "transposed",
    "ADD": "add", "SUB": "subtract", "MUL": "gate", "DIV": "elementwise", "MAXIMUM": "maximum",
    "MINIMUM": "elementwise", "CONCATENATION": "concat", "STRIDED_SLICE": "slice", "SLICE": "slice", "SPLIT": "slice",
    "SPLIT_V": "slice", "TRANSPOSE": "shuffle", "GATHER": "gather", "MAX_POOL_2D": "max_pool",
    "AVERAGE_POOL_2D": "average_pool", "MEAN": "global_pool", "REDUCE_MAX": "global_max_pool", "PAD": "pad",
    "PADV2": "pad", "MIRROR_PAD": "pad", "RELU": "relu", "RELU6": "relu", "RELU_0_TO_1": "relu",
    "RELU_N1_TO_1": "relu", "LEAKY_RELU": "leaky_relu", "PRELU": "prelu", "HARD_SWISH": "hard_swish",
    "LOGISTIC": "activation", "TANH": "activation", "ELU": "activation", "GELU": "activation", "EXP": "activation",
    "GREATER_EQUAL": "elementwise", "SELECT_V2": "sign", "SOFTMAX": "softmax", "QUANTIZE": "rescale",
    "DEQUANTIZE": "rescale", "CAST": "rescale",
    "RESIZE_BILINEAR": "resize", "RESIZE_NEAREST_NEIGHBOR": "resize",
}  # fmt: skip
HEAVY = ("conv", "depthwise", "dense", "transposed")
VIEWS = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")


@dataclass
class _Graph:
    """The main graph while it is read: where each tensor comes from, and which are weights."""

    tensors: Any
    type_names: dict[int, str]
    element_bytes: int = 4
    weights: dict[int, float] = field(default_factory=dict)  # tensor -> bytes
    made_by: dict[int, str] = field(default_factory=dict)

    def shape(self, index: int) -> tuple[int, ...]:
        """The tensor's shape without the batch axis; a vector of weights keeps its only axis."""
        sides = self.tensors[index].shape
        whole = tuple(int(side) for side in sides) if sides is not None else ()
        return whole if index in self.weights or len(whole) < 2 else whole[1:]

    def bytes(self, index: int) -> float:
        """Bytes of the whole tensor."""
        return prod(self.shape(index)) * ELEMENT_BYTES.get(self.type_names[self.tensors[index].type], 4)

    def is_index(self, index: int) -> bool:
        """Whether the tensor holds sizes, axes or positions: whole numbers of 32 bits and more."""
        return self.type_names[self.tensors[index].type] in ("INT32", "INT64")


def read_sketch(data: bytes) -> tuple[Sketch, int]:
    """The sketch of the flatbuffer `data` and the bytes of one activation in it.

    Raises: ValueError as `exports.tflite_file.parse`.
    """
    file = parse(data)
    model = file.model
    main = model.subgraphs[0]
    graph = _Graph(main.tensors, file.type_names)
    for index, tensor in enumerate(main.tensors):
        content = model.buffers[tensor.buffer]
        if (content.data is not None and len(content.data)) or getattr(content, "size", 0):
            graph.weights[index] = 0.0
            graph.weights[index] = graph.bytes(index)
    named = [(file.operator(operator)[0], operator) for operator in main.operators]
    graph.element_bytes = _activation_bytes(graph, named)
    sketch = Sketch()
    for index in main.inputs:
        graph.made_by[index] = sketch.input(graph.shape(index), f"input_{index}").name
    for place, (name, operator) in enumerate(named):
        _write(sketch, graph, place, name, operator)
    sketch.outputs = tuple(dict.fromkeys(graph.made_by[index] for index in main.outputs if index in graph.made_by))
    return sketch, graph.element_bytes


def _activation_bytes(graph: _Graph, named: list[tuple[str, Any]]) -> int:
    """Bytes of a number between layers: those that the first convolution or dense layer puts out."""
    for name, operator in named:
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            return int(ELEMENT_BYTES.get(graph.type_names[graph.tensors[operator.outputs[0]].type], 4))
    return 4


def _write(sketch: Sketch, graph: _Graph, place: int, operator_name: str, operator: Any) -> None:
    """Appends the operator, once per output."""
    read = [int(index) for index in operator.inputs if index >= 0]
    kind = KINDS.get(operator_name, operator_name.lower())
    maps = [index for index in read if index not in graph.weights]
    weights = [index for index in read if index in graph.weights and (kind in HEAVY or not graph.is_index(index))]
    if not maps:
        # Weights stored smaller than they are used: the runtime enlarges them once, when the file is loaded.
        for index in operator.outputs:
            graph.weights[index] = sum(graph.weights[each] for each in weights)
        return
    if kind in ("add", "subtract", "gate") and weights:
        # An addition or product with constants: a norm that nobody took in, or a step of scale.
        kind = "norm" if max(prod(graph.shape(index)) for index in weights) > 1 else "rescale"
    inputs = tuple(dict.fromkeys(graph.made_by[index] for index in maps if index in graph.made_by))
    for index in operator.outputs:
        shape = graph.shape(index)
        heavy = weights[0] if kind in HEAVY and weights else None
        read_bytes = graph.bytes(index) if kind == "slice" else sum(graph.bytes(each) for each in maps)
        moved = read_bytes + graph.bytes(index) + sum(graph.weights[each] for each in weights)
        params = sum(prod(graph.shape(each)) for each in weights)
        name = sketch.fresh(layer_of(tensor_name(graph.tensors[index])) or f"{operator_name.lower()}_{place}")
        node = sketch.write(
            Op(
                name=name,
                kind=kind,
                layer=operator_name,
                inputs=inputs,
                shape=shape,
                params=params,
                trainable_params=0,
                macs=_macs(kind, graph, maps[0], heavy, shape),
                moved=0 if operator_name in VIEWS else ceil(moved / graph.element_bytes),
                config=_config(kind, graph, maps[0], heavy, operator),
            )
        )
        graph.made_by[index] = node.name


def _macs(kind: str, graph: _Graph, source: int, heavy: int | None, shape: tuple[int, ...]) -> int:
    if heavy is None:
        return 0
    weights = graph.shape(heavy)
    if kind == "transposed":
        return prod(graph.shape(source)[:-1]) * prod(weights)
    return prod(shape[:-1]) * prod(weights)


def _config(kind: str, graph: _Graph, source: int, heavy: int | None, operator: Any) -> dict[str, Any]:
    """Kernel, strides and groups in Keras' words. Weights lie as (out, rows, columns, in / groups)."""
    if heavy is None:
        return {}
    weights = graph.shape(heavy)
    if kind == "dense":
        return {"units": weights[0]}
    config: dict[str, Any] = {"kernel_size": weights[1:3]}
    options = operator.builtinOptions
    if options is not None:
        config["strides"] = (int(options.strideH), int(options.strideW))
    if kind == "conv":
        config["groups"] = graph.shape(source)[-1] // weights[3]
    if kind == "depthwise":
        config["depth_multiplier"] = weights[3] // graph.shape(source)[-1]
    return config
