"""Which layers of a model are replaced by which chains, counted before anything is decomposed; then the editing itself.

A layer is a candidate when the scheme takes it, and is replaced when its chain has fewer multiply-adds. Between the
links of a chain stands nothing, and none has a bias but the last, which also has the activation of the layer; a norm
behind the layer stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import numpy as np

from pipelines.factorisation.decompose import Kernel, composed, relative_error
from pipelines.factorisation.ranks import Spectrum, rounded
from zoo.arithmetic import Shape, pair
from zoo.deploy import split_groups
from zoo.plans import Call, Plan, from_vocabulary
from zoo.read_model import calls, sketch_of
from zoo.rules import RULES

Ranks = tuple[int, ...]
HALVINGS = 40  # of the level of energy: finer than one singular value of any layer here
KERNELS = ("Conv2D", "Dense")
OTHERS = {
    "DepthwiseConv2D": "it is depthwise: every channel has a kernel by itself",
    "SeparableConv2D": "it is factored already",
    "Conv2DTranspose": "transposed convolutions are not factored",
}


@dataclass(frozen=True)
class Link:
    """One layer of a chain, without weights."""

    kind: str
    config: dict[str, Any]


@dataclass(frozen=True)
class Scheme:
    """What one method adds to the way all go.

    `takes` gives the reason why a convolution or dense layer is left alone, empty when it is taken. `unfold` gives the
    matrices whose ranks are chosen; with `one_rank` the largest of their ranks is the one of the chain. `links` gives
    the layers for given ranks, and `factors` their kernels in the same order.
    """

    takes: Callable[[Call], str]
    unfold: Callable[[Kernel], tuple[np.ndarray, ...]]
    links: Callable[[Call, Ranks], list[Link]]
    factors: Callable[[Call, Kernel, Ranks], list[Kernel]]
    one_rank: bool = False


@dataclass(frozen=True)
class Candidate:
    """A layer that a scheme takes, with the shape of its input, its multiply-adds and its spectra."""

    call: Call
    shape: Shape
    macs: int
    spectra: tuple[Spectrum, ...]


@dataclass(frozen=True)
class Replacement:
    """A candidate with ranks that lower its multiply-adds to `macs`."""

    candidate: Candidate
    ranks: Ranks
    macs: int


def plan_of(model: Any) -> Plan:
    """The plan of a model. Raises: ValueError with the layer that stands in the way."""
    plan = Plan.of(model)
    if plan is not None:
        return plan
    if not getattr(model, "_is_graph_network", False):
        raise ValueError(f"model {model.name} is not functional; only functional models can be factorised")
    met = set()
    for node in calls(model):
        layer = node.layer
        why = (
            "is a model by itself" if hasattr(layer, "_nodes_by_depth")
            else f"is a {type(layer).__name__}, which is not in the layer vocabulary" if not from_vocabulary(layer)
            else "is called twice" if layer.name in met else ""
        )  # fmt: skip
        if why:
            raise ValueError(
                f"this model cannot be factorised: layer {layer.name} {why}; it takes a flat model of known layers"
            )
        met.add(layer.name)
    raise ValueError("this model cannot be factorised: a layer of it has several outputs or channels first")


def candidates_of(
    model: Any, plan: Plan, scheme: Scheme, *, skip: Sequence[str], skip_ends: bool
) -> tuple[list[Candidate], dict[str, str]]:
    """The layers that a scheme takes, and by name why the others with a kernel are left alone."""
    sketch = sketch_of(model)
    ends = [call.name for call in plan.calls.values() if call.kind in KERNELS]
    branches = {branch[1].name for groups in split_groups(plan) for branch in groups}
    found, left = [], {}
    for call in plan.calls.values():
        if call.kind not in KERNELS:
            if call.kind in OTHERS:
                left[call.name] = OTHERS[call.kind]
            continue
        if any(fnmatch(call.name, pattern) for pattern in skip):
            why = "skip names it"
        elif skip_ends and call.name == ends[0]:
            why = "it is the first of all"
        elif skip_ends and call.name == ends[-1]:
            why = "it is the classifier"
        elif call.config.get("groups", 1) > 1 or call.name in branches:
            why = "its channels are in groups"
        else:
            why = scheme.takes(call)
        if why:
            left[call.name] = why
            continue
        spectra = tuple(map(Spectrum.of, scheme.unfold(kernel_of(call))))
        found.append(Candidate(call, sketch[call.inputs[0]].shape, sketch[call.name].macs, spectra))
    return found, left


def kernel_of(call: Call) -> Kernel:
    """The kernel (height, width, input channels, output channels) of a convolution or dense layer."""
    kernel = call.weights[0].astype(np.float64)
    return kernel[None, None] if call.kind == "Dense" else kernel


def choose(
    scheme: Scheme, candidates: Sequence[Candidate], rank: Callable[[Spectrum], float], multiple: int
) -> tuple[list[Replacement], dict[str, str]]:
    """The layers that a rule for ranks makes cheaper, and by name why the others are left alone."""
    found, left = [], {}
    for candidate in candidates:
        one = replacement(scheme, candidate, rank, multiple)
        if one.macs < candidate.macs:
            found.append(one)
        else:
            ranks = " and ".join(map(str, one.ranks))
            left[candidate.call.name] = (
                f"its multiply-adds would not drop: {candidate.macs:,} to {one.macs:,} at rank {ranks}"
            )
    return found, left


def replacement(scheme: Scheme, candidate: Candidate, rank: Callable[[Spectrum], float], multiple: int) -> Replacement:
    """A candidate at the ranks that a rule gives, cheaper or not."""
    ranks = tuple(rounded(rank(spectrum), spectrum.full, multiple) for spectrum in candidate.spectra)
    ranks = (max(ranks),) if scheme.one_rank else ranks
    shape, macs = candidate.shape, 0
    for link in scheme.links(candidate.call, ranks):
        facts = RULES[link.kind].facts(link.config, [shape])
        shape, macs = facts.shape, macs + facts.macs
    return Replacement(candidate, ranks, macs)


def within_budget(scheme: Scheme, candidates: Sequence[Candidate], *, macs: int, budget: float, multiple: int) -> float:
    """The highest level of energy, the same for all layers, that leaves at most `budget` of a network's `macs`.

    Raises: ValueError when even the smallest ranks leave more, saying what is possible.
    """

    def left(level: float) -> int:
        chosen, _ = choose(scheme, candidates, lambda spectrum: spectrum.energy(level), multiple)
        return macs - sum(one.candidate.macs - one.macs for one in chosen)

    if left(0.0) > budget * macs:
        raise ValueError(
            f"budget = {budget:g} is not possible: at the smallest ranks {left(0.0) / macs:.3g} of the multiply-adds "
            "are left; ask for that or more, lower multiple, or let go of skip and skip_ends"
        )
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if left(middle) <= budget * macs else (low, middle)
    return low


def carry_out(plan: Plan, scheme: Scheme, one: Replacement) -> dict[str, Any]:
    """Puts the chain in the place of the layer; gives the row of the report."""
    call = plan.calls[one.candidate.call.name]  # what it reads may have been replaced meanwhile
    kernel, links = kernel_of(call), scheme.links(call, one.ranks)
    kernels = scheme.factors(call, kernel, one.ranks)
    chain: list[Call] = []
    for link, factor, name in zip(links, kernels, _names(plan, call.name, len(links)), strict=True):
        weights: tuple[np.ndarray, ...] = (factor[0, 0] if link.kind == "Dense" else factor,)
        if len(chain) == len(links) - 1:
            weights += call.weights[1:]
        channels = factor.shape[2 if link.kind == "DepthwiseConv2D" else 3]
        inputs = (chain[-1].name,) if chain else call.inputs
        chain.append(Call(name, link.kind, link.config, inputs, channels, weights))
    plan.replace([call.name], chain)
    approximation = composed(
        [(factor, link.kind == "DepthwiseConv2D") for link, factor in zip(links, kernels, strict=True)]
    )
    full = [spectrum.full for spectrum in one.candidate.spectra]
    return {
        "layer": call.name,
        "factors": [link.name for link in chain],
        "ranks": list(one.ranks),
        "full_ranks": [max(full)] if scheme.one_rank else full,
        "relative_error": relative_error(kernel, approximation),
        "macs_before": one.candidate.macs,
        "macs_after": one.macs,
    }


def _names(plan: Plan, stem: str, count: int) -> list[str]:
    """`stem_1`, `stem_2`, ... without those that are taken."""
    taken = {*plan.calls, *(config["name"] for config in plan.inputs)}
    found: list[str] = []
    number = 0
    while len(found) < count:
        number += 1
        if f"{stem}_{number}" not in taken:
            found.append(f"{stem}_{number}")
    return found


def inner(call: Call, channels: int, size: Shape = (1, 1), strides: Shape = (1, 1), dilation: Shape = (1, 1)) -> Link:
    """A link that is not the last: no bias, no activation."""
    link = last(call, size, strides, dilation)
    word = "units" if call.kind == "Dense" else "filters"
    bare = {"use_bias": False, "activation": "linear", "activity_regularizer": None}
    return Link(call.kind, {**link.config, **bare, word: channels})


def last(call: Call, size: Shape = (1, 1), strides: Shape = (1, 1), dilation: Shape = (1, 1)) -> Link:
    """The link that ends a chain: the channels, bias and activation of the layer itself."""
    if call.kind == "Dense":
        return Link("Dense", dict(call.config))
    window = {"kernel_size": tuple(size), "strides": tuple(strides), "dilation_rate": tuple(dilation)}
    return Link("Conv2D", {**call.config, **window})


def depthwise(call: Call, size: Shape, strides: Shape = (1, 1), dilation: Shape = (1, 1)) -> Link:
    """A convolution of every channel by itself, padded as the layer is."""
    shared: dict[str, Any] = {key: call.config[key] for key in ("padding", "trainable", "dtype") if key in call.config}
    return Link("DepthwiseConv2D", {
        **shared, "kernel_size": tuple(size), "strides": tuple(strides), "dilation_rate": tuple(dilation),
        "depth_multiplier": 1, "use_bias": False,
    })  # fmt: skip


def window_of(call: Call) -> tuple[Shape, Shape, Shape]:
    """Kernel size, strides and dilation of a convolution; of a dense layer those of a 1x1 convolution."""
    if call.kind == "Dense":
        return (1, 1), (1, 1), (1, 1)
    config = call.config
    return pair(config["kernel_size"]), pair(config.get("strides", 1)), pair(config.get("dilation_rate", 1))
