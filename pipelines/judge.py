"""Files of one model judged alike: top-1 on validation images beside the float file's, time beside a base file's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from exports import Contract, LatencyRow, evaluate, measure, paired_difference

Row = dict[str, Any]
File = tuple[Path, Contract]
ROUNDS = 8


class Judge:
    """`plain` is the model's float file; `images` are uint8 `(n, height, width, channels)`, `labels` their classes.

    `alone` waits until nothing else of ours computes, for the time that is taken in it.
    """

    def __init__(
        self, plain: File, images: np.ndarray, labels: np.ndarray, alone: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self.images, self.labels, self.alone = images, labels, alone
        scored = evaluate(*plain, images, labels)
        self.right = scored.predictions == labels
        self.float_row: Row = {"top1": scored.top1, "low": scored.interval[0], "high": scored.interval[1],
                               "bytes": plain[0].stat().st_size}  # fmt: skip

    def row(self, file: File, base: File) -> Row:
        """Accuracy, its paired difference to the float file, bytes, and unless it is the base itself its time."""
        scored = evaluate(*file, self.images, self.labels)
        row: Row = {
            "top1": scored.top1, "low": scored.interval[0], "high": scored.interval[1],
            **against_float(self.right, scored.predictions == self.labels), "bytes": file[0].stat().st_size,
        }  # fmt: skip
        if file != base:
            timed = self.ratio(file, base)
            row |= {"ratio": timed.ratio, "ratio_low": timed.ratio_interval[0], "ratio_high": timed.ratio_interval[1],
                    "stable": timed.stable}  # fmt: skip
        return row

    def ratio(self, file: File, base: File) -> LatencyRow:
        """The file's time beside the base's, both in turn."""
        with self.alone():
            return measure([base, file], rounds=ROUNDS).rows[1]


def against_float(before: np.ndarray, right: np.ndarray) -> Row:
    """Part of a row: what a file loses or gains, given for each image whether the float file and it were right."""
    difference, low, high = paired_difference(before, right)
    return {"against_float": difference, "against_float_low": low, "against_float_high": high}


def points_against_float(row: Row) -> str:
    """A row's difference to the float file in percentage points, with its interval."""
    points = (100 * row[name] for name in ("against_float", "against_float_low", "against_float_high"))
    return "{:+.2f} [{:+.2f}, {:+.2f}]".format(*points)


def time_ratio(row: Row) -> str:
    """A row's time beside the base file's; 1 for the base itself."""
    return "1" if "ratio" not in row else f"{row['ratio']:.2f}"


REFUSED = "not possible"


def refusals(rows: Sequence[Row]) -> list[str]:
    """A sentence for every row that could not be made, which are those with an `error` in place of figures."""
    return [f"{row['title']} is {REFUSED}: {row['error']}" for row in rows if "error" in row]
