"""How often a written file is right: over a whole split, per class, with intervals and the confusion matrix."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exports.contract import Contract
from exports.run_file import kernel_set, predict
from exports.statistics import wilson


@dataclass(frozen=True)
class ClassScore:
    """One label: `n` images of it, how many were recognised, the share and its Wilson interval (95 %)."""

    label: str
    n: int
    correct: int
    accuracy: float | None
    interval: tuple[float, float]


@dataclass(frozen=True)
class Evaluation:
    """The accuracy of a file. `confusion[true][given]` counts images; `predictions` `(n,)` are class numbers."""

    top1: float
    interval: tuple[float, float]
    n: int
    correct: int
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    predictions: np.ndarray
    kernels: str
    seconds: float

    def as_dict(self, *, predictions: bool = True) -> dict[str, Any]:
        """JSON-ready values; `predictions=False` leaves the long list out."""
        values: dict[str, Any] = {
            "top1": self.top1,
            "interval": list(self.interval),
            "n": self.n,
            "correct": self.correct,
            "per_class": [
                {"label": c.label, "n": c.n, "correct": c.correct, "accuracy": c.accuracy, "interval": list(c.interval)}
                for c in self.per_class
            ],
            "confusion": [list(row) for row in self.confusion],
            "kernels": self.kernels,
            "seconds": self.seconds,
        }
        if predictions:
            values["predictions"] = self.predictions.tolist()
        return values


def evaluate(
    path: Path | str,
    contract: Contract,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    kernels: str = "xnnpack",
    workers: int | None = None,
) -> Evaluation:
    """Run the file at `path` over uint8 `images` `(n, height, width, channels)` and score it against `labels` `(n,)`.

    Raises:
        ValueError: images and labels do not fit each other or the contract.
    """
    labels = np.asarray(labels)
    if len(labels) != len(images):
        raise ValueError(f"{len(images)} images came with {len(labels)} labels; give one label per image")
    started = time.perf_counter()
    logits = predict(path, contract, images, kernels=kernels, workers=workers)
    seconds = time.perf_counter() - started
    return score(logits, labels, contract.labels, kernels=kernel_set(contract, kernels), seconds=seconds)


def score(
    logits: np.ndarray, labels: np.ndarray, names: tuple[str, ...], *, kernels: str, seconds: float = 0.0
) -> Evaluation:
    """The evaluation of `logits` `(n, classes)` against the true class numbers `labels` `(n,)`."""
    classes = len(names)
    if len(labels) == 0:
        raise ValueError("there are no images to score; give at least one")
    if logits.shape != (len(labels), classes):
        raise ValueError(f"logits have shape {logits.shape}; expected ({len(labels)}, {classes})")
    if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        reach = f"labels reach from {labels.min()} to {labels.max()}"
        raise ValueError(f"{reach}; this file knows classes 0..{classes - 1}")
    predictions = logits.argmax(axis=1).astype(np.int32)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predictions), 1)
    hits, totals = confusion.diagonal(), confusion.sum(axis=1)
    correct = int(hits.sum())
    return Evaluation(
        top1=correct / len(labels),
        interval=wilson(correct, len(labels)),
        n=len(labels),
        correct=correct,
        per_class=tuple(
            ClassScore(name, int(n), int(hit), float(hit / n) if n else None, wilson(int(hit), int(n)))
            for name, n, hit in zip(names, totals, hits, strict=True)
        ),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        predictions=predictions,
        kernels=kernels,
        seconds=seconds,
    )
