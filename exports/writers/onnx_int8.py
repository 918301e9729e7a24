"""ONNX int8: the int8 TFLite file with its own ranges, as an ONNX graph of quantised and dequantised tensors (QDQ).

Made from the TFLite file and not from the float ONNX one, so that both int8 files have the same ranges and answer
alike. The batch is 1, as in that file.

Source: tf2onnx 1.17, `from_tflite`, opset 17.
"""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from exports.tflite_file import TensorFacts
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
        file.write_bytes(tflite.convert(source, "tflite_int8"))
        graph, _ = tf2onnx.convert.from_tflite(str(file), opset=OPSET)
    _unshare(graph.graph)
    path.write_bytes(settled_bytes(graph))
    return [EXACT]


def _unshare(graph: Any) -> None:
    """Gives each layer int8 constants of its own: with shared ones ONNX Runtime refuses the option of `EXACT`."""
    import onnx

    constants = {one.name: one for one in graph.initializer if one.data_type == onnx.TensorProto.INT8}
    met: Counter[str] = Counter()
    for node in graph.node:
        for place, name in enumerate(node.input):
            met[name] += name in constants
            if met[name] > 1:
                own = onnx.TensorProto.FromString(constants[name].SerializeToString())
                own.name = node.input[place] = f"{name}_{met[name]}"
                graph.initializer.append(own)


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
