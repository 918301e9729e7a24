"""Convolutions with half the filters: the other half are the same with the opposite sign.

Source: Shang et al., arXiv:1603.05201: first layers of trained networks learn filters in pairs of opposite phase
(section 2.1), so that one of each pair and its negation are enough (definition 2.1). Here the negation is a depthwise
1x1 convolution with the fixed weights 1 and -1, which every file format has and int8-aware training takes; the norm
behind it gives each of the two its own scale and offset, so that a pair need not be of one length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zoo.plans import Call, Plan
from zoo.reorder import reorder

SILENT = 1e-6  # a filter so much shorter than its partner answers with nothing


@dataclass(frozen=True)
class Pairs:
    """The filters of a layer two by two, (pairs, 2), and the cosine of each two; -1 is opposite."""

    places: np.ndarray
    cosines: np.ndarray

    @property
    def similarity(self) -> float:
        """How opposite the pairs are on average: 1 for exact negations, 0 for filters that have nothing in common."""
        return float(np.mean(-self.cosines))


def pair(filters: np.ndarray) -> Pairs:
    """Pairs the rows of `filters` greedily, the most opposite first. Raises: ValueError for an odd number of rows."""
    count = len(filters)
    if count % 2:
        raise ValueError(f"{count} filters cannot be paired; an even number can")
    units = filters / np.maximum(np.linalg.norm(filters, axis=1, keepdims=True), 1e-30)
    cosines = units @ units.T
    first, second = np.triu_indices(count, 1)
    taken = np.zeros(count, bool)
    found = []
    for place in np.argsort(cosines[first, second], kind="stable"):
        one, other = first[place], second[place]
        if not (taken[one] or taken[other]):
            taken[[one, other]] = True
            found.append((one, other))
    places = np.array(found)
    return Pairs(places, cosines[places[:, 0], places[:, 1]])


def candidates(plan: Plan) -> list[str]:
    """Convolutions that can be halved: plain ones of an even number of filters, read by a norm and by nobody else."""
    return [call.name for call in plan.calls.values() if _norm_behind(plan, call) is not None]


def halve(plan: Plan, name: str) -> Pairs:
    """Halves the filters of the convolution `name`, one of `candidates`, in place; gives what was paired."""
    call = plan.calls.get(name)
    norm = _norm_behind(plan, call) if call else None
    if call is None or norm is None:
        raise ValueError(f"{name} cannot be halved; these can: {', '.join(candidates(plan)) or 'none'}")
    kernel, *bias = call.weights
    filters = kernel.reshape(-1, kernel.shape[-1]).T.astype(np.float64)
    pairs = pair(filters)
    one, other = filters[pairs.places[:, 0]], filters[pairs.places[:, 1]]
    common = _common(one, other)
    # What each old filter is of its new one: x is about `scale` times (new, -new), by least squares.
    squares = np.maximum((common**2).sum(axis=1), 1e-30)
    scales = np.stack([(one * common).sum(axis=1), -(other * common).sum(axis=1)], axis=1) / squares[:, None]
    order = pairs.places.ravel()
    half = kernel.shape[-1] // 2
    small = common.T.reshape(*kernel.shape[:-1], half).astype(kernel.dtype)
    both = np.tile(np.array([1.0, -1.0], kernel.dtype), (1, 1, half, 1))
    new_conv = replace(
        call, config={**call.config, "filters": half, "use_bias": False}, channels=half, weights=(small,)
    )
    signs = Call(f"{name}_signs", "DepthwiseConv2D", _signs(), (name,), call.channels, (both,))
    offset = bias[0][order] if bias else np.zeros(len(order))
    new_norm = replace(norm, inputs=(signs.name,), weights=_rescaled(norm, order, scales.ravel(), offset))
    plan.calls = {
        key: new
        for old, one_call in plan.calls.items()
        for key, new in (
            [(name, new_conv), (signs.name, signs)] if old == name else
            [(old, new_norm)] if old == norm.name else [(old, one_call)]
        )
    }  # fmt: skip
    reorder(plan, norm.name, order.tolist())
    return pairs


def _norm_behind(plan: Plan, call: Call) -> Call | None:
    config = call.config
    plain = call.kind == "Conv2D" and config.get("groups", 1) == 1 and config.get("activation", "linear") == "linear"
    if not plain or call.channels % 2 or call.channels < 4:
        return None
    reader = plan.only_reader(call.name)
    return reader if reader is not None and reader.kind == "BatchNormalization" else None


def _common(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The direction that stands for both: between `one` and the negation of `other`, as long as `one`.

    Two filters that lean the same way are met in the middle as well; the second one's scale is then negative.
    """
    lengths = [np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, other)]
    units = [rows / np.maximum(length, 1e-30) for rows, length in zip((one, other), lengths, strict=True)]
    sign = np.where((units[0] * units[1]).sum(axis=1, keepdims=True) <= 0, -1.0, 1.0)
    middle = units[0] + sign * units[1]
    middle /= np.maximum(np.linalg.norm(middle, axis=1, keepdims=True), 1e-30)
    return middle * np.where(lengths[0] > SILENT, lengths[0], np.maximum(lengths[1], SILENT))


def _rescaled(norm: Call, order: np.ndarray, scales: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, ...]:
    """The norm's weights for channels that are 1/scale of what they were: equal answers, in training nearly so."""
    names = [key for key, used in (("gamma", norm.config.get("scale", True)), ("beta", norm.config.get("center", True)))
             if used]  # fmt: skip
    values = dict(zip([*names, "mean", "variance"], (w[order].astype(np.float64) for w in norm.weights), strict=True))
    epsilon = float(norm.config["epsilon"])
    mean, variance = values["mean"] - offset, values["variance"]
    silent = np.abs(scales) <= SILENT
    scale = np.where(silent, 1.0, scales)
    if "gamma" in values:
        gained = values["gamma"] * scale * np.sqrt((variance / scale**2 + epsilon) / (variance + epsilon))
        if "beta" in values:
            constant = values["beta"] - values["gamma"] * mean / np.sqrt(variance + epsilon)
            values["beta"] = np.where(silent, constant, values["beta"])
        values["gamma"] = np.where(silent, 0.0, gained)
    values["mean"], values["variance"] = mean / scale, variance / scale**2
    return tuple(value.astype(np.float32) for value in values.values())


def _signs() -> dict[str, Any]:
    return {
        "kernel_size": (1, 1), "strides": (1, 1), "padding": "same", "depth_multiplier": 2, "use_bias": False,
        "trainable": False,
    }  # fmt: skip
