"""Cells of a long table, each a JSON file of its own: a command that was stopped goes on with what is missing."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
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


def command(
    name: str,
    explained: str | None,
    folder: Path,
    *,
    run: Callable[..., Mapping[str, Any]],
    summary: Callable[[tuple[int, ...]], Mapping[str, Any]],
    seeds: Sequence[int],
    rows: Callable[[], Sequence[str]] | None = None,
) -> int:
    """The command line of a table over seeds: computes what is missing and prints it. With `rows` some can be named.

    `run` takes the seeds, and with `rows` the names that were given or None for all.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=explained)
    if rows is not None:
        parser.add_argument("names", nargs="*", help="only these rows")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds))
    parser.add_argument("--show", action="store_true", help="compute nothing, print what is there")
    asked = parser.parse_args()
    chosen = tuple(asked.seeds)
    if rows is not None and (unknown := sorted(set(asked.names) - set(rows()))):
        parser.error(f"no row is called {', '.join(unknown)}; rows: {', '.join(rows())}")
    if asked.show:
        tell(summary(chosen), folder)
    else:
        tell(run(chosen) if rows is None else run(chosen, asked.names or None), folder)
    return 0


def tell(found: Mapping[str, Any], folder: Path) -> None:
    """Prints a table, `what` above its `rows`, and keeps it as table.json in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.json").write_text(json.dumps(found, indent=2), "utf-8")
    print(found["what"])
    columns = dict.fromkeys(key for row in found["rows"] for key in row)
    print(table(found["rows"], {key: key for key in columns}) if found["rows"] else "nothing yet")
