"""What a network will cost, summed over its sketch.

Two numbers need an assumption, the same for both: **what a runtime folds away costs nothing**. Batch normalisation
directly behind a convolution or a dense layer becomes part of it, and a ReLU or ReLU6 behind such a pair, or behind
an addition, is applied while the result is written (TFLite does both). Dropout, reshapes and the input itself move
nothing.

- `memory_access_bytes`: every operation that is left reads its inputs and weights and writes its output once,
  `h*w*(c1 + c2) + c1*c2` for a 1x1 convolution. Source: arXiv:1807.11164, section 2 (MAC), extended to element-wise
  operations, pooling, concatenation, slices and shuffles; caches are ignored, as in the paper.
- `peak_activation_bytes`: the most that is alive at once while the network runs operation by operation, each branch
  to its end before the next. An operation's inputs and output are alive together; weights are not counted. A
  runtime's arena is this or a little more (alignment, scratch buffers).

Both scale with `element_bytes`: 4 for float32, 1 for int8.

- `predicted_int8_bytes`: about how large the int8 .tflite will be. A prediction, never a measurement.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from itertools import chain
from math import prod
from typing import Any

from zoo.rules import RULES
from zoo.sketches import Sketch

_NORM_FOLDS_INTO = ("conv", "depthwise", "separable", "transposed", "dense", "learned_conv")
_RELU_FOLDS_INTO = (*_NORM_FOLDS_INTO, "add")

# What an int8 .tflite holds besides a byte per kernel weight: per output channel a 4-byte bias and twice 12 bytes of
# scale and zero point, less where tensors share; per operator its tensors with names, shapes and options. Fitted to the
# files of ten architectures at small widths, where these parts weigh most: eight agree within 1 %, all within 3 %.
# Weights were random, for equal buffers are stored once, and the biases of an untrained network are all equal.
LAYER_BYTES, CHANNEL_BYTES = 840, 27  # with a bias, its own or that of a norm which folds in
BARE_LAYER_BYTES, BARE_CHANNEL_BYTES = 450, 24  # without
OPERATOR_BYTES = 218  # without weights
OPERATORS_OF = {"shuffle": 3, "norm": 2}  # reshape, transpose, reshape; product and sum, where it does not fold


@dataclass(frozen=True)
class Sums:
    """A cost without its rows, in elements where `Cost` has bytes: one pass serves every element size."""

    params: int
    trainable_params: int
    macs: int
    memory_access: int
    peak_activation: int
    predicted_int8_bytes: int


@dataclass(frozen=True)
class Cost:
    """The sums, batch 1, and one row per layer: name, kind, stage, shape, params, macs, memory_access_bytes."""

    params: int
    trainable_params: int
    macs: int
    memory_access_bytes: int
    peak_activation_bytes: int
    layers: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """The cost as plain values, ready for JSON."""
        return asdict(self)


def cost_of(sketch: Sketch, element_bytes: int = 4) -> Cost:
    """The cost of a sketched network with `element_bytes` per number."""
    if isinstance(element_bytes, bool) or element_bytes not in (1, 2, 4, 8):
        raise ValueError(f"element_bytes {element_bytes!r} is not 1, 2, 4 or 8; float32 has 4, int8 has 1")
    home = homes(sketch)
    sums = _sums(sketch, home)
    rows: list[dict[str, Any]] = [
        {
            "name": op.name,
            "kind": op.kind,
            "stage": op.stage,
            "shape": list(op.shape),
            "params": op.params,
            "macs": op.macs,
            "memory_access_bytes": op.moved * element_bytes if home[op.name] == op.name else 0,
        }
        for op in sketch.ops
    ]
    return Cost(
        params=sums.params,
        trainable_params=sums.trainable_params,
        macs=sums.macs,
        memory_access_bytes=sums.memory_access * element_bytes,
        peak_activation_bytes=sums.peak_activation * element_bytes,
        layers=rows,
    )


def sums_of(sketch: Sketch) -> Sums:
    """The sums of `cost_of` alone, in about a third of its time: what whole grids of designs are counted with."""
    return _sums(sketch, homes(sketch))


def _sums(sketch: Sketch, home: dict[str, str]) -> Sums:
    return Sums(
        params=sum(op.params for op in sketch.ops),
        trainable_params=sum(op.trainable_params for op in sketch.ops),
        macs=sum(op.macs for op in sketch.ops),
        memory_access=sum(op.moved for op in sketch.ops if home[op.name] == op.name),
        peak_activation=peak_elements(sketch, home),
        predicted_int8_bytes=predicted_int8_bytes(sketch, home),
    )


def predicted_int8_bytes(sketch: Sketch, home: dict[str, str] | None = None) -> int:
    """About how large the int8 .tflite will be; what folds into the layer before it costs nothing."""
    home = home or homes(sketch)
    with_norm = {home[op.name] for op in sketch.ops if op.kind == "norm"}
    total = 0
    for op in sketch.ops:
        if home[op.name] != op.name or op.kind == "input":
            continue
        channels = op.shape[-1]
        if op.kind == "norm" or not op.params:
            total += OPERATOR_BYTES * OPERATORS_OF.get(op.kind, 1) + (2 * channels if op.params else 0)
        elif op.name in with_norm or op.config.get("use_bias", True):
            total += op.params + LAYER_BYTES + channels * CHANNEL_BYTES
        else:
            total += op.params + BARE_LAYER_BYTES + channels * BARE_CHANNEL_BYTES
    return total


def int8_channel_bytes(sketch: Sketch) -> dict[str, int]:
    """What one output channel of an operation costs in the int8 file besides its weights, by operation with weights."""
    home = homes(sketch)
    with_norm = {home[op.name] for op in sketch.ops if op.kind == "norm"}
    found = {}
    for op in sketch.ops:
        if home[op.name] != op.name or not op.params:
            continue
        if op.kind == "norm":
            found[op.name] = 2
        else:
            biased = op.name in with_norm or op.config.get("use_bias", True)
            found[op.name] = CHANNEL_BYTES if biased else BARE_CHANNEL_BYTES
    return found


def homes(sketch: Sketch) -> dict[str, str]:
    """For every operation the one it is folded into, itself when it stands alone: a norm lives in its convolution.

    An operation folds only when it is the sole reader of what it folds into.
    """
    readers = Counter(chain(chain.from_iterable(op.inputs for op in sketch.ops), sketch.outputs))
    home: dict[str, str] = {}
    activated: set[str] = set()
    for op in sketch.ops:
        home[op.name] = op.name
        if len(op.inputs) != 1:
            continue
        (source,) = op.inputs
        host = sketch[home[source]]
        if op.layer in RULES and RULES[op.layer].view:
            home[op.name] = host.name
        elif readers[source] > 1 or host.name in activated:
            continue
        elif op.kind == "norm" and host.kind in _NORM_FOLDS_INTO:
            home[op.name] = host.name
        elif op.kind == "relu" and host.kind in _RELU_FOLDS_INTO:
            home[op.name] = host.name
            activated.add(host.name)
    return home


def peak_elements(sketch: Sketch, home: dict[str, str] | None = None) -> int:
    """The largest number of activation elements alive at once (assumptions at the top of this file)."""
    home = home or homes(sketch)
    order = [name for name in _branch_by_branch(sketch) if home[name] == name]
    last_use: dict[str, int] = {}
    sources: dict[str, set[str]] = {name: set() for name in order}
    for op in sketch.ops:
        sources[home[op.name]].update(home[name] for name in op.inputs if home[name] != home[op.name])
    for step, name in enumerate(order):
        last_use.setdefault(name, step)
        for source in sources[name]:
            last_use[source] = step
    for name in sketch.outputs:
        last_use[home[name]] = len(order)
    peak = alive = 0
    ends: Counter[int] = Counter()
    for step, name in enumerate(order):
        size = prod(sketch[name].shape)
        alive += size
        ends[last_use[name]] += size
        peak = max(peak, alive)
        alive -= ends.pop(step, 0)
    return peak


def _branch_by_branch(sketch: Sketch) -> list[str]:
    """Operation names so that each comes after its inputs and each branch is finished before the next begins.

    The order depends on the graph alone, so a sketch and one read back from its Keras model give the same peak.
    """
    done: dict[str, None] = {}
    ends = sketch.outputs or tuple(op.name for op in sketch.ops[-1:])
    stack = [(name, False) for name in reversed(ends)]
    while stack:
        name, inputs_done = stack.pop()
        if name in done:
            continue
        if inputs_done:
            done[name] = None
        else:
            stack.append((name, True))
            stack.extend((source, False) for source in reversed(sketch[name].inputs))
    return list(done)
