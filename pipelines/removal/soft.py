"""Filters that are zero for an epoch and may come back: pruning while a model is trained.

After every epoch a set of units is chosen anew and their filters, with biases, become zero. Within the next epoch they
get no gradient and stay zero; chosen again or not is decided by what the others have become. Norms behind them train
on. A unit without filters is constant from there on, so that what it hands on can be absorbed before a cut.
Source: He et al., arXiv:1811.00250, algorithm 1; the gradients of zero filters are put to zero as in the released code,
which lets momentum move them still, where here they stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from pipelines.removal.filters import filter_weight
from pipelines.training.loop import Hooks
from zoo.channel_graph import ChannelGraph


class SoftMask:
    """Keeps the filters of a changing set of units at zero; `select` gives the set after every epoch.

    The graph's model is given its masks as weights that are not trained, so that a checkpoint of it holds them: of two
    filters at zero, one may have been let go a moment ago.
    """

    def __init__(self, graph: ChannelGraph, select: Callable[[], Iterable[int]]) -> None:
        self.select, free = select, graph.free
        self.units: list[np.ndarray] = []
        self.masks: list[Any] = []  # (output channels,) of 0 and 1 by layer
        self.weights: list[list[tuple[Any, int]]] = []  # kernel and bias by layer, each with its axis of outputs
        for site in graph.makers:
            units = graph.outputs_of(site.name)
            if not np.isin(units, free).any():
                continue
            bias = site.layer.bias if site.layer.get_config().get("use_bias") else None
            self.units.append(units)
            self.masks.append(
                graph.model.add_weight(
                    name=f"{site.name}_mask", shape=(len(units),), initializer="ones", trainable=False
                )
            )
            self.weights.append([filter_weight(site), *([(bias, 0)] if bias is not None else [])])
        self._places = {id(weight): (place, axis) for place, pairs in enumerate(self.weights) for weight, axis in pairs}

    def hooks(self) -> Hooks:
        """What the training loop does for this."""
        return Hooks(update=self._update, gradients=self._gradients, epoch_end=self._epoch_end)

    def zeroed(self) -> set[int]:
        """The units that are kept at zero."""
        pairs = zip(self.units, self.masks, strict=True)
        return {int(unit) for units, mask in pairs for unit in units[mask.numpy() == 0]}

    def _shaped(self, place: int, weight: Any, axis: int) -> Any:
        from zoo.keras import tf

        shape = [1] * len(weight.shape)
        shape[axis] = -1
        return tf.reshape(self.masks[place], shape)

    def _update(self, step: Any) -> None:
        for place in range(len(self.weights)):
            self._silence(place)

    def _silence(self, place: int) -> None:
        for weight, axis in self.weights[place]:
            weight.assign(weight * self._shaped(place, weight, axis))  # momentum may have moved it

    def _gradients(self, gradients: list[Any], variables: Sequence[Any], rate: Any) -> list[Any]:
        changed = []
        for gradient, variable in zip(gradients, variables, strict=True):
            if id(variable) in self._places:
                place, axis = self._places[id(variable)]
                gradient = gradient * self._shaped(place, variable, axis)
            changed.append(gradient)
        return changed

    def _epoch_end(self) -> dict[str, float]:
        """Chooses anew; gives the share of the zero filters that were not zero in the epoch before."""
        for place in range(len(self.weights)):
            self._silence(place)
        chosen, fresh, count = np.array(sorted(self.select()), int), 0, 0
        for place, units in enumerate(self.units):
            gone = np.isin(units, chosen)
            fresh, count = fresh + int((self.masks[place].numpy()[gone] > 0).sum()), count + int(gone.sum())
            self.masks[place].assign((~gone).astype(np.float32))
            self._silence(place)
        return {"newly_zero": fresh / max(1, count)}
