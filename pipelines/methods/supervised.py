"""Plain training on labels: softmax cross-entropy, Adam or SGD, cosine with warm-up."""

from __future__ import annotations

from typing import Any

from pipelines.method import Context, Method, Outcome
from pipelines.training.settings import Fitting


class SupervisedSettings(Fitting):
    """Training on the labels of the data set."""


def apply(model: Any, settings: SupervisedSettings, context: Context) -> Outcome:
    """Gives a trained copy of `model`."""
    from pipelines.training.loop import fit
    from pipelines.training.reports import fit_warnings
    from zoo.cloning import clone

    student = clone(model)
    report = fit(student, context.data, settings, context.watch, seed=context.seed, label="train")
    return Outcome(student, {"fit": report.as_dict()}, fit_warnings(report))


METHOD = Method(
    name="supervised",
    kind="train",
    title="Train on labels",
    source="Loshchilov and Hutter, arXiv:1608.03983 (cosine); Goyal et al., arXiv:1706.02677 (warm-up)",
    summary="Trains the model on your labels from its present weights.",
    removes_channels=False,
    settings=SupervisedSettings,
    apply=apply,
)
