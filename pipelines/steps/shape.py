"""The steps that make a new model: train, distil, prune, factorise, quantise. The work is the chosen method's."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from pipelines.jobs.alone import alone_on_machine
from pipelines.method import LookedOver
from pipelines.methods import METHODS, Context
from pipelines.steps.step import Result, State, Step, Surroundings

AFTER_TRAINING = ("prune", "factorise", "quantise")  # kinds of methods that change a trained model


def rehearse(state: State, settings: Any, around: Surroundings) -> None:
    """Asks the method whether it could change a model of this structure. Raises ValueError when not, trains nothing."""
    method = METHODS[settings.method]
    if not method.rehearses:
        return
    with suppress(LookedOver):
        method.apply(state.model, settings, replace(_context(around), rehearsal=True))


def run(state: State, settings: Any, around: Surroundings) -> Result:
    """Applies the method that the settings name. Raises ValueError when the model is not ready for it."""
    method = METHODS[settings.method]
    if state.int8_aware:
        raise ValueError(
            f"{method.kind} cannot follow int8-aware training: its simulated rounding would be trained away; "
            "put int8-aware training last"
        )
    if method.kind in AFTER_TRAINING and not state.trained:
        raise ValueError(f"{method.kind} needs a trained model: put train or distil before it")
    outcome = method.apply(state.model, settings, _context(around))
    metrics = {
        key: float(value)
        for key, value in outcome.report.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    history = outcome.report.get("fit", {}).get("history") or []
    if history:
        best = history[outcome.report["fit"]["best_epoch"] - 1] if settings.keep == "best" else history[-1]
        metrics["validation_top1"] = best["validation_top1"]
    next_state = State(outcome.model, outcome.int8_aware, trained=True, made_by=f"{method.kind}:{method.name}")
    return Result(next_state, outcome.report, metrics, outcome.warnings)


def _context(around: Surroundings) -> Context:
    return Context(
        around.data, around.seed, around.watch, around.load_run,
        alone=lambda: alone_on_machine(around.handle.home, around.watch.check),
    )  # fmt: skip


def _step(name: str, title: str, summary: str) -> Step:
    asked = rehearse if name in AFTER_TRAINING else None
    return Step(name, title, summary, settings=None, methods=name, run=run, rehearse=asked)


TRAIN = _step("train", "Train", "Fits the model to your labelled images.")
DISTIL = _step("distil", "Distil", "Fits the model to a larger teacher's outputs and to your labels.")
PRUNE = _step("prune", "Prune", "Removes channels or makes weights zero, and fine-tunes.")
FACTORISE = _step("factorise", "Factorise", "Replaces layers by chains of smaller ones, and fine-tunes.")
QUANTISE = _step("quantise", "Quantise", "Prepares the model for int8, with or without training.")
