"""Branches of additions that a network can do without: which there are, a factor on one, and the network without it.

The branch with the fewest layers of filters stays, because it carries the map; every other that has some, and that
nothing else reads, may go. What is left of an addition with one input is nothing: its readers read that input.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from zoo.channel_graph import MAKERS
from zoo.plans import Call, Plan
from zoo.rules import channel_rule

# What passes a factor of at least 0 on to its output as it is.
SCALES = (
    "AveragePooling2D", "Dropout", "GlobalAveragePooling2D", "LeakyReLU", "MaxPooling2D", "PReLU", "UpSampling2D",
    "ZeroPadding2D",
)  # fmt: skip
LINEAR = ("Conv2D", "Conv2DTranspose", "Dense", "DepthwiseConv2D", "SeparableConv2D")


@dataclass(frozen=True)
class Branch:
    """Input number `place` of the addition `add`: the calls that serve it alone, and the one that can take a factor."""

    add: str
    place: int
    calls: tuple[str, ...]
    scale: str


def branches_of(plan: Plan) -> list[Branch]:
    """The branches that may go, in the order of their additions; one that ends in nothing linear is not among them."""
    found = []
    for add in [call for call in plan.calls.values() if call.kind == "Add"]:
        serve = [_serving(plan, add, name) for name in add.inputs]
        makers = [sum(_makes(plan.calls[name]) for name in names) for names in serve]
        carrier = int(np.argmin(makers))
        for place, names in enumerate(serve):
            scale = _takes_factor(plan, add.inputs[place]) if names and makers[place] and place != carrier else None
            if scale:
                found.append(Branch(add.name, place, tuple(names), scale))
    return found


def scaled(plan: Plan, branch: Branch, factor: float) -> None:
    """Multiplies a branch by a factor of at least 0, in its weights."""
    call = plan.calls[branch.scale]
    kept = [*call.weights]
    if call.kind == "BatchNormalization":
        places: Iterable[int] = range(2 if call.config["center"] else 1)  # gamma, beta
    else:  # the last kernel and the bias
        places = range(1 if call.kind == "SeparableConv2D" else 0, len(kept))
    for place in places:
        kept[place] = kept[place] * np.float32(factor)
    plan.calls[branch.scale] = replace(call, weights=tuple(kept))


def without(plan: Plan, gone: Iterable[Branch]) -> Plan:
    """A plan without these branches; the plan given stays as it is."""
    left = Plan(plan.name, plan.inputs, plan.outputs, dict(plan.calls))
    lost: dict[str, set[int]] = {}
    for branch in gone:
        lost.setdefault(branch.add, set()).add(branch.place)
        for name in branch.calls:
            left.calls.pop(name, None)
    for name, places in lost.items():
        if name not in left.calls:  # it was part of another branch that is gone
            continue
        inputs = tuple(one for place, one in enumerate(left.calls[name].inputs) if place not in places)
        if len(inputs) > 1:
            left.calls[name] = replace(left.calls[name], inputs=inputs)
            continue
        del left.calls[name]
        for call in [*left.calls.values()]:
            left.calls[call.name] = replace(call, inputs=_renamed(call.inputs, name, inputs[0]))
        left.outputs = _renamed(left.outputs, name, inputs[0])
    return left


def _renamed(names: tuple[str, ...], before: str, after: str) -> tuple[str, ...]:
    return tuple(after if name == before else name for name in names)


def _serving(plan: Plan, add: Call, end: str) -> list[str]:
    """The calls whose every way to an output leads through input `end` of `add`."""
    if end not in plan.calls or plan.only_reader(end) is not add or add.inputs.count(end) > 1:
        return []
    found = {end}
    for name in reversed(plan.calls):
        readers = [call.name for call in plan.calls.values() if name in call.inputs]
        if readers and found.issuperset(readers) and name not in plan.outputs:
            found.add(name)
    return [name for name in plan.calls if name in found]


def _makes(call: Call) -> bool:
    return channel_rule(call.kind, call.config).word in MAKERS


def _takes_factor(plan: Plan, name: str) -> str | None:
    """The call at or before `name` whose weights can take a factor for it; None when there is none."""
    call = plan.calls.get(name)
    if call is None or plan.only_reader(name) is None:
        return None
    if call.kind in LINEAR:
        return name if (call.config.get("activation") or "linear") == "linear" else None
    if call.kind == "BatchNormalization":
        return name if call.config["scale"] else None
    if call.kind == "Multiply":
        return next((found for one in call.inputs if (found := _takes_factor(plan, one))), None)
    open_relu = call.kind == "ReLU" and call.config["max_value"] is None and not call.config["threshold"]
    plain = call.kind == "Activation" and call.config["activation"] in ("linear", "relu")
    if open_relu or plain or call.kind in SCALES:
        return _takes_factor(plan, call.inputs[0])
    return None
