"""Sentences that a report owes its reader when something stayed unfinished."""

from __future__ import annotations

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
    return tuple(found)
