"""Who needs whom: parents, teachers and everything else a recipe names as `run:ID`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.runs.records import Dependent
from pipelines.runs.tables import NeedRow, RunRow

REFERENCE = re.compile(r"run:(r\d+)(?:[/@#:].*)?")


def needed_runs(recipe: Any) -> set[str]:
    """Returns the ids of all runs that a recipe names, at whatever depth."""
    return {match.group(1) for text in _strings(recipe) if (match := REFERENCE.fullmatch(text))}


def own_file(recipe: Any) -> str | None:
    """The file from elsewhere that stands in a recipe for an architecture: a model to begin from, or a finished one."""
    start = str(recipe.get("start") or "")
    if start.startswith("file:"):
        return start.removeprefix("file:")
    steps = recipe.get("steps") or [{}]
    finished = all(next(iter(step), None) in ("adopt", "measure") for step in steps)
    return str((steps[0].get("adopt") or {}).get("file")) if finished and "adopt" in steps[0] else None


def model_name(recipe: Any) -> str | None:
    """The architecture of a recipe, or the name of the file it begins from or takes in."""
    if file := own_file(recipe):
        return Path(file).name
    found = (recipe.get("model") or {}).get("name")
    return None if found is None else str(found)


def check_present(session: Session, ids: set[str]) -> None:
    """Raises ValueError when one of the runs is unknown or in the trash."""
    present = set(session.scalars(select(RunRow.id).where(RunRow.id.in_(ids), RunRow.deleted.is_(None))))
    if missing := sorted(ids - present):
        raise ValueError(
            f"run {', '.join(missing)} is not in this home (or is in its trash); "
            "`python -m pipelines runs` lists the runs that can be named"
        )


def dependents_of(session: Session, run_id: str) -> list[Dependent]:
    """Returns the runs outside the trash that directly need this one, oldest first."""
    children = select(RunRow.number, RunRow.id, RunRow.name).where(RunRow.parent_id == run_id, RunRow.deleted.is_(None))
    namers = (
        select(RunRow.number, RunRow.id, RunRow.name)
        .join(NeedRow, NeedRow.run_id == RunRow.id)
        .where(NeedRow.needed_id == run_id, RunRow.deleted.is_(None))
    )
    found = {row.id: (row.number, Dependent(row.id, row.name, "recipe")) for row in session.execute(namers)}
    found |= {row.id: (row.number, Dependent(row.id, row.name, "parent")) for row in session.execute(children)}
    return [dependent for _, dependent in sorted(found.values(), key=lambda pair: pair[0])]


def needed_by(session: Session, run_id: str) -> list[str]:
    """Returns the ids this run needs: its parent and what its recipe names."""
    parent = session.scalar(select(RunRow.parent_id).where(RunRow.id == run_id))
    named = session.scalars(select(NeedRow.needed_id).where(NeedRow.run_id == run_id)).all()
    return sorted({*named, *([parent] if parent else [])})


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
