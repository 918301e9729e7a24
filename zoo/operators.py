"""What operators written in Python do to channels: `x + y`, `tf.nn.relu(x)`, `tf.concat([x, y], -1)`, `x[..., :8]`.

Keras wraps each call in a layer (TFOpLambda, SlicingOpLambda) that knows its function by the public name. Only what is
certain has a rule here; any other operator is a barrier.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.rules import BARRIER, CONCAT, PASS, UNION, Channels

# Number by number, spread from the last axis on: with several tensors their channels meet.
ELEMENTWISE = (
    "__operators__.add", "cast", "clip_by_value", "identity", "math.abs", "math.add", "math.add_n", "math.divide",
    "math.divide_no_nan", "math.exp", "math.maximum", "math.minimum", "math.multiply", "math.negative", "math.pow",
    "math.sigmoid", "math.softplus", "math.square", "math.squared_difference", "math.subtract", "math.tanh",
    "math.truediv", "nn.elu", "nn.gelu", "nn.leaky_relu", "nn.relu", "nn.relu6", "nn.selu", "nn.silu", "nn.softsign",
    "stop_gradient",
)  # fmt: skip
GETITEM = "__operators__.getitem"


def is_operator(layer: Any) -> bool:
    """Whether a layer is Keras' own wrapper of a function."""
    kind = type(layer)
    return kind.__name__ in ("TFOpLambda", "SlicingOpLambda") and kind.__module__.startswith("tf_keras.")


def operator_rule(node: Any) -> Channels:
    """The channel rule of one call of such a layer."""
    from zoo.keras import tf

    symbol, tensors = node.layer.symbol, node.keras_inputs
    if any(tensor.shape.rank is None or tensor.shape.rank < 2 for tensor in tensors):
        return BARRIER
    given = [value for value in tf.nest.flatten((node.call_args, node.call_kwargs)) if not _is_one_of(value, tensors)]
    if symbol in ELEMENTWISE:
        narrow = all(value is None or np.shape(value)[-1:] in ((), (1,)) for value in given)
        return (UNION if len(tensors) > 1 else PASS) if narrow else BARRIER
    if symbol == "concat":
        numbers = [value for value in given if value is not None and not isinstance(value, str)]
        last = (-1, tensors[0].shape.rank - 1)
        return CONCAT if len(numbers) == 1 and np.ndim(numbers[0]) == 0 and numbers[0] in last else BARRIER
    part = _channel_part(node) if symbol == GETITEM else None
    if part is None:
        return BARRIER
    if (part["start"] or 0, part["stop"]) == (0, None):
        return PASS
    return Channels("slice", lambda config, shape: list(range(shape[-1]))[part["start"] : part["stop"]])


def narrowed(arguments: tuple[Any, ...], into: np.ndarray, out: np.ndarray) -> tuple[Any, ...]:
    """The arguments of a slice of channels once only those are there that `into` and `out` keep."""
    tensor, spec = arguments
    *cells, part = _parts(spec, tensor.shape.rank)
    start = int(into[: range(len(into))[part["start"] : part["stop"]].start].sum())
    return tensor, (*cells, {"start": start, "stop": start + int(out.sum()), "step": None})


def _channel_part(node: Any) -> dict[str, Any] | None:
    """What is taken of the last axis; None when axes come or go, or anything is not known beforehand."""
    if len(node.call_args) < 2 or len(node.keras_inputs) > 1:
        return None
    parts = _parts(node.call_args[1], node.keras_inputs[0].shape.rank)
    plain = all(isinstance(part, dict) and all(_whole(bound) for bound in part.values()) for part in parts)
    return parts[-1] if plain and parts[-1]["step"] in (None, 1) else None


def _parts(spec: Any, rank: int) -> list[Any]:
    """One part per axis; Keras writes a slice as a dictionary."""
    parts = list(spec) if isinstance(spec, list | tuple) else [spec]
    whole = {"start": None, "stop": None, "step": None}
    dots = [place for place, part in enumerate(parts) if part is Ellipsis]
    before, behind = (parts[: dots[0]], parts[dots[0] + 1 :]) if dots else (parts, [])
    return [*before, *[whole] * (rank - len(before) - len(behind)), *behind]


def _whole(bound: Any) -> bool:
    return bound is None or isinstance(bound, int)


def _is_one_of(value: Any, tensors: list[Any]) -> bool:
    return any(value is tensor for tensor in tensors)
