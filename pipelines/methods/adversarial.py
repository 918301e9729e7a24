"""Masks on channels or branches, trained without labels until some are exactly zero; what they hide is removed.

Source: Lin et al., Towards Optimal Structured CNN Pruning via Generative Adversarial Learning (GAL), arXiv:1903.09291,
sections 3.2 and 3.3. A student with a mask on every structure learns the logits of the frozen model, a penalty on the
sum of the masks draws them to zero, and, on request, a discriminator must not tell the two logits apart. Masks move by
FISTA alone; the penalty acts in its threshold and nowhere else, so zeros are exact.

Other than in the paper: masks begin at 1 and never fall below 0; the distance between logits is their mean square as a
share of the variance of the frozen model's, so that a penalty means the same for every network; a mask step uses the
mean slope over all updates since the last; the momentum begins anew where it points uphill, not where the rate drops;
the discriminator takes the logits in units of their spread, has one sigmoid, inside its loss, and the student's part of
that loss is the non-saturating one; the default of the penalty follows from the number of masks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from pipelines.method import Context, Method, Outcome
from pipelines.removal.choose import Choice, Group, counted, exactly
from pipelines.removal.mask_training import Matching, train_masks
from pipelines.removal.remove import HALF_A_RESNET, Chooser, Criterion, Prepared, Tuning, remove
from pipelines.removal.settings import RemovalSettings
from pipelines.settings import setting
from pipelines.training.settings import Fitting
from zoo.branches import Branch, branches_of, scaled, without
from zoo.channel_graph import ChannelGraph
from zoo.costs import cost_of
from zoo.plans import Plan
from zoo.read_model import sketch_of

TOGETHER = 0.5  # cost of all masks at 1, in shares of the logits' variance: with 1 the dead network would be the best


class AdversarialSettings(RemovalSettings):
    """What is masked, how hard the masks are drawn to zero, and what is removed then."""

    structures: Literal["channels", "branches"] = setting(
        "channels", help="channels: a mask on each; branches: a mask on each branch that ends in an addition"
    )
    amount: Literal["target", "zeros"] = setting(
        "target",
        help="target: the structures of the smallest masks until the share of the target is gone; zeros: those whose "
        "mask reached zero (remove is ignored)",
    )
    mask_epochs: int = setting(10, ge=1, le=10_000, unit="epochs", help="Epochs with masks, before the fine-tuning")
    mask_learning_rate: float = setting(
        1e-3, gt=0, le=10, help="Peak learning rate of the weights while the masks are trained"
    )
    mask_every: int = setting(5, ge=1, le=1000, unit="updates", help="Weight updates between two steps of the masks")
    mask_rate: float = setting(0.1, gt=0, le=10, help="Step size of the masks")
    penalty: float | None = setting(
        None,
        ge=0,
        le=10,
        help="What a mask of 1 costs, in shares of the logits' variance; more: more masks at zero; empty: such that "
        f"all masks together cost {TOGETHER:g} (a network that answers alike to every image costs 1)",
    )
    discriminator: float = setting(
        0.0, ge=0, le=10, help="Weight of the discriminator's verdict in the loss; 0: none is trained"
    )
    discriminator_rate: float = setting(0.01, gt=0, le=1, help="Learning rate of the discriminator, plain descent")
    fine_tune: Literal["logits", "labels"] = setting(
        "logits", help="logits: towards those of the model given, no label is read; labels: as in training"
    )
    keep: Literal["best", "last"] = setting(
        "last", help="Weights of the fine-tuning to keep; best reads the labels of the validation images"
    )

    @property
    def epochs_before(self) -> int:
        """Epochs of training before the cut."""
        return self.mask_epochs


def apply(model: Any, settings: AdversarialSettings, context: Context) -> Outcome:
    """Gives a smaller, fine-tuned model."""
    structures = _Branches(settings, context) if settings.structures == "branches" else _Channels(settings, context)
    structures.check(model)

    def tune(small: Any) -> Tuning:
        if settings.fine_tune == "labels":
            return Tuning()
        return Tuning(objective=Matching.of(model, context.data).objective)

    by_target = settings.amount == "target" and settings.structures == "channels"
    criterion = Criterion(
        structures.score, prepare=structures.prepare, pick=structures.pick, by_target=by_target, tune=tune
    )
    outcome = remove(model, settings, context, criterion)
    warnings = [*outcome.warnings]
    if settings.amount == "zeros" and outcome.report["left"] == 1:
        warnings.append(
            f"nothing was removed: {structures.zeros} masks reached zero, and floors and multiples kept those; a "
            "larger penalty or more mask_epochs may help, and amount = target removes a given share"
        )
    if structures.zeros == outcome.report["masks"]["count"]:
        warnings.append(
            f"all {structures.zeros} masks reached zero, so they rank nothing: a smaller penalty or fewer mask_epochs "
            "would leave some"
        )
    return dataclasses.replace(outcome, warnings=tuple(warnings))


class _Structures:
    """What is masked, from the training of the masks to the choice of what goes."""

    def __init__(self, settings: AdversarialSettings, context: Context) -> None:
        self.settings, self.context, self.zeros = settings, context, 0

    def _trained(self, model: Any, graph: ChannelGraph, count: int, index: Any) -> tuple[Any, np.ndarray, Any]:
        """The student, its masks and how it was fitted."""
        settings = self.settings
        own = {key: value for key, value in settings.model_dump().items() if key in Fitting.model_fields}
        changed = {"epochs": settings.mask_epochs, "learning_rate": settings.mask_learning_rate}
        plan = Fitting(**{**own, **changed, "keep": "last", "patience": None})
        return train_masks(
            model, graph, count, index, self.context, plan, every=settings.mask_every, rate=settings.mask_rate,
            penalty=TOGETHER / count if settings.penalty is None else settings.penalty,
            weight=settings.discriminator, judge_rate=settings.discriminator_rate,
        )  # fmt: skip

    def _report(self, masks: np.ndarray, fitted: Any) -> dict[str, Any]:
        self.zeros = int((masks == 0).sum())
        shown = {"count": len(masks), "zeros": self.zeros, "smallest": float(masks.min()), "mean": float(masks.mean())}
        return {"structures": self.settings.structures, "masks": shown, "mask_fit": fitted.as_dict()}


class _Channels(_Structures):
    """A mask on every unit, where layers with filters read it; masks are multiplied into those filters."""

    def check(self, model: Any) -> None:
        """Nothing that the common way does not refuse."""

    def prepare(self, model: Any) -> Prepared:
        from zoo.cut import cut, scaled_inputs

        flat = cut(ChannelGraph.of(model), [])
        graph = ChannelGraph.of(flat)
        place = {int(unit): number for number, unit in enumerate(graph.free)}

        def index(site: Any, which: int) -> list[int] | None:
            found = [place.get(int(unit), len(place)) for unit in graph.units[site.reads[which]]]
            return found if site.makes and min(found) < len(place) else None

        student, masks, fitted = self._trained(model, graph, len(place), index)
        for layer in flat.layers:
            if layer.weights:
                layer.set_weights(student.get_layer(layer.name).get_weights())
        factors = np.ones(int(graph.units.max()) + 1, np.float32)
        factors[graph.free] = masks
        for site in graph.makers:
            weights = site.layer.get_weights()
            weights[0] = scaled_inputs(site, weights[0], factors[graph.inputs_of(site.name)])
            site.layer.set_weights(weights)
        self.worth = dict(zip(graph.free.tolist(), masks.tolist(), strict=True))
        return Prepared(flat, self._report(masks, fitted), self.settings.mask_epochs)

    def score(self, graph: ChannelGraph) -> dict[int, float]:
        return self.worth

    def pick(self, graph: ChannelGraph, groups: Sequence[Group], within: Chooser) -> Choice:
        settings = self.settings
        if settings.amount == "target":
            return within(groups)
        wanted = [unit for unit, mask in self.worth.items() if mask == 0]
        return exactly(graph, groups, wanted, target=counted(settings.target))


class _Branches(_Structures):
    """A mask on every branch of an addition that may go, multiplied into the last layer of the branch if it stays."""

    def check(self, model: Any) -> None:
        """Raises: ValueError when no branch may go, or when all that may are not enough."""
        settings = self.settings
        plan = Plan.of(model)
        branches = branches_of(plan) if plan else []
        if plan is None or not branches:
            raise ValueError(
                "structures = 'branches': this model has no branch of an addition that could go: it must be made of "
                "known layers, each called once, and a branch must end in a convolution or a norm; use channels"
            )
        if settings.target not in ("macs", "params"):
            raise ValueError(f"target = {settings.target!r} is not counted for branches; use macs or params")
        if settings.control_random or settings.control_scratch in ("b", "both"):
            raise ValueError("the controls random and b count channels and say nothing of branches; use e or none")
        before, after = _amount(model, settings.target), _amount(without(plan, branches).build(), settings.target)
        if settings.amount == "target" and after > (1 - settings.remove) * before:
            raise ValueError(
                f"remove = {settings.remove:g} of the {settings.target} is not possible: all {len(branches)} branches "
                f"together have {1 - after / before:.3g}; ask for less, or use amount = zeros"
            )

    def prepare(self, model: Any) -> Prepared:
        graph, branches = ChannelGraph.of(model), branches_of(_plan(model))
        places = {(one.add, one.place): number for number, one in enumerate(branches)}

        def index(site: Any, which: int) -> list[int] | None:
            place = places.get((site.name, which))
            return None if place is None else [place] * len(site.reads[which])

        student, masks, fitted = self._trained(model, graph, len(branches), index)
        self.before = model
        plan = _plan(model)
        for call in [*plan.calls.values()]:
            if call.weights:
                weights = tuple(student.get_layer(call.name).get_weights())
                plan.calls[call.name] = dataclasses.replace(call, weights=weights)
        gone = self._gone(model, plan, branches, masks)
        for branch, mask in zip(branches, masks.tolist(), strict=True):
            scaled(plan, branch, mask)
        report = self._report(masks, fitted)
        report["branches"] = [
            {"add": branch.add, "layers": len(branch.calls), "mask": mask, "removed": branch in gone}
            for branch, mask in zip(branches, masks.tolist(), strict=True)
        ]
        return Prepared(without(plan, gone).build(), report, self.settings.mask_epochs)

    def _gone(self, model: Any, plan: Plan, branches: Sequence[Branch], masks: np.ndarray) -> list[Branch]:
        if self.settings.amount == "zeros":
            return [branch for branch, mask in zip(branches, masks, strict=True) if mask == 0]
        target, gone = self.settings.target, list[Branch]()
        allowed = (1 - self.settings.remove) * _amount(model, target)
        for place in np.argsort(masks, kind="stable").tolist():
            if _amount(without(plan, gone).build(), target) <= allowed:
                break
            gone.append(branches[place])
        return gone

    def score(self, graph: ChannelGraph) -> dict[int, float]:
        return {int(unit): 1.0 for unit in graph.free}

    def pick(self, graph: ChannelGraph, groups: Sequence[Group], within: Chooser) -> Choice:
        """No channel: the branches are gone already; the counts before are those of the whole network."""
        chosen = exactly(graph, groups, [], target=counted(self.settings.target))
        before = {target: _amount(self.before, target) for target in ("params", "macs")}
        after = {"params": chosen.params, "macs": chosen.macs}
        return dataclasses.replace(
            chosen,
            params_before=before["params"],
            macs_before=before["macs"],
            left=after[self.settings.target] / before[self.settings.target],
        )


def _plan(model: Any) -> Plan:
    plan = Plan.of(model)
    assert plan is not None  # checked before
    return plan


def _amount(model: Any, target: str) -> int:
    return int(getattr(cost_of(sketch_of(model)), target))


METHOD = Method(
    name="adversarial",
    kind="prune",
    title="Masks trained against the model's own answers",
    source="Lin et al., GAL, arXiv:1903.09291",
    summary="Trains masks on channels or branches to zero while the logits stay those of the model, without labels, "
    "removes what they hide and fine-tunes.",
    measured=HALF_A_RESNET + "-0.9 points [-1.6, -0.2] against random channels, worse.",
    removes_channels=True,
    settings=AdversarialSettings,
    apply=apply,
    rehearses=True,
)
