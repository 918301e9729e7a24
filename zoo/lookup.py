"""Answers for a name that is not in a catalogue: the nearest names that are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def unknown_name(what: str, name: object, known: Iterable[str]) -> ValueError:
    """The error for an unknown `name`, offering the nearest known names, or all of them when none is near."""
    names = list(known)
    near = nearest(name, names)
    if not names:
        return ValueError(f"unknown {what} {name!r}; there are none to choose from")
    if near:
        return ValueError(f"unknown {what} {name!r}; did you mean {' or '.join(near)}? Known: {', '.join(names)}")
    return ValueError(f"unknown {what} {name!r}; choose one of {', '.join(names)}")


def nearest(name: object, known: Sequence[str]) -> list[str]:
    """The known names most like `name`, nearest first; empty when none is near."""
    return get_close_matches(str(name), known, n=3, cutoff=0.5)
