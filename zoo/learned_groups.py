"""Which channels belong together in a convolution that learns its groups: read from its weights, with numpy alone.

Sources: CondenseNet, arXiv:1711.09224, section 4 (groups of filters that each keep their own inputs), and fully
learnable group convolution, arXiv:1904.00346 (a group for every input and every output channel). The layers that hold
such weights stand in `zoo/keras_learned.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Channels = tuple[int, ...]


@dataclass(frozen=True)
class Groups:
    """Input and output channels of every group; an input may serve several groups, an output has exactly one."""

    inputs: tuple[Channels, ...]
    outputs: tuple[Channels, ...]
    channels: int

    @property
    def density(self) -> float:
        """Share of the weights of a dense convolution that are left."""
        used = sum(len(into) * len(out) for into, out in zip(self.inputs, self.outputs, strict=True))
        return used / (self.channels * sum(map(len, self.outputs)))

    @property
    def whole(self) -> bool:
        """Whether every group still reads every input."""
        return all(len(into) == self.channels for into in self.inputs)

    @property
    def balanced(self) -> bool:
        """Whether all groups are of one size, as a native grouped convolution needs them."""
        return len({len(into) for into in self.inputs}) == len({len(out) for out in self.outputs}) == 1 and bool(
            self.inputs[0] and self.outputs[0]
        )

    @property
    def empty(self) -> tuple[int, ...]:
        """Groups, counted from 1, without inputs or without outputs."""
        pairs = enumerate(zip(self.inputs, self.outputs, strict=True), start=1)
        return tuple(number for number, (into, out) in pairs if not into or not out)

    @property
    def dead_outputs(self) -> int:
        """Output channels whose group has no input: they are constant."""
        return sum(len(out) for into, out in zip(self.inputs, self.outputs, strict=True) if not into)


def condensing_groups(mask: np.ndarray, outputs: int) -> Groups:
    """The groups behind a mask (inputs, groups): output i belongs to group i modulo the number of groups."""
    channels, count = mask.shape
    return Groups(
        tuple(_places(mask[:, group] != 0) for group in range(count)),
        tuple(tuple(range(group, outputs, count)) for group in range(count)),
        channels,
    )


def learned_groups(input_logits: np.ndarray, output_logits: np.ndarray) -> Groups:
    """The groups behind logits (inputs, groups) and (outputs, groups): each channel goes to its largest, first of
    equals."""
    into, out = input_logits.argmax(axis=1), output_logits.argmax(axis=1)
    count = input_logits.shape[1]
    return Groups(
        tuple(_places(into == group) for group in range(count)),
        tuple(_places(out == group) for group in range(count)),
        len(into),
    )


def dropped(importance: np.ndarray, mask: np.ndarray, count: int) -> np.ndarray:
    """`mask` (inputs, groups) after every group has given up the `count` of its inputs with the least `importance`.

    Among equals the first go. Source: arXiv:1711.09224, section 4.1 (importance = summed magnitude of the weights).
    """
    after = mask.copy()
    for group in range(mask.shape[1]):
        left = np.flatnonzero(mask[:, group])
        weakest = np.argsort(importance[left, group], kind="stable")[:count]
        after[left[weakest], group] = 0
    return after


def describe(model: Any) -> list[dict[str, Any]]:
    """One row per layer of a Keras model that learns its groups: name, groups, density, stage of condensation (None
    where it does not condense), number of stages, empty groups, dead outputs, whether a native grouped convolution
    holds it. Empty for every other model."""
    rows = []
    for layer in model._flatten_layers(include_self=False, recursive=True):
        groups = layer.channel_groups() if hasattr(layer, "channel_groups") else None
        if groups is not None:
            rows.append(
                {
                    "name": layer.name,
                    "groups": len(groups.inputs),
                    "density": groups.density,
                    "stage": getattr(layer, "stage", None),
                    "stages": getattr(layer, "stages", None),
                    "empty_groups": list(groups.empty),
                    "dead_outputs": groups.dead_outputs,
                    "balanced": groups.balanced,
                }
            )
    return rows


def _places(chosen: np.ndarray) -> Channels:
    return tuple(int(place) for place in np.flatnonzero(chosen))
