"""Channels brought to one size: what a layer makes is scaled, what reads it takes the scale back, the answers stay.

An int8 tensor has one scale for all its channels, so a channel a hundred times smaller than its neighbour is left with
one or two of 256 steps. Where only layers lie between that let a positive factor through (ReLU without an upper end,
pooling, additions and concatenations), each channel may have a factor of its own. It is chosen so that the channel's
share of its tensor's range and its share of the range of the weights that read it become equal.

Source: Nagel et al., arXiv:1906.04721, section 4.1, equation 11; there for pairs of layers and with weights on both
sides, here with measured activations on the making side, and for all channels that additions tie together at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from zoo.channel_graph import by_channel
from zoo.plans import Call, Plan
from zoo.rules import channel_rule

MOST = 1024.0  # a factor beyond it is a channel that is as good as dead
# These let a positive factor of a channel through unchanged.
HOMOGENEOUS = {
    "LeakyReLU", "PReLU", "MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D",
    "ZeroPadding2D", "Cropping2D", "CellGather", "Resizing", "UpSampling2D", "Dropout", "SpatialDropout2D",
}  # fmt: skip
TIED = {"Add", "Subtract", "Average", "Maximum"}
READERS = {"Conv2D", "Dense", "DepthwiseConv2D", "BatchNormalization"}

Ranges = Mapping[str, np.ndarray]  # call -> the largest absolute value of each of its channels


@dataclass(frozen=True)
class Equalised:
    """The plan with other weights, and the factor of every scaled channel by call (1 where nothing could be done)."""

    plan: Plan
    factors: dict[str, np.ndarray]

    @property
    def channels(self) -> int:
        """Channels whose factor is not 1."""
        return int(sum((np.abs(np.log(one)) > 1e-6).sum() for one in self.factors.values()))


def equalise(plan: Plan, ranges: Ranges) -> Equalised:
    """Scales the channels of `plan`; `ranges` are those of its calls, measured on images.

    The given plan stays as it is. Channels that reach an answer, or a layer that does not let a factor through (ReLU6,
    hard-swish, sigmoid, softmax), keep their size.
    """
    atoms = _Atoms(plan)
    factors = _factors(plan, atoms, ranges)
    by_call = {name: factors[atoms.made[name]] for name in plan.calls}
    images = {config["name"]: np.ones(plan.channels_of(config["name"])) for config in plan.inputs}
    new = Plan(plan.name, plan.inputs, plan.outputs, {})
    for name, call in plan.calls.items():
        given = [by_call[one] if one in by_call else images[one] for one in call.inputs]
        new.calls[name] = replace(call, weights=_scaled(call, given[0], by_call[name])) if call.weights else call
    makers = {name: by_call[name] for name, call in plan.calls.items() if call.kind in READERS}
    return Equalised(new, makers)


class _Atoms:
    """A number for each channel that can have a factor of its own; `unit[atom]` after ties, `locked` units keep 1."""

    def __init__(self, plan: Plan) -> None:
        self.count = 0
        self.made: dict[str, np.ndarray] = {}
        self.ties: list[tuple[np.ndarray, np.ndarray]] = []
        self.locks: list[np.ndarray] = []
        for config in plan.inputs:
            self.made[config["name"]] = self._fresh(plan.channels_of(config["name"]), lock=True)
        for call in plan.calls.values():
            self.made[call.name] = self._call(plan, call)
        self.locks += [self.made[name] for name in plan.outputs]
        pairs = [np.stack(pair) for pair in self.ties] or [np.zeros((2, 0), int)]
        rows, columns = np.concatenate(pairs, axis=1)
        joined = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(self.count, self.count))
        unit = connected_components(joined, directed=False)[1]
        self.locked = set(unit[np.concatenate(self.locks)].tolist())
        self.made = {name: unit[atoms] for name, atoms in self.made.items()}
        self.units = int(unit.max()) + 1

    def _fresh(self, count: int, *, lock: bool = False) -> np.ndarray:
        self.count += count
        found = np.arange(self.count - count, self.count)
        if lock:
            self.locks.append(found)
        return found

    def _call(self, plan: Plan, call: Call) -> np.ndarray:
        reads = [self.made[name] for name in call.inputs]
        if call.kind in READERS and _takes_back(call, len(reads[0])):
            return self._fresh(call.channels, lock=not _passes(call.config.get("activation")))
        if call.kind in HOMOGENEOUS or (call.kind == "ReLU" and _open_relu(call.config)):
            return reads[0]
        if call.kind == "Activation" and _passes(call.config["activation"]):
            return reads[0]
        if call.kind in TIED and len({len(atoms) for atoms in reads}) == 1:
            for atoms in reads[1:]:
                self.ties.append((reads[0], atoms))
            return reads[0]
        if call.kind == "Concatenate" and call.config.get("axis", -1) in (-1, 3):
            return np.concatenate(reads)
        rule = channel_rule(call.kind, call.config)
        if rule.word in ("slice", "permute", "repeat") and rule.source is not None and call.kind != "DepthwiseConv2D":
            shape = (call.channels // len(reads[0]), len(reads[0])) if call.kind == "Flatten" else (len(reads[0]),)
            return reads[0][rule.source(call.config, shape)]
        self.locks += reads
        return self._fresh(call.channels, lock=True)


def _takes_back(call: Call, channels: int) -> bool:
    """Whether the call's weights can take a factor of its input back."""
    if call.kind == "Conv2D":
        return call.config.get("groups", 1) == 1
    if call.kind == "BatchNormalization":
        return by_channel(call.kind, call.config, 3) and bool(call.config["scale"]) and bool(call.config["center"])
    return call.kind != "Dense" or len(call.weights[0]) == channels


def _passes(activation: Any) -> bool:
    return activation in (None, "linear", "relu")


def _open_relu(config: dict[str, Any]) -> bool:
    return config.get("max_value") is None and not config.get("threshold")


def _scaled(call: Call, into: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, ...]:
    """The call's weights for inputs that are `into` times as large, so that its output is `out` times as large."""
    kernel, *rest = call.weights
    if call.kind == "BatchNormalization":
        gamma, beta, mean, variance = call.weights
        # The norm divides by the root of variance and epsilon, so both count as what is scaled.
        epsilon = call.config["epsilon"]
        held = np.maximum((variance + epsilon) * into**2 - epsilon, 0.0)
        root = np.sqrt((held + epsilon) / (variance + epsilon))
        return _single(gamma * out * root / into, beta * out, mean * into, held)
    if call.kind in ("Conv2D", "Dense"):
        return _single(kernel / into[:, None] * out, *(bias * out for bias in rest))
    if call.kind == "DepthwiseConv2D":
        each = out.reshape(kernel.shape[2], kernel.shape[3])
        return _single(kernel / into[:, None] * each, *(bias * out for bias in rest))
    return call.weights


def _single(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(one.astype(np.float32) for one in arrays)


def _factors(plan: Plan, atoms: _Atoms, ranges: Ranges) -> np.ndarray:
    """The factor of every unit: the root of the share that weights reading it have over the share it has itself."""
    made, read = np.zeros(atoms.units), np.zeros(atoms.units)
    by_channel_readers = np.zeros(atoms.units, bool)
    for name, call in plan.calls.items():
        if name in ranges and call.channels == len(ranges[name]):
            _most(made, atoms.made[name], ranges[name] / max(float(ranges[name].max()), 1e-30))
        weights = _weights_by_input(call)
        if weights is not None:
            _most(read, atoms.made[call.inputs[0]], weights / max(float(weights.max()), 1e-30))
        if call.kind == "DepthwiseConv2D":
            by_channel_readers[atoms.made[call.inputs[0]]] = True
    factors = np.ones(atoms.units)
    able = made > 0
    able[list(atoms.locked)] = False
    shared, alone = able & (read > 0), able & (read == 0) & by_channel_readers
    factors[shared] = np.sqrt(read[shared] / made[shared])
    factors[alone] = 1 / made[alone]  # a depthwise layer has a scale for each channel: nothing is lost there
    return np.clip(factors, 1 / MOST, MOST)


def _weights_by_input(call: Call) -> np.ndarray | None:
    """The largest weight that reads each input channel, as share of the largest in its filter."""
    if call.kind not in ("Conv2D", "Dense") or not call.weights or call.config.get("groups", 1) != 1:
        return None  # a depthwise layer and a norm have a scale of their own for every channel
    kernel = np.abs(call.weights[0]).astype(np.float64)
    largest = kernel.reshape(-1, kernel.shape[-1]).max(axis=0)
    shares = kernel / np.maximum(largest, 1e-30)
    axes = tuple(place for place in range(kernel.ndim) if place != kernel.ndim - 2)
    found: np.ndarray = shares.max(axis=axes)
    return found


def _most(into: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
    np.maximum.at(into, places, values)
