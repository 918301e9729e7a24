"""A zip whose members were changed, as somebody would who wants to mislead its reader."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path


def rezipped(path: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """Writes the zip at `path` anew after `change` has had its members, and gives the path."""
    with zipfile.ZipFile(path) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w") as new:
        for name, content in entries.items():
            new.writestr(name, content)
    return path
