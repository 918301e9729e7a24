"""Which units go: by scores, within each group of layers or over all of them, until a share of the target is gone.

Kept channels are rounded to a multiple, because vector units and the Edge TPU work in eights, and no group falls
below its floor. Both hold for the channels of the layer that a group's units belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Literal

import numpy as np

from zoo.channel_graph import ChannelGraph
from zoo.cut_counts import CutCounter

Counted = Literal["macs", "params", "channels"]
Target = Literal["macs", "params", "channels", "latency"]
Scope = Literal["layer", "global"]
STEPS = 24  # halvings of the share: finer than one channel of any layer here


@dataclass(frozen=True)
class Group:
    """Units made by the same layers: their scores, the channels each stands for, how many must stay, and of which
    multiple of channels."""

    layers: tuple[str, ...]
    units: np.ndarray
    scores: np.ndarray
    channels: int
    least: int
    multiple: int = 1

    def kept(self, share: float) -> int:
        """How many units stay when `share` of them would go, rounded to the nearest allowed number."""
        wanted = (1 - share) * len(self.units)
        if self.multiple > 1:
            step = max(1, self.multiple // self.channels)
            wanted = step * max(1, round(wanted / step))
        return min(len(self.units), max(self.least, round(wanted)))


@dataclass(frozen=True)
class Choice:
    """The units to remove, what is left of the target as a share, counts before and after, units kept by group."""

    units: np.ndarray
    left: float
    params_before: int
    params: int
    macs_before: int
    macs: int
    groups: tuple[tuple[Group, int], ...]


def groups_of(
    graph: ChannelGraph, scores: dict[int, float], *, least: int, multiple: int, skip: Sequence[str] = ()
) -> list[Group]:
    """The groups that may lose units: those of which every unit has a score, and no layer fits a pattern of `skip`."""
    found = []
    made_by = graph.made_by()
    for units in graph.groups():
        layers = made_by[int(units[0])]
        if any(fnmatch(layer, pattern) for layer in layers for pattern in skip):
            continue
        if not all(int(unit) in scores for unit in units):
            continue
        channels = max(1, round(len(graph.sites[layers[0]].writes) / len(np.unique(graph.outputs_of(layers[0])))))
        floor = max(1, -(-max(least, multiple if multiple > 1 else 1) // channels))
        values = np.array([scores[int(unit)] for unit in units])
        found.append(Group(layers, units, values, channels, min(len(units), floor), multiple))
    return found


def counted(target: Target) -> Counted:
    """What is counted where a target in time cannot be: multiply-adds."""
    return "macs" if target == "latency" else target


class Ladder:
    """Cuts of one network by level: 0 removes nothing, 1 all that floors, multiples and skipped layers allow."""

    def __init__(self, graph: ChannelGraph, groups: Sequence[Group], scope: Scope, raw: bool = False) -> None:
        self.graph, self.groups, self._scope, self._raw = graph, groups, scope, raw
        self._counter, self._spare = CutCounter(graph), sparing(graph, groups)

    def amounts(self, level: float) -> dict[str, int]:
        """What is left at a level: params, macs and channels."""
        return _amounts(self._counter, self.graph, self.units(level))

    def int8_bytes(self, level: float) -> int:
        """What the int8 file is predicted to take at a level."""
        return self._counter.int8_bytes(self.units(level))

    def at(self, level: float, left: float) -> Choice:
        """The cut at a level; `left` is what it leaves of the target."""
        return _choice(self.graph, self._counter, self.groups, self.units(level), left)

    def units(self, level: float) -> list[int]:
        """The units that are gone at a level."""
        if self._scope == "layer":
            return self._spare(_by_layer(self.groups, level))
        return self._spare(_overall(self.groups, level, self._raw))


def choose(
    graph: ChannelGraph, groups: Sequence[Group], *, share: float, target: Counted, scope: Scope, raw: bool = False
) -> Choice:
    """The units with the lowest scores, so many that at least `share` of the target goes.

    Over all groups, scores are compared as multiples of their group's mean, or as they are when they are `raw`.

    Raises: ValueError when even the floors leave more than that, saying what is possible.
    """
    ladder = Ladder(graph, groups, scope, raw)
    before, least = ladder.amounts(0.0)[target], ladder.amounts(1.0)[target]
    allowed = (1 - share) * before
    if not groups or least > allowed:
        raise ValueError(not_possible(share, target, 1 - least / before if groups else 0.0))
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if ladder.amounts(middle)[target] <= allowed else (middle, high)
    return ladder.at(high, ladder.amounts(high)[target] / before)


def not_possible(share: float, target: Target, possible: float) -> str:
    """The sentence that refuses a target and says what would work."""
    return (
        f"remove = {share:.3g} of the {target} is not possible: with floors, multiples and skipped layers at most "
        f"{possible:.3g} can go; ask for less, or lower least or multiple"
    )


def exactly(graph: ChannelGraph, groups: Sequence[Group], wanted: Sequence[int], *, target: Counted) -> Choice:
    """The units `wanted`, which must be free, as far as floors, multiples and skipped layers let them go.

    Of a group that must keep some of them, those of the lowest scores go.
    """
    asked = np.array(sorted(wanted), int)
    found = []
    for group in groups:
        here = np.isin(group.units, asked)
        step = max(1, group.multiple // group.channels)
        stay = min(len(here), max(group.least, -(-int((~here).sum()) // step) * step))
        order = np.lexsort((group.scores, ~here))
        found.append(group.units[order[: len(here) - stay]])
    counter, gone = CutCounter(graph), sparing(graph, groups)(found)
    left = _amounts(counter, graph, gone)[target] / _amounts(counter, graph, ())[target]
    return _choice(graph, counter, groups, gone, left)


def _choice(
    graph: ChannelGraph, counter: CutCounter, groups: Sequence[Group], gone: Sequence[int], left: float
) -> Choice:
    before, after = _amounts(counter, graph, ()), _amounts(counter, graph, gone)
    units = np.array(gone, int)
    return Choice(
        units,
        left,
        before["params"],
        after["params"],
        before["macs"],
        after["macs"],
        tuple((group, int((~np.isin(group.units, units)).sum())) for group in groups),
    )


def _by_layer(groups: Sequence[Group], share: float) -> list[np.ndarray]:
    return [_lowest(group, len(group.units) - group.kept(share)) for group in groups]


def _overall(groups: Sequence[Group], share: float, raw: bool) -> list[np.ndarray]:
    """One threshold for all; unless they are `raw`, scores are compared as multiples of their group's mean."""
    relative = [group.scores if raw else group.scores / max(float(group.scores.mean()), 1e-30) for group in groups]
    threshold = np.quantile(np.concatenate(relative), share, method="lower") if share < 1 else np.inf
    found = []
    for group, values in zip(groups, relative, strict=True):
        gone = float((values < threshold).mean())
        found.append(_lowest(group, len(group.units) - group.kept(gone)))
    return found


def _lowest(group: Group, count: int) -> np.ndarray:
    return group.units[np.argsort(group.scores, kind="stable")[:count]]


def sparing(graph: ChannelGraph, groups: Sequence[Group]) -> Callable[[Sequence[np.ndarray]], list[int]]:
    """Gives a function that takes the units to go, as arrays, and leaves the best one of every site out of them.

    A slice reads less than a whole group, so the floors of groups alone could empty it.
    """
    worth = {int(unit): score for group in groups for unit, score in zip(group.units, group.scores, strict=True)}
    sites = {tuple(np.unique(graph.units[site.writes]).tolist()) for site in graph.sites.values()}
    open_sites = [units for units in sorted(sites) if worth.keys() >= set(units)]

    def spare(chosen: Sequence[np.ndarray]) -> list[int]:
        gone = {int(unit) for units in chosen for unit in units}
        for units in open_sites:
            if gone.issuperset(units):
                gone.discard(max(units, key=worth.__getitem__))
        return sorted(gone)

    return spare


def _amounts(counter: CutCounter, graph: ChannelGraph, removed: Sequence[int]) -> dict[str, int]:
    params, macs = counter.counts(removed)
    kept = len(graph.units) - int(np.isin(graph.units, np.array(list(removed), int)).sum())
    return {"params": params, "macs": macs, "channels": kept}
