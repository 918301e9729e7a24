"""Sentences that a report owes its reader when something stayed unfinished."""

from __future__ import annotations

from typing import Any

from pipelines.training.loop import FitReport


def fit_warnings(report: FitReport) -> tuple[str, ...]:
    """Names what a fitting did not finish or did not use."""
    found = []
    if report.stopped_early:
        found.append(
            f"stopped early after epoch {report.epochs_done} of {report.epochs_planned}: the learning rate had not "
            f"finished its cosine; best validation accuracy was in epoch {report.best_epoch}"
        )
    if report.history and report.best_epoch == report.epochs_done == report.epochs_planned and len(report.history) > 3:
        gain = report.history[-1]["validation_top1"] - report.history[-3]["validation_top1"]
        if gain > 0.005:
            found.append(f"still improving at the last epoch (+{gain:.3f} top-1 over two epochs): more epochs may help")
    return (*found, *_group_warnings(report))


def _group_warnings(report: FitReport) -> list[str]:
    rows = report.learned_groups
    found = []
    unfinished = [row for row in rows if (row["stage"] or 0) < (row["stages"] or 0)]
    if unfinished:
        found.append(
            f"condensation is not finished: {_names(unfinished)} reached stage {unfinished[0]['stage']} of "
            f"{unfinished[0]['stages']}; it ends with the first half of a training, so train for more updates"
        )
    empty = [row for row in rows if row["empty_groups"]]
    if empty:
        found.append(
            f"learned groups came out empty in {_names(empty)}; {sum(row['dead_outputs'] for row in empty)} of their "
            "output channels are constant: fewer groups or a gentler learning rate may help"
        )
    unequal = [row for row in rows if not row["balanced"] and not row["empty_groups"] and row["stage"] is None]
    if unequal:
        found.append(
            f"learned groups came out unequal in {_names(unequal)}: files hold one convolution for each group there, "
            "and their multiply-adds differ from those of equal groups"
        )
    return found


def _names(rows: list[dict[str, Any]]) -> str:
    shown = ", ".join(row["name"] for row in rows[:3])
    return shown if len(rows) <= 3 else f"{len(rows)} layers ({shown}, ...)"
