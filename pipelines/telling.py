"""How far a long answer is, counted by what works on it; commands and pages tell it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]  # (parts done, parts in all, what comes now); 0 done: a phase begins


def silent(done: int, total: int, what: str) -> None:
    """Progress that nobody asked for."""
