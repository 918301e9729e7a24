"""The way all methods of channel removal go: score, choose, cut, recalibrate, fine-tune, compare with controls.

A method's `Criterion` says what it does otherwise. Accuracies here are those on the validation images; test images are
left to `measure`. Controls: random channels (the same number from every layer), and the small network trained from
scratch, for as many epochs as the method's network has had in all (E), or for as many multiply-adds as that many epochs
of the dense network (B). Source: Liu et al., arXiv:1810.05270, section 3, who count the dense network's epochs alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.method import Context, Outcome
from pipelines.removal.choose import Choice, Group, Ladder, choose, counted, groups_of, sparing
from pipelines.removal.filters import filters_of
from pipelines.removal.recalibrate import recalibrate
from pipelines.removal.settings import RemovalSettings
from pipelines.removal.timing import TimeTarget, check_time, choose_by_time, compare_files, gain_in_words
from pipelines.training.settings import Fitting
from zoo.channel_graph import ANSWER, IMAGE, ChannelGraph
from zoo.deploy import without_learning

# What a method's `measured` was taken on; the table stands in docs/results.md.
HALF_A_RESNET = "half of a ResNet-20's multiply-adds gone, Fashion-MNIST, three seeds: "

Scorer = Callable[[ChannelGraph], dict[int, float]]  # free unit -> what it is worth
Chooser = Callable[[Sequence[Group]], Choice]  # reaches the target that was asked for, lowest scores first
Picker = Callable[[ChannelGraph, Sequence[Group], Chooser], Choice]


@dataclass(frozen=True)
class Prepared:
    """A copy of the model that a method trained towards its cut, what it says of that, and the epochs it took."""

    model: Any
    report: dict[str, Any] = field(default_factory=dict)
    epochs: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tuning:
    """How the fine-tuning differs from that on labels: its objective and hooks, see `pipelines.training.loop.fit`."""

    objective: Callable[[Any, Any, Any], Any] | None = None
    hooks: Any = None


@dataclass(frozen=True)
class Criterion:
    """What one method adds to the way all go: only `score` is a must.

    `judges` gives the units that can have a score at all, and raises ValueError when there are none; the others stay.
    `raw` says that scores of all layers are on one scale, so that a global ranking takes them as they are. `prepare`
    trains a copy of the model first; `pick` chooses the units itself, which `by_target` says it does by share of the
    target after all, so that an impossible one is refused before anything is trained; `settle` may
    change weights once the units are known, for this one cut, and may give what it reports and what it warns of; `tune`
    may change those of the cut network and says how it is fine-tuned.
    """

    score: Scorer
    judges: Callable[[ChannelGraph], Iterable[int]] | None = None
    raw: bool = False
    prepare: Callable[[Any], Prepared] | None = None
    pick: Picker | None = None
    by_target: bool = True
    settle: Callable[[ChannelGraph, Choice], tuple[dict[str, Any], list[str]] | None] | None = None
    tune: Callable[[Any], Tuning] | None = None


def remove(model: Any, settings: RemovalSettings, context: Context, criterion: Criterion) -> Outcome:
    """Gives a smaller, fine-tuned model; `model` is left as it is.

    Raises: ValueError, before anything is trained, when no channel of the model can be removed, or not so many.
    """
    from pipelines.training.loop import fit, scorer
    from pipelines.training.reports import fit_warnings

    plain = without_learning(model)
    graph = ChannelGraph.of(plain)
    _check(graph, settings, criterion, context)
    context.looked_over()
    prepared = criterion.prepare(plain) if criterion.prepare else Prepared(plain)
    if prepared.model is not plain:
        graph = ChannelGraph.of(prepared.model)
    groups = _groups(graph, criterion.score(graph), settings)
    chosen, timed = _chosen(graph, groups, criterion, settings, context)
    validation = context.data.splits["validation"]
    report: dict[str, Any] = {"validation_top1_before": scorer(model)(validation)[1], **prepared.report}
    if prepared.model is not plain:
        report["validation_top1_prepared"] = scorer(prepared.model)(validation)[1]
    report |= _sizes(chosen)
    if timed:
        report["timed"] = timed
    small, settled, warnings = _settled_cut(graph, chosen, criterion)
    report |= settled
    report["validation_top1_after_cut"] = scorer(small)(validation)[1]
    tuning = criterion.tune(small) if criterion.tune else Tuning()
    report["recalibrated_batches"] = recalibrate(
        small, context.data, settings, batches=settings.recalibration, seed=context.seed
    )
    report["validation_top1_after_recalibration"] = scorer(small)(validation)[1]
    controls = _Controls(graph, chosen, settings, context, prepared.epochs)
    fitted = fit(
        small, context.data, settings, context.watch, seed=context.seed, label="prune",
        objective=tuning.objective, hooks=tuning.hooks,
    )  # fmt: skip
    report["fit"] = fitted.as_dict()
    report["validation_top1_after"] = scorer(small)(validation)[1]
    report["controls"] = controls.run()
    warnings = [*prepared.warnings, *warnings, *fit_warnings(fitted)]
    locked = [reason for reason in graph.barriers() if reason.startswith("it enters")]
    if locked:
        warnings.append(f"some channels were locked: {'; '.join(locked[:3])}")
    if settings.compare_files:
        context.watch.log("writing and timing the network before and after")
        report["files"] = compare_files(plain, small, context)
        slow = gain_in_words(report["files"])
        warnings += [slow] if slow else []
    return Outcome(small, report, tuple(warnings))


def _settled_cut(graph: ChannelGraph, chosen: Choice, criterion: Criterion) -> tuple[Any, dict[str, Any], list[str]]:
    """The small model, and what settling reports and warns of; a control that cuts other channels must not find the
    weights settled for these, so the graph's model gets its own back."""
    from zoo.cut import cut

    before = graph.model.get_weights()
    report, warnings = (criterion.settle(graph, chosen) if criterion.settle else None) or ({}, [])
    small = cut(graph, chosen.units)
    if criterion.settle:
        graph.model.set_weights(before)
    return small, report, warnings


def _check(graph: ChannelGraph, settings: RemovalSettings, criterion: Criterion, context: Context) -> None:
    """Refuses what no choice of units could do; which units go does not matter for that."""
    if not len(graph.free):
        ends = (IMAGE, ANSWER)
        reasons = [f"{count} because {why}" for why, count in graph.barriers().items() if why not in ends]
        raise ValueError(
            f"no channel of this model can be removed: {'; '.join(reasons[:3]) or 'it has no layer between its ends'}"
        )
    judged = criterion.judges(graph) if criterion.judges else graph.free.tolist()
    groups = _groups(graph, dict.fromkeys(judged, 1.0), settings)
    if not groups:
        raise ValueError(f"skip = {settings.skip!r} leaves no layer of which channels could be removed")
    if not criterion.by_target:
        if all(group.kept(1.0) == len(group.units) for group in groups):
            raise ValueError(f"least = {settings.least} lets no layer lose a channel; least: 1 lets all of them")
    elif settings.target != "latency":
        _choose(graph, groups, settings, criterion)
    elif criterion.prepare is not None or context.rehearsal:
        check_time(Ladder(graph, groups, settings.scope, criterion.raw), _time_wanted(settings), context)


def _groups(graph: ChannelGraph, worth: dict[int, float], settings: RemovalSettings) -> list[Group]:
    return groups_of(graph, worth, least=settings.least, multiple=settings.multiple, skip=settings.skipped)


def _chosen(
    graph: ChannelGraph, groups: Sequence[Group], criterion: Criterion, settings: RemovalSettings, context: Context
) -> tuple[Choice, list[dict[str, Any]]]:
    """The units to go; and what was timed to find them, for a target in time."""
    timed: list[dict[str, Any]] = []

    def chooser(groups: Sequence[Group]) -> Choice:
        if settings.target != "latency":
            return _choose(graph, groups, settings, criterion)
        ladder = Ladder(graph, groups, settings.scope, criterion.raw)
        chosen, rows = choose_by_time(ladder, _time_wanted(settings), context)
        timed[:] = rows
        return chosen

    return (criterion.pick(graph, groups, chooser) if criterion.pick else chooser(groups)), timed


def _time_wanted(settings: RemovalSettings) -> TimeTarget:
    return TimeTarget(settings.remove, settings.timed_format, settings.latency_ms)


def _choose(graph: ChannelGraph, groups: Sequence[Group], settings: RemovalSettings, criterion: Criterion) -> Choice:
    return choose(
        graph, groups, share=settings.remove, target=counted(settings.target), scope=settings.scope, raw=criterion.raw
    )


def _sizes(chosen: Choice) -> dict[str, Any]:
    return {
        "params_before": chosen.params_before,
        "params_after": chosen.params,
        "macs_before": chosen.macs_before,
        "macs_after": chosen.macs,
        "left": chosen.left,
        "layers": [
            {"layers": list(group.layers), "channels": len(group.units) * group.channels, "kept": kept * group.channels}
            for group, kept in chosen.groups
        ],
    }


class _Controls:
    """What the result must be held against; each is trained under its own label, so that it can be resumed."""

    def __init__(
        self, graph: ChannelGraph, chosen: Choice, settings: RemovalSettings, context: Context, prepared: int
    ) -> None:
        self.graph, self.chosen, self.settings, self.context = graph, chosen, settings, context
        self.epochs = settings.dense_epochs + prepared + settings.epochs  # what the method's own network has had

    def run(self) -> dict[str, float]:
        """Validation accuracy by name of the control."""
        found: dict[str, float] = {}
        if self.settings.control_random:
            found["random"] = self._random()
        plan = self.settings.control_scratch
        if plan in ("e", "both"):
            found["scratch_e"] = self._scratch("scratch_e", self.epochs)
        if plan in ("b", "both"):
            stretched = int(self.epochs * self.chosen.macs_before / self.chosen.macs)
            found["scratch_b"] = self._scratch("scratch_b", stretched)
        return found

    def _random(self) -> float:
        from zoo.cut import cut

        draw = np.random.default_rng(self.context.seed + 1)
        drawn = [draw.permutation(group.units)[: len(group.units) - kept] for group, kept in self.chosen.groups]
        small = cut(self.graph, sparing(self.graph, [group for group, _ in self.chosen.groups])(drawn))
        recalibrate(
            small, self.context.data, self.settings, batches=self.settings.recalibration, seed=self.context.seed
        )
        return self._fitted(small, self.settings, "control_random")

    def _scratch(self, label: str, epochs: int) -> float:
        from zoo.cut import cut
        from zoo.keras import keras

        keras.utils.set_random_seed(self.context.seed)
        fresh = keras.models.clone_model(cut(self.graph, self.chosen.units))
        own = {key: value for key, value in self.settings.model_dump().items() if key in Fitting.model_fields}
        rate = Fitting.model_fields["learning_rate"].default
        return self._fitted(fresh, Fitting(**{**own, "epochs": epochs, "learning_rate": rate}), label)

    def _fitted(self, model: Any, settings: Fitting, label: str) -> float:
        from pipelines.training.loop import fit, scorer

        fit(model, self.context.data, settings, self.context.watch, seed=self.context.seed, label=label)
        return float(scorer(model)(self.context.data.splits["validation"])[1])


def by_filter(graph: ChannelGraph, measure: Callable[[np.ndarray], np.ndarray], folded: bool) -> dict[int, float]:
    """A score per unit from one per filter: `measure` takes a layer's filters as rows and gives a number for each.

    A unit made by several layers gets the mean of its filters' scores, each relative to the mean of its own layer.
    `folded` multiplies the scale of a norm directly behind a layer into its filters.
    """
    sums: dict[int, list[float]] = {}
    for site in graph.makers:
        values = measure(filters_of(graph, site.name, folded))
        relative = values / max(float(np.mean(values)), 1e-30)
        for unit, value in zip(graph.outputs_of(site.name).tolist(), relative.tolist(), strict=True):
            sums.setdefault(unit, []).append(value)
    return {int(unit): float(np.mean(sums[int(unit)])) for unit in graph.free}
