"""What weights must keep while they train: zeros that stay zero, and values that are shared.

Both work on the variables of a model that is trained by the usual loop: `gradients` says what the optimiser sees,
`hold` puts right what rounding or decay may have moved. Nothing is wrapped, so the model's layers stay plain ones, and
everything can be derived again from the weights a training begins with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from pipelines.clusters import ZERO
from pipelines.training.loop import Hooks


class Zeros:
    """Variables of which single entries stay zero: pairs of a variable and its mask, 0 where it stays so."""

    def __init__(self, masks: Sequence[tuple[Any, np.ndarray]]) -> None:
        self.masks = [(variable, np.asarray(mask, np.float32)) for variable, mask in masks]
        self._by_id = {id(variable): mask for variable, mask in self.masks}

    def hold(self) -> None:
        """Writes the zeros."""
        for variable, mask in self.masks:
            variable.assign(variable * mask)

    def gradients(self, gradients: list[Any], variables: Sequence[Any]) -> list[Any]:
        """Gradients that do not pull at a zero; an optimiser's momentum then stays zero there as well."""
        return [
            gradient * self._by_id[id(variable)] if id(variable) in self._by_id else gradient
            for gradient, variable in zip(gradients, variables, strict=True)
        ]


class SharedValues:
    """Variables whose entries share values: pairs of a variable and its segments (see `pipelines.clusters.Shared`).

    An entry's gradient becomes that of its value: the sum over all entries that share it (Han et al., arXiv:1510.00149,
    equation 3) or their mean. Entries of one value have then the same past in any optimiser and stay equal.
    """

    def __init__(self, segments: Sequence[tuple[Any, np.ndarray]], gradient: Literal["sum", "average"] = "sum") -> None:
        self.average = gradient == "average"
        self._by_id = {id(variable): _Segments(variable, places) for variable, places in segments}

    def __len__(self) -> int:
        return len(self._by_id)

    def hold(self) -> None:
        """Writes the value of each segment's first entry to all of it, so that not even a last bit differs."""
        for part in self._by_id.values():
            part.hold()

    def gradients(self, gradients: list[Any], variables: Sequence[Any]) -> list[Any]:
        """The gradient of its value for every entry."""
        return [
            self._by_id[id(variable)].gathered(gradient, self.average) if id(variable) in self._by_id else gradient
            for gradient, variable in zip(gradients, variables, strict=True)
        ]


class _Segments:
    """One variable and which of its entries belong together."""

    def __init__(self, variable: Any, places: np.ndarray) -> None:
        numbers, first, member, counts = np.unique(
            places.ravel(), return_index=True, return_inverse=True, return_counts=True
        )
        self.variable = variable
        self.first, self.member = first.astype(np.int32), member.reshape(-1).astype(np.int32)
        self.counts = counts.astype(np.float32)
        self.moves = (numbers != ZERO).astype(np.float32)  # the segment of zeros stays where it is

    def hold(self) -> None:
        from zoo.keras import tf

        values = tf.gather(tf.reshape(self.variable, (-1,)), self.first) * self.moves
        self.variable.assign(tf.reshape(tf.gather(values, self.member), self.variable.shape))

    def gathered(self, gradient: Any, average: bool) -> Any:
        from zoo.keras import tf

        sums = tf.math.unsorted_segment_sum(tf.reshape(gradient, (-1,)), self.member, len(self.counts)) * self.moves
        sums = sums / self.counts if average else sums
        return tf.reshape(tf.gather(sums, self.member), gradient.shape)


def hooks_of(*parts: Zeros | SharedValues, freeze_norms_after: float = 1.0) -> Hooks:
    """The loop's hooks that keep all `parts`, in this order: before every update, on gradients, after every epoch."""

    def hold() -> None:
        for part in parts:
            part.hold()

    def update(step: Any) -> None:
        hold()

    def gradients(found: list[Any], variables: Sequence[Any], rate: Any) -> list[Any]:
        for part in parts:
            found = part.gradients(found, variables)
        return found

    if not parts:
        return Hooks(freeze_norms_after=freeze_norms_after)
    return Hooks(update=update, epoch_end=hold, gradients=gradients, freeze_norms_after=freeze_norms_after)
