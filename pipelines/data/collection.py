"""What a source hands over: first who it is (cheap), then its items decoded to one size (dear)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipelines.data.dataset import Problem
from pipelines.data.limits import Limits
from pipelines.data.prepare import RESIZE

# Called with (done, total) while a set is prepared; total 0 = not known yet. It may raise to cancel.
Progress = Callable[[int, int], None]


@dataclass
class Decoded:
    """All usable items in one order.

    `images` uint8 (n, height, width, channels) may be mapped from a file in the work folder. `pixel_sha256` is of
    the picture at full size. `file_sha256` is empty for sets that are not made of files. `given` is "" or the
    split an item is fixed to.
    """

    classes: tuple[str, ...]
    ids: Sequence[str]
    labels: np.ndarray
    pixel_sha256: Sequence[str]
    images: np.ndarray
    file_sha256: Sequence[str] = ()
    given: Sequence[str] | None = None
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Request:
    """How the items are wanted. `folder` is empty and only for this; it is removed afterwards."""

    resolution: tuple[int, int]
    channels: int | None
    limits: Limits
    folder: Path
    progress: Progress
    resize: str = RESIZE

    def check_size(self, count: int) -> None:
        """Raises ValueError when `count` images at this resolution pass a limit."""
        if count > self.limits.max_images:
            raise ValueError(f"it holds {count:,} images, at most {self.limits.max_images:,} are read")
        height, width = self.resolution
        needed = count * height * width * (self.channels or 3)
        if needed > self.limits.prepared_bytes:
            raise ValueError(
                f"{count:,} images at {height}x{width} need {needed:,} bytes, at most {self.limits.prepared_bytes:,} "
                "are prepared; choose a smaller resolution"
            )


@dataclass(frozen=True)
class Collection:
    """A source that was found. `fingerprint` changes whenever its content does.

    `keeps_order` leaves items as the source orders them (official sets); others are stored in seeded order.
    """

    kind: str
    title: str
    fingerprint: str
    resolution: tuple[int, int]
    validation: float
    test: float
    decode: Callable[[Request], Decoded]
    keeps_order: bool = False
