"""Which layers of a network compute with signs, and where the signs that they read are taken.

Convolutions and dense layers may; depthwise ones stay as they are, a sign per tap leaves them almost nothing. The first
and the last of them see the image and give the answer, and stay float unless asked for. A convolution usually reads
what a ReLU made, and the sign of that is 1 everywhere; so the sign is taken in front of the ReLU, as in XNOR-Net
(Rastegari et al., arXiv:1603.05279, section 3.2: norm, sign, convolution), also through a max pooling, which commutes
with it. Where zeros are padded on by a layer of its own, or nothing with two signs can be found, the layer keeps float
inputs and has binary weights only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from zoo.plans import Call, Plan

KINDS = ("Conv2D", "Dense")
# Puts out no negative number, but what it reads has the sign of a whole layer's answer.
ONE_SIDED = ("ReLU",)
POSITIVE = ("relu", "sigmoid", "hard_sigmoid", "softplus", "exponential", "softmax")
PASSING = ("Flatten", "Dropout", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "AveragePooling2D", "ZeroPadding2D",
           "Cropping2D", "ChannelSlice", "ChannelShuffle", "ChannelGather", "CellGather", "Reshape")  # fmt: skip


@dataclass(frozen=True)
class Binarised:
    """The plan in which every layer of `names` is to have binary weights; those of `signs` read signs."""

    plan: Plan
    names: tuple[str, ...]
    signs: tuple[str, ...]


def places(plan: Plan, ends: Literal["float", "binary"]) -> tuple[str, ...]:
    """The layers of `plan` that may have binary weights, in order."""
    found = [call.name for call in plan.calls.values() if call.kind in KINDS and call.weights]
    return tuple(found if ends == "binary" else found[1:-1])


def with_signs(plan: Plan, names: tuple[str, ...]) -> Binarised:
    """Puts a sign in front of every layer of `names` where there is something to take the sign of; changes `plan`."""
    signs = []
    for name in names:
        source = plan.calls[name].inputs[0]
        if source in plan.calls and plan.calls[source].kind == "Sign":  # it was binary before
            signs.append(name)
            continue
        two_sided = _two_sided(plan, source)
        if two_sided is not None:
            _read_sign_of(plan, name, two_sided)
            signs.append(name)
    _drop_unread(plan)
    return Binarised(plan, names, tuple(signs))


def lacking_norms(plan: Plan, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `names` that have no norm directly behind them, which would put the size of their answers right."""
    found = []
    for name in names:
        reader = plan.only_reader(name)
        if reader is None or reader.kind != "BatchNormalization":
            found.append(name)
    return tuple(found)


def _two_sided(plan: Plan, name: str) -> str | None:
    """What to take the sign of instead of `name`; None when it has one sign only, or is the image."""
    call = plan.calls.get(name)
    if call is None:
        return None
    if call.kind in ONE_SIDED:
        name = call.inputs[0]
    elif call.kind == "MaxPooling2D":
        inner = plan.calls.get(call.inputs[0])
        if inner is not None and inner.kind in ONE_SIDED and plan.only_reader(name) and plan.only_reader(inner.name):
            plan.calls[name] = replace(call, inputs=inner.inputs)
    return None if _has_one_sign(plan, name) else name


def _has_one_sign(plan: Plan, name: str) -> bool:
    """Whether every number of `name` is at least 0, as far as can be told."""
    call = plan.calls.get(name)
    if call is None:
        return True  # the image
    if call.kind in (*ONE_SIDED, "HardSigmoid") or call.config.get("activation") in POSITIVE:
        return True
    if call.kind in ("Add", "Concatenate", "Multiply", "Maximum", "Average"):
        return all(_has_one_sign(plan, source) for source in call.inputs)
    return call.kind in (*PASSING, "MaxPooling2D") and _has_one_sign(plan, call.inputs[0])


def _read_sign_of(plan: Plan, name: str, source: str) -> None:
    """Lets the layer `name` read the sign of `source`; one sign serves all that read the same."""
    sign = f"{source}_sign"
    before = dict(plan.calls)
    plan.calls.clear()
    for each, call in before.items():
        if each == name and sign not in before:
            channels = before[source].channels
            plan.calls[sign] = Call(sign, "Sign", {"name": sign}, (source,), channels)
        plan.calls[each] = replace(call, inputs=(sign,)) if each == name else call


def _drop_unread(plan: Plan) -> None:
    """Takes away calls that nobody reads any more: activations whose place a sign has taken."""
    while True:
        read = {source for call in plan.calls.values() for source in call.inputs} | set(plan.outputs)
        unread = [name for name in plan.calls if name not in read]
        if not unread:
            return
        for name in unread:
            del plan.calls[name]
