"""Who got hurt: what each class lost or gained between two files that were judged on the same test images.

A small loss in all may be a large one in a single class. Looking at every class at once finds some change by chance,
so the p-values are Holm's and the intervals are widened for the number of classes; only what stands then is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from exports import holm, mcnemar, paired_difference
from pipelines.compare import answers, newest
from pipelines.runs import Registry

CONFIDENCE = 0.95


@dataclass(frozen=True)
class ClassChange:
    """One class: `lost` images were right before and are wrong now, `gained` the other way round.

    `difference` of the shares has an interval that holds for all classes together; `p_value` is Holm's. `verdict` is
    hurt, helped, or empty where nothing can be claimed.
    """

    label: str
    images: int
    before: float
    after: float
    lost: int
    gained: int
    difference: float
    low: float
    high: float
    p_value: float
    verdict: str


@dataclass(frozen=True)
class Flip:
    """An image, by its place in the test split, that one of the two files got right and the other wrong."""

    image: int
    true: int
    before: int
    after: int


def class_changes(true: np.ndarray, before: np.ndarray, after: np.ndarray, labels: Sequence[str]) -> list[ClassChange]:
    """Changes of every class that has images, the surest loss first, the surest gain last.

    Args: true, before, after: class numbers `(n,)`: the right ones, and what the two files answered.
    """
    present = [number for number in range(len(labels)) if (true == number).any()]
    pairs = [(before[true == number] == number, after[true == number] == number) for number in present]
    raw = [mcnemar(*pair) for pair in pairs]
    sure = 1 - (1 - CONFIDENCE) / max(1, len(present))
    found = []
    for number, pair, test, p_value in zip(present, pairs, raw, holm([one.p_value for one in raw]), strict=True):
        difference, low, high = paired_difference(*pair, confidence=sure)
        claimed = p_value <= 1 - CONFIDENCE
        verdict = "" if not claimed else "hurt" if difference < 0 else "helped"
        change = ClassChange(
            labels[number], len(pair[0]), float(pair[0].mean()), float(pair[1].mean()), test.only_a, test.only_b,
            difference, low, high, p_value, verdict,
        )  # fmt: skip
        direction = (difference > 0) - (difference < 0)
        found.append((direction * (1 - test.p_value), difference, change))
    return [change for *_, change in sorted(found, key=lambda one: one[:2])]


def flips(true: np.ndarray, before: np.ndarray, after: np.ndarray) -> tuple[list[Flip], list[Flip]]:
    """The images that went from right to wrong, and those that came back."""

    def listed(which: np.ndarray) -> list[Flip]:
        return [Flip(int(at), int(true[at]), int(before[at]), int(after[at])) for at in np.flatnonzero(which)]

    return listed((before == true) & (after != true)), listed((before != true) & (after == true))


def changes_between(registry: Registry, baseline: str, artifact: str) -> dict[str, Any]:
    """What changed from one judged file of this home to another, by their ids.

    Raises: ValueError when one of them was not judged, or not on the same images.
    """
    judged = newest(registry.evaluations([baseline, artifact], split="test"))
    if missing := [one for one in (baseline, artifact) if one not in judged]:
        raise ValueError(f"{', '.join(missing)} was not run on test images; add a measure step to its recipe")
    first, second = judged[baseline], judged[artifact]
    if first.dataset_sha256 != second.dataset_sha256:
        raise ValueError(f"{baseline} and {artifact} were judged on different images; compare files of one data set")
    before, true = answers(registry, first)
    after, _ = answers(registry, second)
    labels = (registry.artifacts(id=artifact)[0].contract or {})["labels"]
    lost, gained = flips(true, before, after)
    return {
        "baseline": baseline,
        "artifact": artifact,
        "images": len(true),
        "confidence": CONFIDENCE,
        "classes": [asdict(one) for one in class_changes(true, before, after, labels)],
        "lost": [asdict(one) for one in lost],
        "gained": [asdict(one) for one in gained],
    }


def in_words(found: dict[str, Any]) -> str:
    """The verdict as a sentence."""
    names = {
        verdict: [one["label"] for one in found["classes"] if one["verdict"] == verdict]
        for verdict in ("hurt", "helped")
    }
    if not any(names.values()):
        return f"No class can be said to have changed ({len(found['classes'])} looked at together)."
    parts = [f"{verdict}: {', '.join(some)}" for verdict, some in names.items() if some]
    return f"{'; '.join(parts).capitalize()} ({len(found['classes'])} classes looked at together)."
