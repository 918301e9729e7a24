"""A network's float32 .tflite from its sketch alone: random weights, no TensorFlow, some milliseconds.

It has the operators that the converter writes for the trained network, in their order (in three of 22 families one more
or one less), so that its time on a machine can be measured before anything is built or trained. What it answers means
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from exports.sketch_kernels import begun_by_bias, held_elsewhere
from exports.tflite_graph import RELU6, TfliteGraph
from zoo.lint.traffic import Traffic
from zoo.sketches import Op, Sketch

Put = Callable[[TfliteGraph, Op, list[int]], int]


def network_file(sketch: Sketch, dtype: str = "float32") -> bytes:
    """The file of a sketch in its deployed form. Raises: ValueError for an operation it has no operator for."""
    traffic, graph = Traffic(sketch), TfliteGraph(dtype)
    held = held_elsewhere(traffic)
    made: dict[str, int] = {}
    for op in traffic.ops:
        if op.name in held:
            made[op.name] = made[held[op.name]]
            continue
        if op.kind == "input":
            made[op.name] = graph.input(*op.shape)
            continue
        if op.kind not in _PUT:
            raise ValueError(f"layer {op.name}: a .tflite for {op.layer} can only be written by the converter")
        sources = [
            graph.reshaped(made[traffic.home[name]], (1, *sketch[name].shape))
            if op.kind != "dense" else made[traffic.home[name]]
            for name in op.inputs
        ]  # fmt: skip
        put = _PUT[op.kind]
        if op.kind == "hard_sigmoid" and begun_by_bias(traffic, op):
            put = _sixth
        made[op.name] = put(graph, op, sources)
    return graph.content()


def _shape(op: Op) -> tuple[int, ...]:
    return (1, *op.shape)


def _pair(value: Any) -> Sequence[int]:
    return value if isinstance(value, list | tuple) else (value, value)


def _conv(graph: TfliteGraph, op: Op, xs: list[int]) -> int:
    said = op.config
    return graph.conv(
        xs[0], _shape(op), _pair(said["kernel_size"]), strides=_pair(said.get("strides", 1)),
        dilation=_pair(said.get("dilation_rate", 1)), groups=said.get("groups", 1),
        padding=said.get("padding", "valid"),
    )  # fmt: skip


def _depthwise(graph: TfliteGraph, op: Op, xs: list[int]) -> int:
    said = op.config
    return graph.depthwise(
        xs[0], _shape(op), _pair(said["kernel_size"]), strides=_pair(said.get("strides", 1)),
        dilation=_pair(said.get("dilation_rate", 1)), padding=said.get("padding", "valid"),
    )  # fmt: skip


def _pool(operator: str) -> Put:
    def put(graph: TfliteGraph, op: Op, xs: list[int]) -> int:
        window = _pair(op.config.get("pool_size", 2))
        strides = _pair(op.config.get("strides") or window)
        return graph.pool(operator, xs[0], _shape(op), window, strides, op.config.get("padding", "valid"))

    return put


def _reduced(operator: str) -> Put:
    return lambda graph, op, xs: graph.reduced(operator, xs[0], len(op.shape) == 3)


def _summed(graph: TfliteGraph, op: Op, xs: list[int]) -> int:
    x = xs[0]
    for other in xs[1:]:
        x = graph.put("ADD", [x, other], _shape(op), "AddOptions")
    return x


def _multiplied(graph: TfliteGraph, op: Op, xs: list[int]) -> int:
    return graph.put("MUL", xs, _shape(op), "MulOptions")


def _scaled(graph: TfliteGraph, op: Op, xs: list[int]) -> int:
    """A norm on its own, or a step of pixels: a product and a sum for every channel."""
    channels = op.shape[-1]
    x = graph.put("MUL", [xs[0], graph.constant(channels)], _shape(op), "MulOptions")
    return graph.put("ADD", [x, graph.constant(channels)], _shape(op), "AddOptions")


def _hard_sigmoid(graph: TfliteGraph, op: Op, xs: list[int]) -> int:
    x = graph.put("ADD", [xs[0], graph.number(3.0)], _shape(op), "AddOptions", fusedActivationFunction=RELU6)
    return _sixth(graph, op, [x])


def _sixth(graph: TfliteGraph, op: Op, xs: list[int]) -> int:
    return graph.put("MUL", [xs[0], graph.number(1 / 6)], _shape(op), "MulOptions")


def _pointwise(operator: str, options: str = "") -> Put:
    return lambda graph, op, xs: graph.put(operator, xs, _shape(op), options)


def _prelu(graph: TfliteGraph, op: Op, xs: list[int]) -> int:
    return graph.put("PRELU", [xs[0], graph.constant(1, 1, op.shape[-1])], _shape(op))


def _activation(graph: TfliteGraph, op: Op, xs: list[int]) -> int:
    name = op.config.get("activation")
    if name == "swish":
        gates = graph.put("LOGISTIC", xs, _shape(op))
        return graph.put("MUL", [xs[0], gates], _shape(op), "MulOptions")
    if name in ("sigmoid", "relu"):
        return graph.put("LOGISTIC" if name == "sigmoid" else "RELU", xs, _shape(op))
    raise ValueError(f"layer {op.name}: a .tflite for the activation {name} can only be written by the converter")


def _sides(value: Any) -> list[list[int]]:
    """Keras' padding or cropping, as (before, after) of each axis."""
    (top, bottom), (left, right) = (_pair(side) for side in _pair(value))
    return [[0, 0], [top, bottom], [left, right], [0, 0]]


def _padded(graph: TfliteGraph, op: Op, xs: list[int]) -> int:
    return graph.padded(xs[0], _sides(op.config["padding"]))


def _channels_padded(graph: TfliteGraph, op: Op, xs: list[int]) -> int:
    return graph.padded(xs[0], [[0, 0], [0, 0], [0, 0], [op.config["before"], op.config["after"]]])


def _cropped(graph: TfliteGraph, op: Op, xs: list[int]) -> int:
    sides = _sides(op.config["cropping"])
    ends = [size - after for size, (_, after) in zip(graph.shape(xs[0]), sides, strict=True)]
    return graph.sliced(xs[0], [before for before, _ in sides], ends)


def _sliced(graph: TfliteGraph, op: Op, xs: list[int]) -> int:
    shape = graph.shape(xs[0])
    return graph.sliced(
        xs[0], [0] * (len(shape) - 1) + [op.config["start"]], [*shape[:-1], op.config["stop"]]
    )


def _gathered(graph: TfliteGraph, op: Op, xs: list[int]) -> int:
    if "indices" in op.config:
        return graph.gathered(xs[0], op.config["indices"], axis=len(graph.shape(xs[0])) - 1)
    return graph.gathered(graph.gathered(xs[0], op.config["rows"], axis=1), op.config["columns"], axis=2)


_PUT: dict[str, Put] = {
    "conv": _conv,
    "depthwise": _depthwise,
    "dense": lambda graph, op, xs: graph.dense(xs[0], op.shape[-1]),
    "max_pool": _pool("MAX_POOL_2D"),
    "average_pool": _pool("AVERAGE_POOL_2D"),
    "global_pool": _reduced("MEAN"),
    "global_max_pool": _reduced("REDUCE_MAX"),
    "add": _summed,
    "gate": _multiplied,
    "concat": lambda graph, op, xs: graph.joined(xs),
    "norm": _scaled,
    "rescale": _scaled,
    "relu": _pointwise("RELU"),
    "prelu": _prelu,
    "hard_swish": _pointwise("HARD_SWISH", "HardSwishOptions"),
    "hard_sigmoid": _hard_sigmoid,
    "activation": _activation,
    "softmax": _pointwise("SOFTMAX", "SoftmaxOptions"),
    "pad": _padded,
    "channel_pad": _channels_padded,
    "crop": _cropped,
    "slice": _sliced,
    "shuffle": lambda graph, op, xs: graph.shuffled(xs[0], op.config["groups"]),
    "gather": _gathered,
}
