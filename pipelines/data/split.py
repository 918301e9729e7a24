"""Deals items into train, validation and test: stratified, seeded, the same whatever their order or names.

An item's turn is decided by a hash of the seed and its pixels. Items with equal pixels form a group and stay
together, so nothing a model trained on is in the split that judges it. Pictures that occur once are dealt
first and repeated ones last, which puts repeats into train: a test image counted twice would make the
accuracy look more certain than it is.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipelines.data.dataset import SPLITS, Problem

MINIMUM_PER_CLASS = 3  # different images, one for each split


@dataclass
class Assignment:
    """`split` per item ("" = not used) and `turn`, the order in which to store items inside their split."""

    split: list[str]
    turn: list[str]
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_shares(validation: float, test: float) -> None:
    """Raises ValueError for shares that leave a split empty."""
    for name, share in (("validation", validation), ("test", test)):
        if not (isinstance(share, int | float) and math.isfinite(share) and 0 < share < 1):
            raise ValueError(f"{name} share {share!r} is not a part of the set; choose between 0 and 1, such as 0.15")
    if validation + test > 0.9:
        raise ValueError(f"validation {validation} and test {test} leave no room to train; keep their sum at most 0.9")


def assign(
    ids: Sequence[str],
    labels: Sequence[int],
    hashes: Sequence[str],
    classes: Sequence[str],
    *,
    seed: int,
    validation: float,
    test: float,
    given: Sequence[str] | None = None,
) -> Assignment:
    """Splits items by the SHA-256 of their pixels.

    `given` fixes items to "test" or "validation" (official splits); the other items then only feed the splits
    that were not given. `validation` is a share of what is dealt, as is `test`. A given test split is kept
    whole: what equals one of its images is dropped elsewhere, and counted in the notes. Equal images with
    different labels are set aside as problems.
    Raises ValueError when a class has too few different images.
    """
    fixed = list(given) if given is not None else [""] * len(ids)
    result = Assignment([""] * len(ids), [_turn(seed, digest) for digest in hashes])
    groups: dict[str, list[int]] = defaultdict(list)
    for index, digest in enumerate(hashes):
        groups[digest].append(index)

    free: dict[int, list[list[int]]] = {label: [] for label in range(len(classes))}
    dropped: dict[tuple[str, str], int] = defaultdict(int)
    repeats = 0
    for members in groups.values():
        members.sort(key=lambda index: ids[index])
        home = next((split for split in ("test", "validation") if any(fixed[i] == split for i in members)), "")
        stay = [index for index in members if not home or fixed[index] == home]
        for index in members:
            if index not in stay:
                dropped[(fixed[index] or "train", home)] += 1
        if home != "test" and len({labels[index] for index in stay}) > 1:
            _set_aside(stay, ids, labels, classes, result)
        elif home:
            for index in stay:
                result.split[index] = home
        else:
            repeats += len(stay) - 1
            free[labels[stay[0]]].append(stay)

    shares = {"test": test, "validation": validation}
    dealt = {split: share for split, share in shares.items() if split not in fixed}
    for waiting in free.values():
        _deal(waiting, dealt, result)
    filled = set(zip(labels, result.split, strict=True))
    for label, waiting in free.items():
        missing = [split for split in SPLITS if (label, split) not in filled]
        if missing:
            raise ValueError(_too_few(classes[label], missing, len(waiting), dealt))
    for (origin, home), count in sorted(dropped.items()):
        result.notes.append(f"{count} {origin} images dropped: their pixels equal an image of the {home} split")
    if repeats:
        result.notes.append(f"{repeats} images repeat another one exactly; each stays in the split of its twin")
    return result


def _turn(seed: int, digest: str) -> str:
    return hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()


def _deal(waiting: list[list[int]], shares: dict[str, float], result: Assignment) -> None:
    """Deals one class: each share is rounded to whole images, at least one, the rest goes to train."""
    waiting.sort(key=lambda group: (len(group), result.turn[group[0]]))
    total = sum(len(group) for group in waiting)
    place = 0
    for position, (split, share) in enumerate(shares.items()):
        later = len(shares) - position  # splits still to come, train included; each must get a group
        want = max(1, math.floor(share * total + 0.5))
        got = 0
        while place < len(waiting) - later and got < want:
            if got and got + len(waiting[place]) > want:
                break
            got += len(waiting[place])
            for index in waiting[place]:
                result.split[index] = split
            place += 1
    for group in waiting[place:]:
        for index in group:
            result.split[index] = "train"


def _too_few(name: str, missing: list[str], different: int, dealt: dict[str, float]) -> str:
    if len(dealt) < 2:
        return f"class {name!r} has no usable image for {' and '.join(missing)}; add some there"
    return (
        f"class {name!r} has {different} usable different image{'s' * (different != 1)}, at least "
        f"{MINIMUM_PER_CLASS} are needed (one each to train, validate and test); add images or remove the folder"
    )


def _set_aside(
    members: list[int], ids: Sequence[str], labels: Sequence[int], classes: Sequence[str], result: Assignment
) -> None:
    for index in members:
        other = next(i for i in members if labels[i] != labels[index])
        result.problems.append(
            Problem(ids[index], f"the same picture as {ids[other]!r}, which is labelled {classes[labels[other]]!r}")
        )
