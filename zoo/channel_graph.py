"""Which channels of a model must be cut together, and which may not be cut at all.

Every layer that makes channels of its own gives each of them a number, an *atom*; all others hand atoms on by the rule
their class has in `zoo/rules.py`. Atoms that meet (in an addition, in the gate of a squeeze-and-excitation, in the
blocks of a grouped convolution, under one layer called twice) are tied and form a *unit*: the smallest thing that can
be removed. Atoms that reach an answer, a layer without a rule or one that mixes channels are locked, with the reason.

So that a network keeps its operators, three more ties: a shuffle of g groups keeps or loses the same place in every
group and stays a shuffle, a grouped convolution keeps equally many channels in every group, trained in slices or not.

Source: the graph of dependencies as in DepGraph (arXiv:2301.12900), here by channel and not by layer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from zoo.deploy import split_groups
from zoo.layer_configs import config_of
from zoo.operators import is_operator, operator_rule
from zoo.plans import Plan, from_vocabulary
from zoo.read_model import calls, entries, flat
from zoo.rules import BARRIER, channel_rule, mixes_channels

if TYPE_CHECKING:
    from zoo.keras import keras

MAKERS = ("fresh", "grouped")
IMAGE, ANSWER = "it is the image", "it is an answer of the model"
# Configured with numbers of channels, so that one layer called twice must keep the same ones each time.
SIZED = ("Reshape", "ChannelSlice", "ChannelGather")


@dataclass(frozen=True)
class Site:
    """One call of a layer: `reads` has the atoms of every input, `writes` those of its output, in channel order.

    `known` is false for a layer without a rule, whose channels stay as they are. `first` is the name of the site that
    called the same layer before, empty for the first one.
    """

    name: str
    kind: str
    layer: Any = field(repr=False)
    node: Any = field(repr=False)
    reads: tuple[np.ndarray, ...] = field(repr=False)
    writes: np.ndarray = field(repr=False)
    word: str
    known: bool = True
    first: str = ""

    @property
    def makes(self) -> bool:
        """Whether its output channels are its own, each with a filter."""
        return self.known and self.word in MAKERS


@dataclass
class ChannelGraph:
    """The units of a functional model. `units[atom]` is the atom's unit; `locked` gives the reason by unit."""

    model: Any
    sites: dict[str, Site]
    tensors: dict[int, np.ndarray]
    units: np.ndarray
    locked: dict[int, str]

    @classmethod
    def of(cls, model: keras.Model) -> ChannelGraph:
        """The graph of a functional model, nested models laid open.

        Raises: ValueError for a model that is not functional.
        """
        if not getattr(model, "_is_graph_network", False):
            raise ValueError(f"model {model.name} is not functional; its channels cannot be followed")
        return _Reader(model).read()

    @property
    def free(self) -> np.ndarray:
        """The units that may be removed, in order."""
        return np.setdiff1d(np.unique(self.units), np.fromiter(self.locked, int, len(self.locked)))

    @property
    def makers(self) -> list[Site]:
        """The sites whose layers have a filter per output channel, each layer once."""
        return [site for site in self.sites.values() if site.makes and not site.first]

    def outputs_of(self, name: str) -> np.ndarray:
        """The unit behind every output channel of a site."""
        return self.units[self.sites[name].writes]

    def inputs_of(self, name: str, place: int = 0) -> np.ndarray:
        """The unit behind every channel of a site's input."""
        return self.units[self.sites[name].reads[place]]

    def groups(self) -> list[np.ndarray]:
        """Free units that are made by the same layers, as one array each: what may be ranked against each other."""
        found: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for unit, makers in self.made_by().items():
            found[makers].append(unit)
        return [np.array(sorted(units)) for units in found.values()]

    def made_by(self) -> dict[int, tuple[str, ...]]:
        """For every free unit the layers that make it."""
        found: dict[int, list[str]] = defaultdict(list)
        free = set(self.free.tolist())
        for site in self.makers:
            for unit in np.unique(self.units[site.writes]).tolist():
                if unit in free:
                    found[unit].append(site.name)
        return {unit: tuple(names) for unit, names in sorted(found.items())}

    def barriers(self) -> dict[str, int]:
        """Reason -> number of units that it locks."""
        found: dict[str, int] = defaultdict(int)
        for reason in self.locked.values():
            found[reason] += 1
        return dict(sorted(found.items(), key=lambda item: -item[1]))


class _Reader:
    """Walks the model once, hands out atoms, and notes ties and locks."""

    def __init__(self, model: Any) -> None:
        self.model, self.atoms = model, 0
        self.sites: dict[str, Site] = {}
        self.tensors: dict[int, np.ndarray] = {}
        self.ties: list[tuple[np.ndarray, np.ndarray]] = []
        self.locks: list[tuple[np.ndarray, str]] = []
        self.called: dict[int, str] = {}

    def read(self) -> ChannelGraph:
        for tensor in self.model.inputs:
            self.tensors[id(tensor)] = self._fresh(_width(tensor))
            self.locks.append((self.tensors[id(tensor)], IMAGE))
        self._walk(self.model, "")
        for tensor in self.model.outputs:
            self.locks.append((self.tensors[id(tensor)], ANSWER))
        self._tie_split_groups()
        pairs = [np.stack(pair) for pair in self.ties] or [np.zeros((2, 0), int)]
        rows, columns = np.concatenate(pairs, axis=1)
        joined = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(self.atoms, self.atoms))
        units = connected_components(joined, directed=False)[1]
        locked: dict[int, str] = {}
        for atoms, reason in self.locks:
            for unit in np.unique(units[atoms]).tolist():
                locked.setdefault(unit, reason)
        return ChannelGraph(self.model, self.sites, self.tensors, units, locked)

    def _fresh(self, count: int) -> np.ndarray:
        self.atoms += count
        return np.arange(self.atoms - count, self.atoms)

    def _tie(self, one: np.ndarray, other: np.ndarray) -> None:
        self.ties.append((one, other))

    def _walk(self, model: Any, prefix: str) -> None:
        for node in calls(model):
            layer, outputs = node.layer, flat(node.outputs)
            if hasattr(layer, "_nodes_by_depth"):
                for outer, inner in entries(node):
                    self.tensors[id(inner)] = self.tensors[id(outer)]
                self._walk(layer, f"{prefix}{layer.name}/")
                for outer, inner in zip(outputs, layer.outputs, strict=True):
                    self.tensors[id(outer)] = self.tensors[id(inner)]
                continue
            site = self._site(node, prefix + layer.name)
            self.sites[site.name] = site
            if site.known:  # anew for every call of a nested model, whose inner tensors are the same each time
                self.tensors[id(outputs[0])] = site.writes

    def _site(self, node: Any, name: str) -> Site:
        layer, outputs = node.layer, flat(node.outputs)
        kind, config = type(layer).__name__, config_of(layer) if from_vocabulary(layer) else {}
        reads = tuple(self.tensors[id(tensor)] for tensor in node.keras_inputs)
        first = self.called.get(id(layer), "")
        if first:
            name = f"{name}:{sum(one.layer is layer for one in self.sites.values()) + 1}"
        self.called.setdefault(id(layer), name)
        rule = channel_rule(kind, config) if from_vocabulary(layer) else BARRIER
        if is_operator(layer):
            rule = operator_rule(node)
        word, writes = rule.word, None
        last_axis = config.get("data_format", "channels_last") == "channels_last"
        if last_axis and len(outputs) == 1:
            writes = self._written(rule, kind, config, reads, node, name)
        if writes is None:
            word = "barrier"
            for atoms in reads:
                self.locks.append((atoms, f"it enters {name}, a {kind}, which does not say what it does to channels"))
            made = [self._fresh(_width(tensor)) for tensor in outputs]
            for tensor, atoms in zip(outputs, made, strict=True):
                self.locks.append((atoms, f"{name}, a {kind}, makes it"))
                self.tensors[id(tensor)] = atoms
            writes = made[0]
        elif word == "barrier":
            word = "pass"  # a reshape that only adds or takes away axes of 1
        elif word in MAKERS and mixes_channels(config):
            self.locks.append((writes, _reason(name, config["activation"])))
        site = Site(name, kind, layer, node, reads, writes, word, word != "barrier", first)
        if first and (layer.weights or kind in SIZED):
            before = self.sites[first]
            for mine, theirs in zip((writes, *reads), (before.writes, *before.reads), strict=False):
                both = min(len(mine), len(theirs))
                self._tie(mine[:both], theirs[:both])
        return site

    def _written(
        self, rule: Any, kind: str, config: dict[str, Any], reads: tuple[np.ndarray, ...], node: Any, name: str
    ) -> np.ndarray | None:
        """The atoms of the output; None for a barrier."""
        shapes = [tuple(tensor.shape[1:]) for tensor in node.keras_inputs]
        made = tuple(node.outputs.shape[1:])
        if rule.word == "fresh":
            return self._fresh(int(made[-1])) if len(made) in (1, 3) else None
        if rule.word == "grouped":
            writes = self._fresh(int(made[-1]))
            self._tie_blocks(reads[0].reshape(config["groups"], -1))
            self._tie_blocks(writes.reshape(config["groups"], -1))
            return writes
        if rule.word == "pass" or (kind == "Reshape" and _only_ones(shapes[0], made)):
            return reads[0] if made[-1] == shapes[0][-1] and by_channel(kind, config, len(made)) else None
        if rule.word == "union":
            wide = [atoms for atoms in reads if len(atoms) == made[-1]]
            narrow = [atoms for atoms in reads if len(atoms) != made[-1]]
            if not wide or any(len(atoms) != 1 for atoms in narrow):
                return None
            for atoms in wide[1:]:
                self._tie(wide[0], atoms)
            for atoms in narrow:
                self.locks.append((atoms, f"{name} spreads it over all of its channels"))
            return wide[0]
        if rule.word == "concat":
            axis = config.get("axis", -1)
            return np.concatenate(reads) if axis in (-1, len(made)) else None
        if rule.word in ("slice", "permute", "repeat"):
            if kind == "Flatten" and None in shapes[0]:
                return None
            if rule.word == "permute":
                self._tie_blocks(reads[0].reshape(config["groups"], -1))
            return reads[0][rule.source(config, shapes[0])]
        return None

    def _tie_blocks(self, blocks: np.ndarray) -> None:
        for block in blocks[1:]:
            self._tie(blocks[0], block)

    def _tie_split_groups(self) -> None:
        """Groups trained as slices, convolutions and a concatenation keep equally many channels each, in and out."""
        plan = Plan.of(self.model)
        for branches in split_groups(plan) if plan else ():
            first = self.sites[branches[0][1].name]
            for branch in branches[1:]:
                site = self.sites[branch[1].name]
                self._tie(first.reads[0], site.reads[0])
                self._tie(first.writes, site.writes)


def _reason(name: str, activation: Any) -> str:
    """Why what a layer makes stays, when its activation may mix channels."""
    if isinstance(activation, str):
        return f"{name} ends in {activation}, which mixes its channels"
    return f"{name} ends in an activation of its own, which may mix its channels"


def by_channel(kind: str, config: dict[str, Any], rank: int) -> bool:
    """Whether a layer that passes channels on is configured to treat all of them alike."""
    if kind == "BatchNormalization":
        axis = config["axis"]
        return (axis if isinstance(axis, int) else axis[-1]) in (-1, rank)
    if kind == "Rescaling":
        return np.ndim(config["scale"]) == np.ndim(config["offset"]) == 0
    if kind == "Dropout":
        return not config.get("noise_shape") or config["noise_shape"][-1] in (None, 1)
    return True


def _width(tensor: Any) -> int:
    """The channels of a tensor; 1 where it has none or does not say."""
    return int(tensor.shape[-1] or 1) if tensor.shape.rank else 1


def _only_ones(before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether a reshape adds or takes away axes of 1 in front of the channels."""
    return None not in (*before, *after) and before[-1] == after[-1] and prod(before[:-1]) == prod(after[:-1]) == 1
