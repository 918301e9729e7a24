"""What a long computation tells the outside, and what it asks: progress, curves, cancel, a folder for checkpoints."""

from __future__ import annotations

import logging
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Protocol

log = logging.getLogger(__name__)


class Watch(Protocol):
    """One step's view of its run."""

    folder: Path

    def progress(self, done: float, total: float, message: str, seconds_left: float | None = None) -> None: ...

    def metrics(self, rows: list[tuple[str, float, float]]) -> None:
        """Records `(name, x, value)` points; a point written twice counts once."""

    def log(self, message: str) -> None: ...

    def check(self) -> None:
        """Raises when the run was cancelled or another attempt has taken it over."""


class QuietWatch:
    """A watch that only keeps what it is told, for tests, probes and benchmarks."""

    def __init__(self, folder: Path | None = None) -> None:
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="litesmith-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.folder = folder
        self.rows: dict[tuple[str, float], float] = {}

    def progress(self, done: float, total: float, message: str, seconds_left: float | None = None) -> None:
        log.debug("%s %.0f/%.0f", message, done, total)

    def metrics(self, rows: list[tuple[str, float, float]]) -> None:
        self.rows.update({(name, x): value for name, x, value in rows})

    def log(self, message: str) -> None:
        log.info(message)

    def check(self) -> None:
        return
