"""Scales of norms as what decides over channels: which ones speak for which units, how a penalty pulls them, and how
they lie before and after.

A scale speaks for a unit when its norm reads the layer that makes the unit directly. What Liu et al. (arXiv:1708.06519)
and Ye et al. (arXiv:1802.00124) share stands here; how each moves the scales is in its method.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.method import Context
from pipelines.removal.choose import groups_of
from pipelines.removal.filters import norm_behind
from pipelines.removal.settings import RemovalSettings
from pipelines.settings import setting
from pipelines.training.settings import Fitting
from zoo.channel_graph import ChannelGraph

NEAR_ZERO = 0.01  # Liu et al. count scales below it; the figure of section 4.4
BINS = 20


class SparseScaleSettings(RemovalSettings):
    """How scales are pulled to zero before channels go."""

    sparse_epochs: int = setting(
        20, ge=1, le=10_000, unit="epochs", help="Epochs of training that pull scales to zero, before the cut"
    )
    sparse_learning_rate: float = setting(
        0.02,
        gt=0,
        le=10,
        help="Peak learning rate of that training, which is SGD with momentum 0.9: Adam divides a gradient by its own "
        "size, so that a penalty would pull on weak and strong scales alike",
    )
    penalty: float | None = setting(None, ge=0, le=100, help="Weight of the sum of |scale| beside the loss")

    @property
    def epochs_before(self) -> int:
        """Epochs of training before the cut."""
        return self.sparse_epochs


@dataclass(frozen=True)
class Scale:
    """The norm directly behind the layer `maker`, and the unit of every channel."""

    maker: str
    norm: Any
    units: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """Absolute scales by channel."""
        found: np.ndarray = np.abs(self.norm.gamma.numpy().astype(np.float64))
        return found


def scales_of(graph: ChannelGraph) -> list[Scale]:
    """The norms with a scale that is trained, directly behind a layer that makes channels."""
    found = []
    for site in graph.makers:
        norm = norm_behind(graph, site.name)
        if norm is not None and norm.scale and norm.trainable:
            found.append(Scale(site.name, norm, graph.outputs_of(site.name)))
    return found


def judged(graph: ChannelGraph, method: str) -> list[int]:
    """The free units that have a scale. Raises: ValueError, for `method`, when there are none."""
    free = set(graph.free.tolist())
    found = sorted({unit for scale in scales_of(graph) for unit in scale.units.tolist()} & free)
    if not found:
        raise ValueError(
            f"{method} ranks channels by the scales of BatchNormalization, and no layer of model {graph.model.name} "
            "whose channels may go has one, with a scale that is trained, directly behind it; channel_norm and "
            "geometric_median need no norms"
        )
    return found


def score(graph: ChannelGraph) -> dict[int, float]:
    """For every unit with a scale its absolute value, the mean where several layers make the unit."""
    values: dict[int, list[float]] = defaultdict(list)
    for scale in scales_of(graph):
        for unit, value in zip(scale.units.tolist(), scale.values.tolist(), strict=True):
            values[unit].append(value)
    return {int(unit): float(np.mean(values[int(unit)])) for unit in graph.free if int(unit) in values}


def pulled(graph: ChannelGraph, settings: RemovalSettings) -> list[tuple[Scale, np.ndarray]]:
    """Every scale that a penalty may pull, and by channel whether it may: not those of channels that stay anyway."""
    groups = groups_of(graph, score(graph), least=settings.least, multiple=settings.multiple, skip=settings.skipped)
    open_units = np.concatenate([np.zeros(0, int), *(group.units for group in groups)])
    found = [(scale, np.isin(scale.units, open_units)) for scale in scales_of(graph)]
    return [(scale, mask) for scale, mask in found if mask.any()]


def sparse_fitting(settings: SparseScaleSettings) -> Fitting:
    """The fitting that pulls: SGD, and its last weights are kept, because earlier ones are not yet sparse."""
    shared = {key: value for key, value in settings.model_dump().items() if key in Fitting.model_fields}
    return Fitting(
        **{
            **shared,
            "epochs": settings.sparse_epochs,
            "optimizer": "sgd",
            "learning_rate": settings.sparse_learning_rate,
            "keep": "last",
            "patience": None,
        }
    )


def penalty_of(settings: SparseScaleSettings, context: Context, *, pull: float, momentum: float = 0.0) -> float:
    """The penalty as set, or the one that by itself moves a scale by `pull` over all updates."""
    from pipelines.training.loop import learning_rate

    if settings.penalty is not None:
        return settings.penalty
    fitting, images = sparse_fitting(settings), len(context.data.splits["train"].labels)
    updates = images // min(fitting.batch, images)
    schedule = learning_rate(fitting, updates)
    rates = sum(float(schedule(step)) for step in range(0, fitting.epochs * updates, 10)) * 10
    return pull * (1 - momentum) / rates


def collapsed(before: float, after: float, penalty: float) -> list[str]:
    """A warning when less than 0.8 of the validation accuracy from before is left after the pulling."""
    if after >= 0.8 * before:
        return []
    return [
        f"validation accuracy fell from {before:.3f} to {after:.3f} while scales were pulled with penalty "
        f"{penalty:.3g}, and what follows may not bring it back; lower penalty or sparse_learning_rate, or take more "
        "sparse_epochs"
    ]


def histogram(before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    """Counts of absolute scales in `BINS` equal bins from 0 to the largest of both, and the shares near zero."""
    top = max(float(before.max()), float(after.max()), NEAR_ZERO)
    edges = np.linspace(0.0, top, BINS + 1)
    return {
        "edges": edges.tolist(),
        "before": np.histogram(before, edges)[0].tolist(),
        "after": np.histogram(after, edges)[0].tolist(),
        "near_zero_before": float((before < NEAR_ZERO).mean()),
        "near_zero_after": float((after < NEAR_ZERO).mean()),
    }


def values_of(scales: list[tuple[Scale, np.ndarray]]) -> np.ndarray:
    """The absolute scales that may be pulled, of all layers in one row."""
    return np.concatenate([scale.values[mask] for scale, mask in scales])


def by_variable(scales: list[tuple[Scale, np.ndarray]]) -> Callable[[Any], int | None]:
    """Gives a function from a weight of the model to the place of its scale in the list; None for other weights."""
    places = {id(scale.norm.gamma): place for place, (scale, _) in enumerate(scales)}
    return lambda variable: places.get(id(variable))
