"""Filters nearest to all others go: what they do, the rest can. Source: He et al., FPGM, arXiv:1811.00250, section 3.

One-shot: the set is chosen once from the trained model, by the sum of Euclidean distances to the layer's other filters.
Both of two equal filters score alike, so a pair may go together; an offset common to all filters changes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.methods.method import Context, Method, Outcome
from pipelines.removal.remove import Criterion, by_filter, remove
from pipelines.removal.settings import RemovalSettings


class GeometricMedianSettings(RemovalSettings):
    """How much is removed."""


def distances(filters: np.ndarray) -> np.ndarray:
    """For every row the sum of its Euclidean distances to all rows."""
    squares = (filters**2).sum(axis=1)
    between = squares[:, None] + squares[None, :] - 2 * filters @ filters.T
    # Rounding may leave a little less than nothing between equal rows.
    return np.sqrt(np.maximum(between, 0.0)).sum(axis=1)


def apply(model: Any, settings: GeometricMedianSettings, context: Context) -> Outcome:
    """Gives a smaller, fine-tuned model."""
    if settings.scope == "global":
        raise ValueError("scope = 'global': distances of different layers cannot be compared; use layer")
    return remove(model, settings, context, Criterion(lambda graph: by_filter(graph, distances, folded=False)))


METHOD = Method(
    name="geometric_median",
    kind="prune",
    title="Channels near the geometric median",
    source="He et al., FPGM, arXiv:1811.00250",
    summary="Removes the filters that the others of their layer can replace best, then fine-tunes.",
    removes_channels=True,
    settings=GeometricMedianSettings,
    apply=apply,
)
