"""What an opened data set is: pixels and labels in three splits, what was set aside, and the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Problem:
    """One item that is not used, and why."""

    item: str
    reason: str


class Unusable(ValueError):
    """A source that makes no data set, because of files that had to be set aside: `problems` lists them."""

    SHOWN = 3

    def __init__(self, message: str, problems: Sequence[Problem]) -> None:
        shown = "; ".join(f"{problem.item}: {problem.reason}" for problem in problems[: self.SHOWN])
        more = f" and {len(problems) - self.SHOWN:,} more" if len(problems) > self.SHOWN else ""
        super().__init__(f"{message}; set aside were {shown}{more}" if problems else message)
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Split:
    """Images uint8 (n, height, width, channels) raw 0..255, mapped from disk and read-only; labels int32 (n,)."""

    images: np.ndarray
    labels: np.ndarray
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Dataset:
    """A prepared set. `resolution` is (height, width); `splits` has train, validation and test.

    `manifest` says which item is in which split and does not depend on resolution, channels or the place on
    disk, so two runs with one `manifest_sha256` were judged on the same images.
    """

    source: str
    title: str
    classes: tuple[str, ...]
    channels: int
    resolution: tuple[int, int]
    resize: str
    splits: Mapping[str, Split]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    manifest: dict[str, Any]
    manifest_sha256: str


def describe(dataset: Dataset) -> dict[str, Any]:
    """JSON-ready summary: classes, counts per class and split, balance, problems, notes."""
    per_split = {
        name: np.bincount(split.labels, minlength=len(dataset.classes)) for name, split in dataset.splits.items()
    }
    totals = np.sum(list(per_split.values()), axis=0)
    named = {name: dict(zip(dataset.classes, counts.tolist(), strict=True)) for name, counts in per_split.items()}
    return {
        "source": dataset.source,
        "title": dataset.title,
        "classes": list(dataset.classes),
        "channels": dataset.channels,
        "resolution": list(dataset.resolution),
        "resize": dataset.resize,
        "images": int(totals.sum()),
        "counts": dict(zip(dataset.classes, totals.tolist(), strict=True)),
        "splits": {name: {"images": sum(counts.values()), "counts": counts} for name, counts in named.items()},
        "balance": {
            "smallest": dataset.classes[int(totals.argmin())],
            "largest": dataset.classes[int(totals.argmax())],
            "ratio": round(float(totals.max() / totals.min()), 2),
        },
        "problems": [{"item": problem.item, "reason": problem.reason} for problem in dataset.problems],
        "notes": list(dataset.notes),
        "manifest_sha256": dataset.manifest_sha256,
    }


def preview(dataset: Dataset, per_class: int = 3, split: str = "train") -> dict[str, np.ndarray]:
    """The first few images of each class, uint8 (up to per_class, height, width, channels)."""
    chosen = dataset.splits[split]
    return {
        name: np.array(chosen.images[np.flatnonzero(chosen.labels == number)[:per_class]])
        for number, name in enumerate(dataset.classes)
    }
