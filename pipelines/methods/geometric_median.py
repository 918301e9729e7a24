"""Filters nearest to all others go: what they do, the rest can. Source: He et al., FPGM, arXiv:1811.00250, section 3.

What counts is the sum of Euclidean distances to the layer's other filters. Both of two equal filters score alike, so a
pair may go together; an offset common to all filters changes nothing. `when` says whether the set is chosen once, from
the trained model, or after every epoch of a further training as in the paper. Once is the default: it needs no training
before the cut, and after fine-tuning criteria differ little (arXiv:1810.05270).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pipelines.method import Context, Method, Outcome
from pipelines.removal.absorb import IMAGES, absorb
from pipelines.removal.choose import Choice, Group, choose, counted, exactly, groups_of
from pipelines.removal.filters import filters_of
from pipelines.removal.remove import HALF_A_RESNET, Chooser, Criterion, Prepared, by_filter, remove
from pipelines.removal.settings import RemovalSettings
from pipelines.removal.soft import SoftMask
from pipelines.settings import setting
from pipelines.training.settings import Fitting
from zoo.channel_graph import ChannelGraph


class GeometricMedianSettings(RemovalSettings):
    """How much is removed, and whether filters may come back before they are."""

    when: Literal["once", "every_epoch"] = setting(
        "once",
        help="once: chosen from the trained model; every_epoch: chosen anew and zeroed after each of soft_epochs, "
        "as in the paper",
    )
    soft_epochs: int = setting(
        8, ge=1, le=10_000, unit="epochs", help="With when = every_epoch: epochs of training before the cut"
    )
    mix: float = setting(
        0.0,
        ge=0,
        le=0.9,
        unit="share",
        help="Share of what goes that is chosen by small norm before distances are taken (FPGM-mix; the paper's 10 % "
        "of 40 % is 0.25)",
    )
    greedy: bool = setting(
        False,
        help="A variant, not FPGM: filters go one by one and distances are taken anew, so that one of two equal "
        "filters stays",
    )

    @property
    def epochs_before(self) -> int:
        """Epochs of training before the cut."""
        return self.soft_epochs if self.when == "every_epoch" else 0

    @property
    def criterion(self) -> str:
        """The name under which a report speaks of the choice."""
        name = "fpgm-mix" if self.mix else "fpgm"
        return f"greedy variant of {name}" if self.greedy else name


def between(filters: np.ndarray) -> np.ndarray:
    """The Euclidean distances of all rows to all rows."""
    squares = (filters**2).sum(axis=1)
    found = squares[:, None] + squares[None, :] - 2 * filters @ filters.T
    # Rounding may leave a little less than nothing between equal rows.
    distance: np.ndarray = np.sqrt(np.maximum(found, 0.0))
    return distance


def distances(filters: np.ndarray) -> np.ndarray:
    """For every row the sum of its Euclidean distances to all rows."""
    found: np.ndarray = between(filters).sum(axis=1)
    return found


@dataclass(frozen=True)
class _Layer:
    """A layer's filters: distances and norms, and the place among a group's units of each; -1 for none of them."""

    between: np.ndarray
    norms: np.ndarray
    places: np.ndarray

    @classmethod
    def of(cls, graph: ChannelGraph, name: str, units: np.ndarray) -> _Layer:
        filters, owners = filters_of(graph, name, folded=False), graph.outputs_of(name)
        places = np.where(np.isin(owners, units), np.searchsorted(units, owners), -1)
        return cls(between(filters), np.linalg.norm(filters, axis=1), places)

    def by_unit(self, values: np.ndarray, present: np.ndarray) -> np.ndarray:
        """The mean by unit of `values` by filter, relative to their mean over the filters that are `present`."""
        relative, mine = values / max(float(values[present].mean()), 1e-30), self.places >= 0
        found: np.ndarray = np.bincount(self.places[mine], relative[mine]) / np.bincount(self.places[mine])
        return found

    def worth(self, stay: np.ndarray) -> np.ndarray:
        """By unit the summed distances to the filters of the units that `stay`, and of no unit of the group."""
        present = (self.places < 0) | stay[self.places]
        return self.by_unit(self.between[:, present].sum(axis=1), present)


def most_replaceable(graph: ChannelGraph, group: Group, count: int, *, mix: float, greedy: bool) -> np.ndarray:
    """The `count` units of a group to go: a share `mix` of them by norm, then those nearest to what is left."""
    layers = [_Layer.of(graph, name, group.units) for name in group.layers]
    stay = np.ones(len(group.units), bool)
    norms = np.mean([layer.by_unit(layer.norms, np.ones(len(layer.norms), bool)) for layer in layers], axis=0)
    stay[np.argsort(norms, kind="stable")[: round(mix * count)]] = False
    while (left := count - int((~stay).sum())) > 0:
        worth = np.where(stay, np.mean([layer.worth(stay) for layer in layers], axis=0), np.inf)
        stay[np.argsort(worth, kind="stable")[: 1 if greedy else left]] = False
    found: np.ndarray = group.units[~stay]
    return found


def apply(model: Any, settings: GeometricMedianSettings, context: Context) -> Outcome:
    """Gives a smaller, fine-tuned model."""
    if settings.scope == "global":
        raise ValueError("scope = 'global': distances of different layers cannot be compared; use layer")
    soft, special = settings.when == "every_epoch", bool(settings.mix or settings.greedy)
    images = context.data.splits["train"].images[:IMAGES].astype(np.float32) / 255.0
    zeroed: set[int] = set()

    def prepare(plain: Any) -> Prepared:
        prepared, mask = _prepare(plain, settings, context)
        zeroed.update(mask.zeroed())
        return prepared

    def score(graph: ChannelGraph) -> dict[int, float]:
        worth = by_filter(graph, distances, folded=False)
        # Whatever was zeroed last goes, even where another filter has come nearer to the rest.
        return worth | dict.fromkeys(zeroed, -1.0)

    def settle(graph: ChannelGraph, chosen: Choice) -> tuple[dict[str, Any], list[str]]:
        found, warnings = absorb(graph, chosen.units, images) if soft else ({}, [])
        return {"criterion": settings.criterion, **found}, warnings

    def pick(graph: ChannelGraph, groups: Sequence[Group], within: Chooser) -> Choice:
        return _pick(graph, groups, settings, within(groups))

    criterion = Criterion(
        score,
        prepare=prepare if soft else None,
        pick=pick if special and not soft else None,
        settle=settle,
    )
    return remove(model, settings, context, criterion)


def _pick(graph: ChannelGraph, groups: Sequence[Group], settings: GeometricMedianSettings, plan: Choice) -> Choice:
    """As many units of every group as `plan` removes, by norm, distance or one by one as the settings say."""
    if not (settings.mix or settings.greedy):
        return plan
    wanted = [
        most_replaceable(graph, group, len(group.units) - kept, mix=settings.mix, greedy=settings.greedy)
        for group, kept in plan.groups
    ]
    return exactly(graph, groups, np.concatenate(wanted).tolist(), target=counted(settings.target))


def _prepare(model: Any, settings: GeometricMedianSettings, context: Context) -> tuple[Prepared, SoftMask]:
    """A copy of `model`, trained on while the filters to go are zeroed after every epoch, and what keeps them there."""
    from pipelines.training.loop import fit
    from zoo.cut import cut

    copy = cut(ChannelGraph.of(model), ())  # nested models laid open, so that every map can be looked up
    graph = ChannelGraph.of(copy)

    def select() -> list[int]:
        groups = groups_of(
            graph,
            by_filter(graph, distances, folded=False),
            least=settings.least,
            multiple=settings.multiple,
            skip=settings.skipped,
        )
        plan = choose(graph, groups, share=settings.remove, target=counted(settings.target), scope="layer")
        chosen: list[int] = _pick(graph, groups, settings, plan).units.tolist()
        return chosen

    select()  # refuses what cannot be before the training
    own = {key: value for key, value in settings.model_dump().items() if key in Fitting.model_fields}
    plan = Fitting(**{**own, "epochs": settings.soft_epochs, "keep": "last", "patience": None})
    mask = SoftMask(graph, select)
    fitted = fit(copy, context.data, plan, context.watch, seed=context.seed, hooks=mask.hooks(), label="soft")
    fresh = [row["newly_zero"] for row in fitted.history]
    report = {"newly_zero_by_epoch": fresh, "soft_fit": fitted.as_dict()}
    warnings = []
    if len(fresh) > 1 and not any(fresh[1:]):
        warnings.append(
            "the set never changed after the first epoch: filters that are zero and get no gradient stayed nearest to "
            "the others, so this was pruning at once with training behind it"
        )
    return Prepared(copy, report, fitted.epochs_done, tuple(warnings)), mask


METHOD = Method(
    name="geometric_median",
    kind="prune",
    title="Channels near the geometric median",
    source="He et al., FPGM, arXiv:1811.00250",
    summary="Removes the filters that the others of their layer can replace best, then fine-tunes.",
    measured=HALF_A_RESNET + "+0.0 points [-0.7, +0.8] against random channels, removed every epoch -0.1 [-1.3, "
    "+1.1], not distinguishable.",
    removes_channels=True,
    settings=GeometricMedianSettings,
    apply=apply,
    rehearses=True,
)
