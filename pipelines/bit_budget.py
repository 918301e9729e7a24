"""A budget spent on the layers of a network: options with a cost and a noise for each, and the choice that fits.

Source: lowering by least loss for what is saved is the usual baseline of HAQ (Wang et al., arXiv:1811.08886).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from exports.mixed_bits import BITS, INT8

Currency = Literal["bytes", "bit_operations", "milliseconds"]


@dataclass(frozen=True)
class Option:
    """Bits that a layer can have: what they cost and the noise they bring."""

    bits: str
    cost: float
    noise: float


Options = Mapping[str, Sequence[Option]]


class Unreachable(ValueError):
    """A limit below the sum of the cheapest options, which is `least`."""

    def __init__(self, least: float) -> None:
        super().__init__(f"even the cheapest bits of all layers cost {least:,.0f}")
        self.least = least


def options_of(
    layers: Sequence[Mapping[str, Any]], choices: Sequence[str], budget: Currency
) -> dict[str, list[Option]]:
    """Per layer what `choices` allow and its operator can have; plain int8 where that is nothing.

    In bytes and milliseconds a cost is what the int8 file grows by, in bit operations the whole of the layer's.
    """
    found = {}
    for layer in layers:
        able = [bits for bits in layer["bits"] if bits in choices] or [INT8]
        found[layer["name"]] = [
            Option(bits, _cost(layer, bits, budget), layer["bits"][bits]["noise"]) for bits in able
        ]
    return found


def _cost(layer: Mapping[str, Any], bits: str, budget: Currency) -> float:
    return float(_bit_operations(layer, bits) if budget == "bit_operations" else layer["bits"][bits][budget])


def bit_operations(layers: Sequence[Mapping[str, Any]], bits: Mapping[str, str]) -> float:
    """Multiply-adds times bits of weights times bits of activations, over the layers with weights (HAQ's BOPs)."""
    return float(sum(_bit_operations(layer, bits[layer["name"]]) for layer in layers))


def _bit_operations(layer: Mapping[str, Any], bits: str) -> int:
    weights, activations = BITS[bits]
    return int(layer["macs"]) * weights * activations


def cheapest(options: Options, limit: float) -> dict[str, Option]:
    """An option for every layer with little noise in sum, and a sum of costs of at most `limit`.

    From the least noise on, the step with the least noise for what it saves is taken until the limit is kept; then
    single changes and changes in pairs are made while they lessen the noise.

    Raises: Unreachable when even the cheapest options cost more.
    """
    least = sum(min(one.cost for one in able) for able in options.values())
    if least > limit:
        raise Unreachable(least)
    taken = {layer: min(able, key=lambda one: (one.noise, one.cost)) for layer, able in options.items()}
    cost = sum(one.cost for one in taken.values())
    while cost > limit:
        steps = [(layer, one) for layer, able in options.items() for one in able if one.cost < taken[layer].cost]
        layer, one = min(steps, key=lambda step: _price(taken[step[0]], step[1]))
        cost += one.cost - taken[layer].cost
        taken[layer] = one
    while better := _better(options, taken, limit - cost):
        cost += sum(one.cost - taken[layer].cost for layer, one in better.items())
        taken |= better
    return taken


def _price(old: Option, new: Option) -> float:
    """Noise that comes for a unit of cost that goes; what lessens both comes first."""
    return (new.noise - old.noise) / (old.cost - new.cost)


def _better(options: Options, taken: Mapping[str, Option], spare: float) -> dict[str, Option]:
    """The change of one layer or of two that lessens the noise most and fits; empty when there is none."""
    changes = [
        (layer, one, one.noise - taken[layer].noise, one.cost - taken[layer].cost)
        for layer, able in options.items()
        for one in able
        if one is not taken[layer]
    ]
    best: dict[str, Option] = {}
    gain = -1e-12
    for layer, one, noise, cost in changes:
        if noise < gain and cost <= spare:
            best, gain = {layer: one}, noise
    for first, second in combinations(changes, 2):
        if first[0] != second[0] and first[2] + second[2] < gain and first[3] + second[3] <= spare:
            best, gain = {first[0]: first[1], second[0]: second[1]}, first[2] + second[2]
    return best
