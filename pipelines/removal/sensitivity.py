"""How much accuracy a model loses when channels of one group of layers go and all others stay: sensitivity curves.

Nothing is trained and nothing is cut: the layers that read the channels read zeros in their place, on one copy of the
model that is traced once, which answers as the cut model would. Source: Li et al., arXiv:1608.08710, section 3.2.
Accuracies are those on validation images; test images are left to `measure`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from pipelines.data import Dataset, Split
from pipelines.methods.channel_norm import l1, l2
from pipelines.methods.geometric_median import distances
from pipelines.removal.choose import Group, groups_of, sparing
from pipelines.removal.recalibrate import recalibrator
from pipelines.removal.remove import by_filter
from pipelines.settings import Settings, setting
from pipelines.telling import Progress, silent
from pipelines.training.settings import Fitting
from zoo.channel_graph import ChannelGraph
from zoo.deploy import without_learning


class SensitivitySettings(Settings):
    """Which channels go first, how finely, and on how many images the accuracy is taken."""

    score: Literal["l1", "l2", "geometric_median"] = setting(
        "l1", help="What the channels that go have least of: norm of their filter, or distance to the other filters"
    )
    weights: Literal["folded", "kernel"] = setting(
        "folded", help="folded: with the scale of the norm behind the layer; kernel: bare"
    )
    step: float = setting(
        0.1, ge=0.02, le=0.9, unit="share", help="Points lie this far apart, up to a share of 0.9 of a group"
    )
    images: int = setting(
        1000, ge=1, le=1_000_000, unit="images", help="Validation images at most; all, if there are fewer"
    )
    recalibration: int = setting(
        0, ge=0, le=1000, unit="batches", help="Training batches that put the norms right at each point; 0: none"
    )
    skip: str = setting("", help="Layers to leave out, names with * and ?, separated by commas: stem_*, stage1_*")

    @property
    def shares(self) -> list[float]:
        """The shares of a curve after 0."""
        return [round(number * self.step, 6) for number in range(1, int(0.9 / self.step + 1e-9) + 1)]


def sensitivity(
    model: Any, data: Dataset, settings: SensitivitySettings, *, seed: int = 0, progress: Progress = silent
) -> dict[str, Any]:
    """Gives accuracy by group and share as plain values; `model` is left as it is.

    A row at share 0 is the model itself, with `recalibration` its norms put right like everywhere else.

    Raises: ValueError when no channel of the model can be removed, or all that can are skipped.
    """
    from pipelines.training.loop import norm_layers, scorer
    from zoo.cloning import clone
    from zoo.cut import silenced

    copy = clone(without_learning(model))
    graph = ChannelGraph.of(copy)
    groups = _groups(graph, settings)
    images = _first(data.splits["validation"], settings.images)
    score, statistics = scorer(copy), _Statistics(norm_layers(copy))
    recalibrate = recalibrator(copy, data, Fitting(), seed=seed) if settings.recalibration else None

    def top1(units: list[int]) -> float:
        with silenced(graph, units), statistics:
            if recalibrate:
                recalibrate(settings.recalibration)
            return float(score(images)[1])

    points = [(group, share) for group in groups for share in settings.shares]
    whole, rows = top1([]), []
    for number, (group, share) in enumerate(points):
        progress(number, len(points), ", ".join(group.layers))
        if share == settings.shares[0]:
            rows.append(_row(group, 0.0, 0, whole))
        gone = sparing(graph, [group])([group.units[np.argsort(group.scores, kind="stable")[: _count(group, share)]]])
        rows.append(_row(group, share, len(gone), top1(gone)))
    return {
        "validation_images": len(images),
        "validation_top1": whole,
        **settings.model_dump(include={"score", "weights", "recalibration"}),
        "rows": rows,
        "locked": graph.barriers(),
    }


def _groups(graph: ChannelGraph, settings: SensitivitySettings) -> list[Group]:
    measure = {"l1": l1, "l2": l2, "geometric_median": distances}[settings.score]
    worth = by_filter(graph, measure, settings.weights == "folded")
    skip = [part.strip() for part in settings.skip.split(",") if part.strip()]
    groups = groups_of(graph, worth, least=1, multiple=1, skip=skip)
    if not groups:
        reasons = [f"{count} because {why}" for why, count in graph.barriers().items()]
        raise ValueError(
            f"all layers whose channels can go are skipped by {settings.skip!r}"
            if len(graph.free)
            else f"no channel of this model can be removed: {'; '.join(reasons[:3])}"
        )
    return groups


def _count(group: Group, share: float) -> int:
    return min(len(group.units) - group.least, round(share * len(group.units)))


def _row(group: Group, share: float, gone: int, top1: float) -> dict[str, Any]:
    channels = len(group.units) * group.channels
    return {
        "layers": list(group.layers),
        "channels": channels,
        "share": share,
        "kept": channels - gone * group.channels,
        "validation_top1": top1,
    }


def _first(split: Split, count: int) -> Split:
    """The first images of a split; splits lie in an order drawn by lot."""
    return Split(split.images[:count], split.labels[:count], split.ids[:count])


class _Statistics:
    """Puts the statistics of norms back as they were."""

    def __init__(self, norms: list[Any]) -> None:
        self.variables = [variable for norm in norms for variable in (norm.moving_mean, norm.moving_variance)]
        self.values = [variable.numpy() for variable in self.variables]

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        for variable, value in zip(self.variables, self.values, strict=True):
            variable.assign(value)
