"""Files of a single operator, written without a converter: what a machine's kernels are timed with.

A file takes a few milliseconds to write and is a .tflite like any other. Weights are random, for a kernel's time does
not depend on them. All maps are square; padding keeps the size, but for the stride.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from exports.tflite_graph import TfliteGraph


class Kernel(NamedTuple):
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


def kernel_file(kernel: Kernel, dtype: str = "float32") -> bytes:
    """The .tflite of one operator, float32 or int8. Raises: ValueError for a kind that is not known."""
    if kernel.kind not in KINDS:
        raise ValueError(f"kind {kernel.kind!r} is not known; one of {', '.join(KINDS)}")
    graph = TfliteGraph(dtype)
    KINDS[kernel.kind](graph, kernel)
    return graph.content()


def _map(graph: TfliteGraph, kernel: Kernel, channels: int = 0) -> int:
    """An input as large as the output is."""
    return graph.input(kernel.side, kernel.side, channels or kernel.inputs[0])


def _image(graph: TfliteGraph, kernel: Kernel) -> int:
    """An input that a stride makes smaller."""
    side = kernel.side * kernel.stride
    return graph.input(side, side, kernel.inputs[0])


def _out(kernel: Kernel) -> tuple[int, int, int, int]:
    return 1, kernel.side, kernel.side, kernel.outputs


def _conv(graph: TfliteGraph, kernel: Kernel) -> None:
    graph.conv(_image(graph, kernel), _out(kernel), [kernel.window] * 2, strides=[kernel.stride] * 2,
               groups=kernel.groups)  # fmt: skip


def _depthwise(graph: TfliteGraph, kernel: Kernel) -> None:
    graph.depthwise(_image(graph, kernel), _out(kernel), [kernel.window] * 2, strides=[kernel.stride] * 2)


def _dense(graph: TfliteGraph, kernel: Kernel) -> None:
    graph.dense(graph.input(kernel.inputs[0]), kernel.outputs)


def _sum(graph: TfliteGraph, kernel: Kernel) -> None:
    graph.put("ADD", [_map(graph, kernel, channels) for channels in kernel.inputs], _out(kernel), "AddOptions")


def _gate(graph: TfliteGraph, kernel: Kernel) -> None:
    graph.put("MUL", [_map(graph, kernel), graph.input(1, 1, kernel.inputs[0])], _out(kernel), "MulOptions")


def _scale(graph: TfliteGraph, kernel: Kernel) -> None:
    graph.put("MUL", [_map(graph, kernel), graph.constant(kernel.outputs)], _out(kernel), "MulOptions")


def _concat(graph: TfliteGraph, kernel: Kernel) -> None:
    graph.joined([_map(graph, kernel, channels) for channels in kernel.inputs])


def _pool(operator: str) -> Callable[[TfliteGraph, Kernel], None]:
    def put(graph: TfliteGraph, kernel: Kernel) -> None:
        graph.pool(operator, _image(graph, kernel), _out(kernel), [kernel.window] * 2, [kernel.stride] * 2)

    return put


def _mean(graph: TfliteGraph, kernel: Kernel) -> None:
    """Of a whole map: the output has a side of 1, so `stride` is the side of the input."""
    graph.reduced("MEAN", _image(graph, kernel))


def _pointwise(operator: str, options: str = "") -> Callable[[TfliteGraph, Kernel], None]:
    def put(graph: TfliteGraph, kernel: Kernel) -> None:
        graph.put(operator, [_map(graph, kernel)], _out(kernel), options)

    return put


def _swish(graph: TfliteGraph, kernel: Kernel) -> None:
    """Two operators that some runtimes make one of."""
    x = _map(graph, kernel)
    gates = graph.put("LOGISTIC", [x], _out(kernel))
    graph.put("MUL", [x, gates], _out(kernel), "MulOptions")


def _pad(graph: TfliteGraph, kernel: Kernel) -> None:
    side = kernel.side - 2
    graph.padded(graph.input(side, side, kernel.inputs[0]), [[0, 0], [1, 1], [1, 1], [0, 0]])


def _slice(graph: TfliteGraph, kernel: Kernel) -> None:
    graph.sliced(_map(graph, kernel), [0] * 4, _out(kernel))


def _shuffle(graph: TfliteGraph, kernel: Kernel) -> None:
    graph.shuffled(_map(graph, kernel), kernel.groups)


def _gather(graph: TfliteGraph, kernel: Kernel) -> None:
    graph.gathered(_map(graph, kernel), np.random.default_rng(0).integers(0, kernel.inputs[0], kernel.outputs).tolist())


KINDS: dict[str, Callable[[TfliteGraph, Kernel], None]] = {
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
    "swish": _swish,
    "pad": _pad,
    "slice": _slice,
    "shuffle": _shuffle,
    "gather": _gather,
}
