"""Filters in pairs of opposite sign: half of them is computed, the other half is their negation.

Source: Shang et al., arXiv:1603.05201, sections 2.1 (first layers learn such pairs) and 2.2 (concatenated ReLU). The
paper trains networks built so; here a trained one is changed: its filters are paired, and it is fine-tuned.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from math import ceil
from typing import Any

import zoo
from pipelines.method import Context, Method, Outcome
from pipelines.settings import setting
from pipelines.training.settings import Fitting
from zoo.opposites import candidates, halve
from zoo.plans import Plan

FAR = 0.5  # below this mean similarity the filters of a layer are hardly pairs, and most of what it did is lost


class CreluSettings(Fitting):
    """Which layers are halved, and the fine-tuning behind it."""

    epochs: int = setting(8, ge=1, le=10_000, unit="epochs", help="Fine-tuning epochs after the change")
    learning_rate: float = setting(
        1e-3, gt=0, le=10, help="Peak learning rate of the fine-tuning; about half of training's"
    )
    layers: str = setting(
        "", help="Convolutions to halve, names with * and ?, separated by commas: stem_*; empty: the first third, "
        "where the paper found pairs"
    )  # fmt: skip
    recalibration: int = setting(
        40, ge=0, le=1000, unit="batches", help="Training batches that put the norms right after the change; 0: none"
    )

    @property
    def patterns(self) -> list[str]:
        """The patterns of `layers`."""
        return [part.strip() for part in self.layers.split(",") if part.strip()]


def apply(model: Any, settings: CreluSettings, context: Context) -> Outcome:
    """Gives a fine-tuned model whose chosen convolutions have half the filters.

    Raises: ValueError when no convolution of the model, or none of those named, can be halved.
    """
    from pipelines.removal.recalibrate import recalibrate
    from pipelines.training.loop import fit, scorer
    from pipelines.training.reports import fit_warnings
    from zoo.cut import laid_open

    model = laid_open(model)
    plan = Plan.of(model)
    chosen = _chosen(plan, settings)
    assert plan is not None
    context.looked_over()
    found = {name: halve(plan, name) for name in chosen}
    result = plan.build()
    validation = context.data.splits["validation"]
    before, after = (zoo.cost_of(zoo.sketch_of(one)) for one in (model, result))
    report: dict[str, Any] = {
        "layers": [
            {"layers": [name], "channels": 2 * len(pairs.places), "kept": len(pairs.places),
             "similarity": pairs.similarity}
            for name, pairs in found.items()
        ],
        "reordered": [call.name for call in plan.calls.values() if call.name.endswith("_order")],
        "params_before": before.params,
        "params_after": after.params,
        "macs_before": before.macs,
        "macs_after": after.macs,
        "validation_top1_before": scorer(model)(validation)[1],
        "validation_top1_after_cut": scorer(result)(validation)[1],
        "recalibrated_batches": recalibrate(
            result, context.data, settings, batches=settings.recalibration, seed=context.seed
        ),
    }  # fmt: skip
    report["validation_top1_after_recalibration"] = scorer(result)(validation)[1]
    fitted = fit(result, context.data, settings, context.watch, seed=context.seed, label="crelu")
    report |= {"fit": fitted.as_dict(), "validation_top1_after": scorer(result)(validation)[1]}
    return Outcome(result, report, (*fit_warnings(fitted), *_warnings(report)))


def _chosen(plan: Plan | None, settings: CreluSettings) -> list[str]:
    names = [] if plan is None else candidates(plan)
    if not names:
        raise ValueError(
            "no convolution of this model can be halved: it takes plain ones of an even number of filters with a norm "
            "directly behind, in a functional model of the zoo's layers"
        )
    if not settings.patterns:
        return names[: ceil(len(names) / 3)]
    found = [name for name in names if any(fnmatchcase(name, pattern) for pattern in settings.patterns)]
    if not found:
        raise ValueError(f"layers = {settings.layers!r} fits no convolution that can be halved: {', '.join(names[:8])}")
    return found


def _warnings(report: dict[str, Any]) -> list[str]:
    found = []
    far = [row for row in report["layers"] if row["similarity"] < FAR]
    if far:
        shown = ", ".join(f"{row['layers'][0]} {row['similarity']:.2f}" for row in far[:4])
        found.append(f"the filters of {len(far)} layers are hardly pairs (similarity, 1 is exact): {shown}")
    if report["macs_after"] >= report["macs_before"]:
        found.append("the negations cost more multiply-adds than the filters they replace; choose other layers")
    if report["reordered"]:
        found.append(
            f"{len(report['reordered'])} gathers put channels back in order; the Edge TPU does not compute those"
        )
    return found


METHOD = Method(
    name="crelu",
    kind="prune",
    title="Opposite filters (concatenated ReLU)",
    source="Shang et al., arXiv:1603.05201",
    summary="Computes half the filters of early layers and takes the other half as their negation, then fine-tunes.",
    removes_channels=True,
    settings=CreluSettings,
    apply=apply,
    rehearses=True,
)
