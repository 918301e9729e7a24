"""From the training form of a network to the form that is deployed: the same answers from fewer, larger operators.

Three things are rewritten, wherever they stand in a model:

- Groups trained as slices, small convolutions and a concatenation (`zoo/blocks/grouped.py`, recognised by its names and
  checked by structure) become one native grouped convolution.
- Layers that learned their groups (`zoo/keras_learned.py`) become plain ones. CondenseNet: gather, normalisation,
  activation, grouped convolution, shuffle (arXiv:1711.09224, section 4.2), and a classifier on the inputs it kept.
  Fully learnable groups: a grouped convolution between two gathers when they came out equally large, else a
  convolution for each (arXiv:1904.00346). Normalisation and activation behind move in front of the reordering, where
  they fold into the convolution.
- A frozen scale by channel without an offset, such as the step from [0, 1] to the pixels of a model from elsewhere,
  goes into the convolutions that read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.learned_groups import Channels, Groups, condensing_groups, learned_groups
from zoo.plans import Call, Plan
from zoo.rules import RULES, channel_rule

if TYPE_CHECKING:
    from zoo.keras import keras

# Their weights, if any, end in the channel axis.
_BY_CHANNEL = ("BatchNormalization", "ReLU", "LeakyReLU", "PReLU", "HardSwish", "HardSigmoid", "Activation")
_POINTWISE = {"kernel_size": (1, 1), "padding": "same", "use_bias": False}


def deploy(model: keras.Model) -> keras.Model:
    """The deployed form of a functional `model`: a new model with equal outputs, weights copied.

    A model without anything to rewrite is given back as it is, the same object. So is one that holds layers from
    outside the vocabulary, such as the wrappers of int8-aware training. An output whose group has no input stays: it
    is constant, and `zoo.learned_groups.describe` counts it.
    """
    plan = Plan.of(model)
    if plan is None:
        return model
    rewritten = False
    for call in list(plan.calls.values()):
        rewrite = _REWRITES.get(call.kind)
        # An earlier rewriting may have taken the call away or given it another input.
        if rewrite is not None and call.name in plan.calls:
            rewritten = rewrite(plan, plan.calls[call.name]) or rewritten
    return plan.build() if rewritten else model


def without_learning(model: keras.Model) -> keras.Model:
    """The deployed form of a model that holds layers which learn their groups, any other model as it is: where groups
    are still learned, neither channels nor kernels can be followed.
    """
    kinds = {type(layer).__name__ for layer in model.layers} & RULES.keys()
    return deploy(model) if any(RULES[kind].kind.startswith("learned") for kind in kinds) else model


def whole_convolution(call: Call) -> Call:
    """A layer that learns its groups as a plain convolution or dense layer of the same size: 0 where a group does not
    reach."""
    if call.kind == "CondensingDense":
        kernel, bias, mask = call.weights
        return replace(call, kind="Dense", config={"units": call.channels}, weights=(kernel * mask, bias))
    kernel = _masked(call)[None, None]
    return replace(call, kind="Conv2D", config={**_POINTWISE, "filters": call.channels}, weights=(kernel,))


def split_groups(plan: Plan) -> Iterator[list[list[Call]]]:
    """Groups that train as slices: for each grouped convolution its branches of slice, convolution and what follows."""
    for call in plan.calls.values():
        branches = _branches(plan, call) if call.kind == "Concatenate" else []
        if branches:
            yield branches


def _branches(plan: Plan, end: Call) -> list[list[Call]]:
    """The branches that end in a concatenation; empty when they are not the groups of one convolution."""
    stem = end.name.removesuffix("_concat")
    branches = [_branch(plan, source, f"{stem}_group{number}_") for number, source in enumerate(end.inputs, start=1)]
    if stem == end.name or len(branches) < 2 or not all(branches) or not _alike(plan, branches):
        return []
    return branches


def _join_groups(plan: Plan, end: Call) -> bool:
    """NAME_slice1, NAME_group1_conv, ... NAME_concat to NAME_conv."""
    branches = _branches(plan, end)
    if not branches:
        return False
    stem = end.name.removesuffix("_concat")
    parts = [branch[1:] for branch in branches]
    first, *behind = parts[0]
    config = {**first.config, "filters": end.channels, "groups": len(parts)}
    new = [replace(first, name=f"{stem}_conv", config=config, inputs=branches[0][0].inputs)]
    new += [replace(call, name=call.name.replace(f"{stem}_group1_", f"{stem}_")) for call in behind]
    for place, calls in enumerate(zip(*parts, strict=True)):
        weights = zip(*(call.weights for call in calls), strict=True)
        joined = tuple(np.concatenate(pieces, axis=-1) for pieces in weights)
        source = new[place - 1].name if place else new[0].inputs[0]
        new[place] = replace(new[place], weights=joined, inputs=(source,), channels=end.channels)
    plan.replace([end.name, *(call.name for branch in branches for call in branch)], new)
    return True


def _branch(plan: Plan, last: str, prefix: str) -> list[Call]:
    """Slice, convolution and what follows it up to `last`, with no other reader; empty when it is not that."""
    found: list[Call] = []
    while plan.only_reader(last) is not None and last in plan.calls:
        call = plan.calls[last]
        found.insert(0, call)
        if call.kind == "ChannelSlice":
            convolution = found[1].kind == "Conv2D" if len(found) > 1 else False
            return found if convolution and all(_by_channel(one) for one in found[2:]) else []
        if not call.name.startswith(prefix):
            break
        (last,) = call.inputs if len(call.inputs) == 1 else ("",)
    return []


def _alike(plan: Plan, branches: Sequence[Sequence[Call]]) -> bool:
    """Whether the branches are equal parts of one tensor, treated in one way."""
    source = branches[0][0].inputs[0]
    size = branches[0][0].channels
    places = [(branch[0].inputs[0], branch[0].config["start"], branch[0].config["stop"]) for branch in branches]
    whole = plan.channels_of(source) == size * len(branches)
    ways = [[(call.kind, call.channels, {**call.config, "name": ""}) for call in branch[1:]] for branch in branches]
    convolution = branches[0][1].config
    return (
        whole
        and places == [(source, number * size, (number + 1) * size) for number in range(len(branches))]
        and all(way == ways[0] for way in ways)
        and convolution["groups"] == 1
        and convolution["activation"] == "linear"
    )


def _masked(call: Call) -> np.ndarray:
    """The kernel (inputs, outputs) that a convolution which learns its groups computes with."""
    kernel, *choice = call.weights
    if call.kind == "CondensingConv2D":
        (mask,) = choice
        return np.asarray(kernel[0, 0] * np.tile(mask, (1, call.channels // mask.shape[1])))
    input_logits, output_logits = choice
    return np.asarray(kernel[0, 0] * (input_logits.argmax(axis=1)[:, None] == output_logits.argmax(axis=1)[None, :]))


def _condensed_convolution(plan: Plan, call: Call) -> bool:
    masked, groups = _masked(call), condensing_groups(call.weights[1], call.channels)
    if groups.whole or not groups.balanced:
        return _separate_groups(plan, call, masked, groups)
    before, behind = _before(plan, call), followers(plan, call)
    if before and _is_convolution(plan, before[0].inputs[0]):
        before = []  # it folds into that convolution only where it stands
    stem = call.name.removesuffix("_conv")
    indices = [channel for into in groups.inputs for channel in into]
    order = [channel for out in groups.outputs for channel in out]
    chain = [_gather(f"{stem}_gather", (before or [call])[0].inputs, indices)]
    chain += [_reordered(one, indices) for one in before]
    chain.append(_grouped(call.name, masked, groups.inputs, groups.outputs))
    chain += [_reordered(one, order) for one in behind]
    chain.append(Call(f"{stem}_shuffle", "ChannelShuffle", {"groups": len(groups.inputs)}, (), call.channels))
    plan.replace([one.name for one in (*before, call, *behind)], chained(chain))
    return True


def _learned_convolution(plan: Plan, call: Call) -> bool:
    return _separate_groups(plan, call, _masked(call), learned_groups(*call.weights[1:]))


def _separate_groups(plan: Plan, call: Call, kernel: np.ndarray, groups: Groups) -> bool:
    """Groups in any distribution of channels; `kernel` (inputs, outputs) is 0 between channels of different groups."""
    if groups.whole or not groups.density:
        plan.replace([call.name], [whole_convolution(call)])
        return True
    stem, behind = call.name.removesuffix("_conv"), followers(plan, call)
    inputs, outputs = _living(groups)
    gone = [one.name for one in (call, *behind)]
    order = [channel for out in outputs for channel in out]
    restore = _gather(f"{stem}_restore", (), list(np.argsort(order)))
    if len({len(into) for into in inputs}) == len({len(out) for out in outputs}) == 1:
        gather = _gather(f"{stem}_gather", call.inputs, [channel for into in inputs for channel in into])
        chain = [gather, _grouped(call.name, kernel, inputs, outputs), *(_reordered(one, order) for one in behind)]
        plan.replace(gone, chained([*chain, restore]))
        return True
    new: list[Call] = []
    ends: list[str] = []
    for number, (into, out) in enumerate(zip(inputs, outputs, strict=True), start=1):
        name = f"{stem}_group{number}"
        part = [_gather(f"{name}_gather", call.inputs, into), _grouped(f"{name}_conv", kernel, [into], [out])]
        part += [replace(_reordered(one, out), name=of_group(one.name, stem, name)) for one in behind]
        new += chained(part)
        ends.append(part[-1].name)
    join = Call(f"{stem}_concat", "Concatenate", {}, tuple(ends), call.channels, merges=True)
    plan.replace(gone, [*new, join, replace(restore, inputs=(join.name,))])
    return True


def _fold_scale(plan: Plan, call: Call) -> bool:
    """A frozen 1x1 depthwise scale whose offset is 0, so that the zeros of a padding stay what they were."""
    config = call.config
    one_by_one = tuple(config["kernel_size"]) == tuple(config["strides"]) == (1, 1)
    if config.get("trainable", True) or not one_by_one or len(call.weights) != 2 or call.weights[1].any():
        return False
    readers = [one for one in plan.calls.values() if call.name in one.inputs]
    plain = all(one.kind == "Conv2D" and one.config["groups"] == 1 for one in readers)
    if not readers or not plain or call.name in plan.outputs or call.channels != plan.channels_of(call.inputs[0]):
        return False
    scale = call.weights[0].reshape(-1)
    for one in readers:
        kernel, *rest = one.weights
        plan.calls[one.name] = replace(one, weights=(kernel * scale[:, None], *rest), inputs=call.inputs)
    del plan.calls[call.name]
    return True


def _living(groups: Groups) -> tuple[list[Channels], list[Channels]]:
    """The groups that compute something; outputs without inputs join the smallest of them, where their kernel is 0."""
    pairs = [pair for pair in zip(groups.inputs, groups.outputs, strict=True) if all(pair)]
    dead = [out for into, out in zip(groups.inputs, groups.outputs, strict=True) if not into]
    smallest = min(range(len(pairs)), key=lambda place: len(pairs[place][1]))
    outputs = [out for _, out in pairs]
    outputs[smallest] = (*outputs[smallest], *(channel for out in dead for channel in out))
    return [into for into, _ in pairs], outputs


def _condensed_dense(plan: Plan, call: Call) -> bool:
    mask, dense = call.weights[2], whole_convolution(call)
    kernel, bias = dense.weights
    kept = np.flatnonzero(mask[:, 0])
    if len(kept) in (0, len(mask)):
        plan.replace([call.name], [dense])
        return True
    gather = _gather(f"{call.name.rpartition('_')[0] or call.name}_gather", call.inputs, kept.tolist())
    plan.replace([call.name], chained([gather, replace(dense, weights=(kernel[kept], bias))]))
    return True


def _before(plan: Plan, call: Call) -> list[Call]:
    """Normalisation and activation in front of `call` that nobody else reads, in order."""
    found: list[Call] = []
    source = call.inputs[0]
    while source in plan.calls and _by_channel(plan.calls[source]) and plan.only_reader(source) is not None:
        found.insert(0, plan.calls[source])
        source = found[0].inputs[0]
    return found


def _is_convolution(plan: Plan, name: str) -> bool:
    """Whether a call is a convolution of which one layer alone reads the outcome."""
    found = plan.calls.get(name)
    return found is not None and found.kind in ("Conv2D", "DepthwiseConv2D") and plan.only_reader(name) is not None


def followers(plan: Plan, call: Call) -> list[Call]:
    """Normalisation and activation behind `call` that nobody else reads before, in order."""
    found: list[Call] = []
    reader = plan.only_reader(call.name)
    while reader is not None and _by_channel(reader):
        found.append(reader)
        reader = plan.only_reader(reader.name)
    return found


def _by_channel(call: Call) -> bool:
    """Whether the layer treats every channel by itself (a softmax does not)."""
    return call.kind in _BY_CHANNEL and channel_rule(call.kind, call.config).word == "pass"


def _gather(name: str, inputs: tuple[str, ...], indices: Sequence[Any]) -> Call:
    return Call(name, "ChannelGather", {"indices": [int(index) for index in indices]}, inputs, len(indices))


def _grouped(name: str, kernel: np.ndarray, inputs: Sequence[Channels], outputs: Sequence[Channels]) -> Call:
    """A native grouped convolution of the blocks of `kernel` (inputs, outputs), groups one after the other."""
    blocks = [kernel[np.ix_(into, out)] for into, out in zip(inputs, outputs, strict=True)]
    joined = np.concatenate(blocks, axis=1)
    config = {**_POINTWISE, "filters": joined.shape[1], "groups": len(blocks)}
    return Call(name, "Conv2D", config, (), joined.shape[1], (joined[None, None],))


def _reordered(call: Call, order: Sequence[int]) -> Call:
    """A layer that treats channels by themselves, for the channels listed in `order`."""
    weights = tuple(weight[..., list(order)] for weight in call.weights)
    return replace(call, weights=weights, channels=len(order))


def chained(chain: Sequence[Call]) -> list[Call]:
    """The calls, each on the one before it; the first keeps its inputs."""
    return [chain[0], *(replace(call, inputs=(last.name,)) for last, call in pairwise(chain))]


def of_group(name: str, stem: str, group: str) -> str:
    return name.replace(stem, group, 1) if name.startswith(stem) else f"{group}_{name}"


_REWRITES = {
    "Concatenate": _join_groups,
    "DepthwiseConv2D": _fold_scale,
    "CondensingConv2D": _condensed_convolution,
    "CondensingDense": _condensed_dense,
    "LearnedGroupConv2D": _learned_convolution,
}
