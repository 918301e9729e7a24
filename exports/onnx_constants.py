"""An ONNX graph in which no two layers share a constant of int8.

On x86 processors without VNNI, ONNX Runtime adds int8 products exactly only with the session option
`session.x64quantprecision`, and refuses it ("Attempt to replace the existing tensor", release 1.31) as soon as two
layers read one int8 constant, whether directly or through one DequantizeLinear.
"""

from __future__ import annotations

from collections import Counter
from typing import Any


def give_each_its_own(graph: Any) -> None:
    """Doubles the int8 constants of a `GraphProto`, and the nodes that dequantise them, until each has one reader."""
    import onnx

    constants = {one.name: one for one in graph.initializer if one.data_type == onnx.TensorProto.INT8}
    opened = {
        one.output[0]: one for one in graph.node if one.op_type == "DequantizeLinear" and one.input[0] in constants
    }
    taken = {name for node in graph.node for name in (*node.input, *node.output)} | set(constants)
    met: Counter[str] = Counter()

    def another(name: str) -> str | None:
        """A name for the next reader of `name`; None for the first one, which keeps it."""
        met[name] += 1
        if met[name] == 1:
            return None
        number = met[name]
        while f"{name}_{number}" in taken:
            number += 1
        taken.add(f"{name}_{number}")
        return f"{name}_{number}"

    further = []
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in opened and (own := another(name)):
                twin = onnx.NodeProto.FromString(opened[name].SerializeToString())
                twin.name, twin.output[0], node.input[place] = own, own, own
                further.append(twin)
    # A node must stand before those that read it; these read nothing but constants.
    nodes = [*further, *graph.node]
    graph.ClearField("node")
    graph.node.extend(nodes)
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in constants and (own := another(name)):
                twin = onnx.TensorProto.FromString(constants[name].SerializeToString())
                twin.name = node.input[place] = own
                graph.initializer.append(twin)
