"""Cells of a long table, each a JSON file of its own: a command that was stopped goes on with what is missing."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.commands.command import table


@dataclass(frozen=True)
class Cell:
    """One cell below `folder`; `decided` is all that its value depends on, and is part of the file's name."""

    folder: Path
    name: str
    decided: Any

    @property
    def path(self) -> Path:
        """The file that holds the value."""
        key = hashlib.sha256(json.dumps(self.decided, sort_keys=True).encode()).hexdigest()[:10]
        return self.folder / f"{self.name}-{key}.json"

    @property
    def work(self) -> Path:
        """The folder for checkpoints and models of the cell."""
        return self.path.with_suffix("")

    def stored(self) -> dict[str, Any] | None:
        """The value; None when it has not been computed."""
        return dict(json.loads(self.path.read_text("utf-8"))) if self.path.is_file() else None

    def value(self, make: Callable[[Path], dict[str, Any]], *, keep: bool = False) -> dict[str, Any]:
        """The stored value, or what `make` gives in the cell's folder, with the minutes of this attempt.

        The folder is removed when the value is there, unless `keep`.
        """
        stored = self.stored()
        if stored is not None:
            return stored
        print(f"{self.name} ...", file=sys.stderr, flush=True)
        self.work.mkdir(parents=True, exist_ok=True)
        begun = time.time()
        found = make(self.work)
        found["minutes"] = (time.time() - begun) / 60
        self.path.write_text(json.dumps(found, indent=1), "utf-8")
        if not keep:
            shutil.rmtree(self.work)
        reached = f"{found['top1']:.4f} " if "top1" in found else ""
        print(f"  {reached}in {found['minutes']:.1f} min", file=sys.stderr, flush=True)
        return found


def tell(found: Mapping[str, Any], folder: Path) -> None:
    """Prints a table, `what` above its `rows`, and keeps it as table.json in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.json").write_text(json.dumps(found, indent=2), "utf-8")
    print(found["what"])
    columns = dict.fromkeys(key for row in found["rows"] for key in row)
    print(table(found["rows"], {key: key for key in columns}) if found["rows"] else "nothing yet")
