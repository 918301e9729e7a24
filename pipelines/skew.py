"""Skew: what each usual mistake in front of a file would cost, and which of them somebody is making.

A mistake is claimed on two kinds of evidence only. By labels: the file is right more often when it is fed "wrongly",
so what it was declared to want is not what it wants. By a device's own answers: they are nearer to what the file says
to wrongly fed images than to what it says to rightly fed ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exports import FEEDS, Contract, fed, holm, mcnemar, paired_difference, wilson
from pipelines.data import RESIZE, RESIZES, Dataset
from pipelines.device_answers import DeviceAnswers

# At 5 % one in twenty sound pipelines would be accused of something.
SURE = 0.01
# Below this share of equal answers no feed explains what a device says.
EXPLAINS = 0.9

RESIZE_ADVICE = f"resize by {RESIZE}: Pillow's bilinear filter, which widens when it shrinks"


@dataclass(frozen=True)
class Fault:
    """One mistake with what the file answers to it: logits `(n, classes)`."""

    name: str
    title: str
    advice: str
    logits: np.ndarray


def skew(
    path: Path,
    contract: Contract,
    open_as: Callable[[str], Dataset],
    split: str,
    *,
    count: int,
    answers: Callable[[Dataset], DeviceAnswers] | None = None,
    progress: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Accuracy under every mistake that fits the file, and the mistake that is made, if one is.

    `open_as` gives the images by one of `RESIZES`; of the `split` the first `count` are used, or those that were
    answered. Raises: ValueError for what `open_as` and `answers` refuse.
    """
    data = open_as(RESIZE)
    told = answers(data) if answers is not None else None
    places = np.arange(min(count, len(data.splits[split]))) if told is None else told.places
    images, labels = _images(data, split, places), data.splits[split].labels[places]
    progress("rightly fed")
    right = fed(path, contract, images)
    faults, left_out = [], {}
    for name, feed in FEEDS.items():
        if not feed.fits(contract):
            left_out[name] = f"{feed.title}: no mistake for this file"
            continue
        progress(feed.title)
        faults.append(Fault(name, feed.title, feed.advice, fed(path, contract, images, feed)))
    for name, pixels in _resized(open_as, images, split, places):
        if pixels is None:
            left_out[name] = f"{name}: the images have the file's size already"
            continue
        progress(name)
        faults.append(Fault(name, name, RESIZE_ADVICE, fed(path, contract, pixels)))
    rows = [_row("", "as declared", right, right, labels)]
    rows += [_row(one.name, one.title, one.logits, right, labels) for one in faults]
    return {
        "split": split,
        "images": len(labels),
        "names": [data.splits[split].ids[at] for at in places],
        "rows": sorted(rows[1:], key=lambda row: row["top1"]),
        "declared": rows[0],
        "left_out": left_out,
        "by_labels": _by_labels(faults, right, labels),
        "by_answers": None if told is None else _by_answers(faults, right, told),
    }


def _images(data: Dataset, split: str, places: np.ndarray) -> np.ndarray:
    return np.asarray(data.splits[split].images[places])


def _resized(
    open_as: Callable[[str], Dataset], right: np.ndarray, split: str, places: np.ndarray
) -> Iterator[tuple[str, np.ndarray | None]]:
    """The same images brought to size in every other way; None where that changes nothing."""
    others = [name for name in RESIZES if name != RESIZE]
    # The crudest way changes every picture that is resized at all, so it tells whether the others are worth asking.
    crudest = "nearest, stretch"
    found = _images(open_as(crudest), split, places)
    if (found == right).all():
        yield from ((name, None) for name in others)
        return
    for name in others:
        pixels = found if name == crudest else _images(open_as(name), split, places)
        yield name, None if (pixels == right).all() else pixels


def _row(name: str, title: str, logits: np.ndarray, right: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    hit, base = logits.argmax(1) == labels, right.argmax(1) == labels
    low, high = wilson(int(hit.sum()), len(hit))
    difference, difference_low, difference_high = paired_difference(base, hit)
    return {
        "fault": name, "title": title, "top1": float(hit.mean()), "low": low, "high": high, "difference": difference,
        "difference_low": difference_low, "difference_high": difference_high,
        "same_answer": float((logits.argmax(1) == right.argmax(1)).mean()),
    }  # fmt: skip


def _by_labels(faults: Sequence[Fault], right: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """The feed that the file is right with more often than with the declared one, if any surely is."""
    base = right.argmax(1) == labels
    hits = [one.logits.argmax(1) == labels for one in faults]
    p_values = holm([mcnemar(base, hit).p_value for hit in hits])
    better = [at for at, hit in enumerate(hits) if hit.mean() > base.mean() and p_values[at] <= SURE]
    if not better:
        return {"fault": None}
    best = max(better, key=lambda at: hits[at].mean())
    return {
        "fault": faults[best].name, "title": faults[best].title, "p_value": p_values[best],
        "top1": float(hits[best].mean()), "top1_declared": float(base.mean()),
    }  # fmt: skip


def _by_answers(faults: Sequence[Fault], right: np.ndarray, told: DeviceAnswers) -> dict[str, Any]:
    """The feed whose answers are those the device gave, if one explains them surely better than the declared one."""
    distances = [_distance(one.logits, told) for one in faults]
    declared = _distance(right, told)
    p_values = holm([mcnemar(declared < mine, mine < declared).p_value for mine in distances])
    same = float((right.argmax(1) == told.classes).mean())
    shares = [float((one.logits.argmax(1) == told.classes).mean()) for one in faults]
    found: dict[str, Any] = {"fault": None, "images": len(told.classes), "same_answer_declared": same}
    nearer = [
        at for at, mine in enumerate(distances) if (mine < declared).sum() > (declared < mine).sum()
        and p_values[at] <= SURE
    ]  # fmt: skip
    if nearer:
        best = min(nearer, key=lambda at: float(distances[at].mean()))
        if shares[best] >= EXPLAINS:
            return found | {
                "fault": faults[best].name, "title": faults[best].title, "advice": faults[best].advice,
                "p_value": p_values[best], "same_answer": shares[best],
            }  # fmt: skip
    return found | {"explained": same >= EXPLAINS}


def _distance(logits: np.ndarray, told: DeviceAnswers) -> np.ndarray:
    """How far the file's answers are from the device's, per image: in its scores if it gave any, else 0 or 1."""
    if told.scores is None:
        return (logits.argmax(1) != told.classes).astype(np.float64)
    ours = logits.astype(np.float64)
    if (told.scores >= 0).all() and np.allclose(told.scores.sum(1), 1, atol=0.02):  # the device took the softmax
        ours = np.exp(ours - ours.max(1, keepdims=True))
        ours /= ours.sum(1, keepdims=True)
    return np.abs(ours - told.scores).max(1)


def in_words(found: Mapping[str, Any]) -> list[str]:
    """The verdicts as sentences, the surest first."""
    said = []
    answers = found["by_answers"]
    if answers is not None:
        if answers["fault"]:
            said.append(
                f"The device feeds {answers['title']}: {100 * answers['same_answer']:.1f} % of its answers are then "
                f"the file's, {100 * answers['same_answer_declared']:.1f} % as declared. What helps: "
                f"{answers['advice']}."
            )
        elif answers["explained"]:
            said.append(
                f"The device feeds the file as declared: {100 * answers['same_answer_declared']:.1f} % of "
                f"{answers['images']:,} answers are the file's, and no mistake explains them better."
            )
        else:
            said.append(
                f"None of these mistakes explains the device's answers; as declared "
                f"{100 * answers['same_answer_declared']:.1f} % are the file's."
            )
    labels = found["by_labels"]
    if labels["fault"]:
        said.append(
            f"This file wants {labels['title']}: top-1 {labels['top1']:.4f} instead of {labels['top1_declared']:.4f} "
            f"as declared on {found['images']:,} images."
        )
    elif answers is None:
        said.append(f"No mistake makes this file better than as declared, on {found['images']:,} images.")
    return said
