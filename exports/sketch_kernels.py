"""The operators that a network becomes in a float32 .tflite, from its sketch alone: what its time is made of.

What a runtime folds away is gone, as everywhere (`zoo/costs.py`). A norm that stays is a product and a sum, and the sum
takes the ReLU behind it; a hard sigmoid is a sum and a product. Maps are taken as square, of the same number of cells.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt

from exports.kernel_files import Kernel
from zoo.lint.traffic import Traffic
from zoo.sketches import Op, Sketch

NOTHING = ("input", "flatten", "reshape", "dropout")
PADDED = ("conv", "depthwise")  # XNNPACK pads inside these
BIASED = ("conv", "depthwise", "dense")
SUMS = ("add", "subtract", "average", "maximum")


def kernels_of(sketch: Sketch) -> list[tuple[str, Kernel]]:
    """The operators in order, each with the name of its operation in the sketch."""
    traffic = Traffic(sketch)
    held = held_elsewhere(traffic)
    found = []
    for op in traffic.ops:
        if op.kind in NOTHING or op.name in held:
            continue
        if op.kind == "pad" and all(sketch[name].kind in PADDED for name in traffic.readers[op.name]):
            continue
        shapes = [sketch[name].shape for name in op.inputs]
        kernels = _of(op, shapes)
        if op.kind == "hard_sigmoid" and begun_by_bias(traffic, op):
            kernels = kernels[1:]
        found += [(op.name, kernel) for kernel in kernels]
    return found


def held_elsewhere(traffic: Traffic) -> dict[str, str]:
    """Operations that have no operator of their own, each with the one that holds it: a ReLU behind a sum that nothing
    else reads, and one that another ReLU computes already.
    """
    held: dict[str, str] = {}
    first: dict[str, str] = {}
    for op in traffic.ops:
        if op.kind == "relu":
            source = traffic.inputs[op.name][0]
            if traffic.sketch[source].kind in ("norm", *SUMS) and len(traffic.readers[source]) == 1:
                held[op.name] = source
            elif source in first:
                held[op.name] = first[source]
            first.setdefault(source, op.name)
    return held


def begun_by_bias(traffic: Traffic, op: Op) -> bool:
    """Whether what a hard sigmoid adds is part of the bias before it."""
    (source,) = traffic.inputs[op.name]
    return traffic.sketch[source].kind in BIASED and len(traffic.readers[source]) == 1


def _of(op: Op, shapes: list[tuple[int, ...]]) -> list[Kernel]:
    make = _MAKERS.get(op.kind)
    return make(op, shapes) if make else [_same("relu", op)]


def _side(shape: tuple[int, ...]) -> int:
    if len(shape) == 3 and shape[0] == shape[1]:
        return shape[0]  # what most maps are, and quicker
    return max(1, round(sqrt(prod(shape[:-1]))))


def _same(kind: str, op: Op) -> Kernel:
    return Kernel(kind, _side(op.shape), (op.shape[-1],), op.shape[-1])


def _windowed(kind: str) -> Callable[[Op, list[tuple[int, ...]]], list[Kernel]]:
    def make(op: Op, shapes: list[tuple[int, ...]]) -> list[Kernel]:
        config = op.config
        window = _side((*(config.get("kernel_size") or config["pool_size"]), 1))
        stride = int((config.get("strides") or config.get("pool_size") or (1,))[0])
        return [Kernel(kind, _side(op.shape), (shapes[0][-1],), op.shape[-1], window, stride, config.get("groups", 1))]

    return make


def _dense(op: Op, shapes: list[tuple[int, ...]]) -> list[Kernel]:
    return [Kernel("dense", 1, (prod(shapes[0]),), op.shape[-1])]


def _sums(op: Op, shapes: list[tuple[int, ...]]) -> list[Kernel]:
    channels = op.shape[-1]
    return [Kernel("add", _side(op.shape), (channels, channels), channels)] * (len(shapes) - 1)


def _product(op: Op, shapes: list[tuple[int, ...]]) -> list[Kernel]:
    return [_same("gate", op)] if any(_side(one) == 1 for one in shapes) else _sums(op, shapes)


def _mean(op: Op, shapes: list[tuple[int, ...]]) -> list[Kernel]:
    return [Kernel("mean", 1, (op.shape[-1],), op.shape[-1], stride=_side(shapes[0]))]


def _concat(op: Op, shapes: list[tuple[int, ...]]) -> list[Kernel]:
    return [Kernel("concat", _side(op.shape), tuple(one[-1] for one in shapes), op.shape[-1])]


def _taken(kind: str) -> Callable[[Op, list[tuple[int, ...]]], list[Kernel]]:
    def make(op: Op, shapes: list[tuple[int, ...]]) -> list[Kernel]:
        return [Kernel(kind, _side(op.shape), (shapes[0][-1],), op.shape[-1], groups=op.config.get("groups", 1))]

    return make


def _gather(op: Op, shapes: list[tuple[int, ...]]) -> list[Kernel]:
    """Of channels; or of rows and then of columns."""
    return _taken("gather")(op, shapes) * (2 if "rows" in op.config else 1)


def _activation(op: Op, shapes: list[tuple[int, ...]]) -> list[Kernel]:
    if op.config.get("activation") == "swish":
        return [_same("swish", op)]
    return [_same("sigmoid" if op.config.get("activation") == "sigmoid" else "relu", op)]


_MAKERS: dict[str, Callable[[Op, list[tuple[int, ...]]], list[Kernel]]] = {
    "conv": _windowed("conv"),
    "depthwise": _windowed("depthwise"),
    "max_pool": _windowed("max_pool"),
    "average_pool": _windowed("average_pool"),
    "dense": _dense,
    **dict.fromkeys(SUMS, _sums),
    "gate": _product,
    "concat": _concat,
    "global_pool": _mean,
    "global_max_pool": _mean,
    "norm": lambda op, shapes: [_same("scale", op)] * 2,
    "rescale": lambda op, shapes: [_same("scale", op)],
    "hard_sigmoid": lambda op, shapes: [_same("scale", op)] * 2,
    "hard_swish": lambda op, shapes: [_same("hard_swish", op)],
    "softmax": lambda op, shapes: [_same("sigmoid", op)],
    "activation": _activation,
    "pad": lambda op, shapes: [_same("pad", op)],
    "channel_pad": lambda op, shapes: [_same("pad", op)],
    "slice": _taken("slice"),
    "crop": _taken("slice"),
    "shuffle": _taken("shuffle"),
    "gather": _gather,
}
