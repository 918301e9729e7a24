"""ONNX int8: the int8 TFLite file with its own ranges, as an ONNX graph of quantised and dequantised tensors (QDQ).

Made from the TFLite file and not from the float ONNX one, so that both int8 files have the same ranges and answer
alike. The batch is 1, as in that file.

Source: tf2onnx 1.17, `from_tflite`, opset 17.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from exports.onnx_constants import give_each_its_own
from exports.tflite_file import TensorFacts, opcode, pack, parse
from exports.writers import tflite
from exports.writers.onnx import OPSET, settled_bytes
from exports.writers.source import Source

EXACT = (
    "on x86 processors without VNNI, ONNX Runtime adds products of int8 in 16 bits, which can overflow, unless the "
    "session option session.x64quantprecision is 1; all figures here were taken with it"
)
VIEWS = ("Transpose", "Reshape", "Squeeze", "Unsqueeze")


def write(source: Source, format_id: str, path: Path) -> list[str]:
    """Write the ONNX file to `path` after `onnx.checker` has accepted it.

    Raises:
        ValueError: calibration images are missing.
    """
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="litesmith-onnx-") as folder:
        file = Path(folder) / "int8.tflite"
        file.write_bytes(_with_flat_dense(tflite.convert(source, "tflite_int8")))
        graph, _ = tf2onnx.convert.from_tflite(str(file), opset=OPSET)
    give_each_its_own(graph.graph)
    path.write_bytes(settled_bytes(graph))
    return [EXACT]


def _with_flat_dense(content: bytes) -> bytes:
    """The .tflite with a RESHAPE in front of every dense layer that reads a map: there tf2onnx forgets the bias."""
    from ai_edge_litert import schema_py_generated as schema

    file = parse(content)
    model, (graph,) = file.model, file.model.subgraphs
    placed = []
    for operator in graph.operators:
        if file.operator(operator)[0] == "FULLY_CONNECTED" and len(graph.tensors[operator.inputs[0]].shape) != 2:
            given, kernel = (graph.tensors[place] for place in operator.inputs[:2])
            shape = np.asarray([prod(given.shape) // kernel.shape[1], kernel.shape[1]], np.int32)
            held, sides, flat = schema.BufferT(), schema.TensorT(), schema.TensorT()
            held.data = np.frombuffer(shape.tobytes(), np.uint8)
            model.buffers.append(held)
            sides.name, sides.shape, sides.type = given.name + b"/sides", [2], schema.TensorType.INT32
            sides.buffer = len(model.buffers) - 1
            flat.name, flat.shape, flat.type, flat.buffer = given.name + b"/flat", shape, given.type, 0
            flat.quantization = given.quantization
            graph.tensors += [sides, flat]
            last = len(graph.tensors) - 1
            reshape = schema.OperatorT()
            reshape.opcodeIndex = opcode(model, "RESHAPE")
            reshape.inputs, reshape.outputs = [operator.inputs[0], last - 1], [last]
            operator.inputs = [last, *operator.inputs[1:]]
            placed.append(reshape)
        placed.append(operator)
    graph.operators = placed
    return pack(model)


def ends_of(path: Path) -> tuple[TensorFacts, TensorFacts]:
    """What the file takes and gives: element type, scale and zero point, read from its first and last node.

    Raises: ValueError when they are not quantised.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}

    def facts(value: Any, node: Any) -> TensorFacts:
        kind = value.type.tensor_type
        if kind.elem_type != onnx.TensorProto.INT8 or node is None:
            raise ValueError(f"{value.name} of {path.name} is not quantised")
        scale, zero_point = (constants[name] for name in node.input[1:3])
        return TensorFacts(
            value.name, tuple(one.dim_value for one in kind.shape.dim), "int8", float(scale), int(zero_point)
        )

    image, answer = graph.input[0], graph.output[0]
    readers = {one.input[0]: one for one in reversed(graph.node) if one.input}
    makers = {one.output[0]: one for one in graph.node}
    opened = _through(readers, image.name, "DequantizeLinear", lambda node: node.output[0])
    closed = _through(makers, answer.name, "QuantizeLinear", lambda node: node.input[0])
    return facts(image, opened), facts(answer, closed)


def _through(nodes: Mapping[str, Any], name: str, wanted: str, onward: Callable[[Any], str]) -> Any:
    """The first node of the kind `wanted` behind views of the tensor `name`, or None."""
    while (node := nodes.get(name)) is not None and node.op_type in VIEWS:
        name = onward(node)
    return node if node is not None and node.op_type == wanted else None
