"""Channels put in another order: those who read them are told, so that the network's answers stay what they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from zoo.channel_graph import by_channel
from zoo.plans import Call, Plan
from zoo.rules import channel_rule


def reorder(plan: Plan, name: str, order: Sequence[int]) -> list[str]:
    """Tells all readers of the call `name` that its channel c is what was its channel `order[c]`.

    Weights are permuted up to the next layers that make channels of their own. In front of a reader that cannot be told
    (an addition, a concatenation, a shuffle, the model's answer) a gather restores the old order; their names are
    given back.
    """
    places = np.asarray(order)
    added: list[str] = []
    deaf = []
    for reader in [call for call in plan.calls.values() if name in call.inputs]:
        told = _told(reader, places, plan.channels_of(name))
        if told is None:
            deaf.append(reader.name)
            continue
        call, behind = told
        plan.calls[reader.name] = call
        if behind is not None:
            added += reorder(plan, reader.name, behind)
    if deaf or name in plan.outputs:
        added.append(_restore(plan, name, places, deaf))
    return added


def _told(call: Call, order: np.ndarray, channels: int) -> tuple[Call, list[int] | None] | None:
    """The call with its weights for the new order, and the order of its own output where that changes too."""
    if call.kind == "Conv2D" and call.config.get("groups", 1) == 1:
        kernel, *rest = call.weights
        return replace(call, weights=(kernel[:, :, order], *rest)), None
    if call.kind == "Dense" and len(call.weights[0]) == len(order):
        kernel, *rest = call.weights
        return replace(call, weights=(kernel[order], *rest)), None
    if call.kind == "DepthwiseConv2D":
        kernel, *rest = call.weights
        times = kernel.shape[-1]
        behind = (order[:, None] * times + np.arange(times)).ravel()
        return replace(call, weights=(kernel[:, :, order], *(bias[behind] for bias in rest))), behind.tolist()
    if call.kind == "Flatten":
        starts = channels * np.arange(call.channels // channels)
        return call, (starts[:, None] + order).ravel().tolist()
    norm = call.kind == "BatchNormalization" and len(call.weights[-1]) == len(order)
    if norm or (channel_rule(call.kind, call.config).word == "pass" and by_channel(call.kind, call.config, 3)):
        weights = tuple(one[..., order] if one.shape[-1] == len(order) else one for one in call.weights)
        return replace(call, weights=weights), order.tolist()
    return None


def _restore(plan: Plan, name: str, order: np.ndarray, readers: list[str]) -> str:
    """Puts a gather behind `name` that gives the old order to `readers` and to the model's answer."""
    new = Call(f"{name}_order", "ChannelGather", {"indices": np.argsort(order).tolist()}, (name,), len(order))
    kept: dict[str, Call] = {}
    for key, call in plan.calls.items():
        renamed = tuple(new.name if key in readers and one == name else one for one in call.inputs)
        kept[key] = replace(call, inputs=renamed)
        if key == name:
            kept[new.name] = new
    plan.calls = kept
    plan.outputs = tuple(new.name if one == name else one for one in plan.outputs)
    return new.name
