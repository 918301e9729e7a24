"""Deleting in two steps: into the trash, which can be undone, and out of it, which gives the room back."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session, aliased

from pipelines.runs import states
from pipelines.runs.disk import folder_bytes
from pipelines.runs.home import Home
from pipelines.runs.lineage import dependents_of, needed_by
from pipelines.runs.locks import locked
from pipelines.runs.records import Deleted
from pipelines.runs.tables import FileRow, NeedRow, RunRow

# A file of the store that no run names may be one that a step is about to name.
ORPHAN_AGE_S = 3600.0


def put_in_trash(home: Home, run_id: str, *, with_dependents: bool) -> Deleted:
    """Moves a run to the trash, on request with all that depends on it.

    Raises ValueError for an unknown or running run, or when others depend on it and `with_dependents` is not set.
    """

    def move(session: Session) -> list[str]:
        ids = [run_id]
        for id in ids:  # grows while it is walked: dependents of dependents
            row = session.get(RunRow, id)
            if row is None or row.deleted is not None:
                raise ValueError(f"run {id} is not in this home")
            if row.state == states.RUNNING:
                raise ValueError(f"run {id} is running; cancel it first: `python -m pipelines cancel {id}`")
            needing = dependents_of(session, id)
            if needing and not with_dependents:
                names = ", ".join(f"{other.id} ({other.because})" for other in needing)
                raise ValueError(f"run {id} is needed by {names}; delete those too (with dependents), or first")
            ids.extend(other.id for other in needing if other.id not in ids)
        values = {"deleted": time.time()}
        session.execute(update(RunRow).where(RunRow.id.in_(ids)).values(values))
        # A queued run in the trash would otherwise start.
        waiting = (RunRow.id.in_(ids), RunRow.state == states.QUEUED)
        session.execute(update(RunRow).where(*waiting).values(state=states.CANCELLED, finished=time.time()))
        return ids

    ids = home.database.write(move)
    with home.database.read() as session:
        return Deleted(tuple(ids), freed_bytes(home, session, ids))


def take_from_trash(home: Home, run_id: str) -> tuple[str, ...]:
    """Undoes `put_in_trash` for a run and for the trashed runs it needs; returns the ids that came back."""

    def move(session: Session) -> tuple[str, ...]:
        row = session.get(RunRow, run_id)
        if row is None or row.deleted is None:
            raise ValueError(f"run {run_id} is not in the trash")
        ids = [run_id]
        for id in ids:
            for needed in needed_by(session, id):
                other = session.get(RunRow, needed)
                if other is not None and other.deleted is not None and needed not in ids:
                    ids.append(needed)
        session.execute(update(RunRow).where(RunRow.id.in_(ids)).values(deleted=None))
        return tuple(ids)

    return home.database.write(move)


def empty(home: Home, *, older_than_s: float = 0.0) -> Deleted:
    """Deletes for good what has been in the trash for `older_than_s`, with every file that nobody else holds."""

    def remove(session: Session) -> tuple[list[str], dict[str, int]]:
        before = time.time() - older_than_s
        # Newest first: whoever needs a run was made after it, so references go before their target.
        in_trash = select(RunRow.id).where(RunRow.deleted <= before).order_by(RunRow.number.desc())
        ids: list[str] = []
        for id in session.scalars(in_trash).all():
            needing = session.scalars(
                select(RunRow.id)
                .outerjoin(NeedRow, NeedRow.run_id == RunRow.id)
                .where((RunRow.parent_id == id) | (NeedRow.needed_id == id))
            )
            if set(needing) <= set(ids):  # else something younger in the trash still points here
                ids.append(id)
        freed = _freed(session, ids)
        for id in ids:
            session.execute(delete(RunRow).where(RunRow.id == id))
        return ids, freed

    # Exclusive against `RunHandle.keep_file`: between storing a file and naming it, it looks unused.
    with locked(home.locks / "store.lock"):
        ids, freed = home.database.write(remove)
        bytes_freed = _scratch_bytes(home, ids)
        for sha256 in freed:
            bytes_freed += home.store.delete(sha256)
        bytes_freed += _sweep(home)
    for id in ids:
        shutil.rmtree(home.scratch(id), ignore_errors=True)
        home.log_path(id).unlink(missing_ok=True)
    return Deleted(tuple(ids), bytes_freed)


def freed_bytes(home: Home, session: Session, ids: Iterable[str]) -> int:
    """Returns the bytes that deleting these runs gives back: files only they hold, each once, and their scratch."""
    return sum(_freed(session, ids).values()) + _scratch_bytes(home, ids)


def trash_bytes(session: Session) -> int:
    """Returns the bytes in the store that emptying the trash would give back."""
    ids = session.scalars(select(RunRow.id).where(RunRow.deleted.is_not(None))).all()
    return sum(_freed(session, ids).values())


def _freed(session: Session, ids: Iterable[str]) -> dict[str, int]:
    """Returns the files (SHA-256 -> bytes) that only these runs hold."""
    ids = list(ids)
    others = aliased(FileRow)
    held_elsewhere = select(others.sha256).where(others.sha256 == FileRow.sha256, others.run_id.not_in(ids)).exists()
    query = (
        select(FileRow.sha256, func.max(FileRow.bytes))
        .where(FileRow.run_id.in_(ids), ~held_elsewhere)
        .group_by(FileRow.sha256)
    )
    return dict(session.execute(query).all())


def _sweep(home: Home) -> int:
    """Removes files of the store that no run names, left by a crash between storing and naming."""
    with home.database.read() as session:
        named = set(session.scalars(select(FileRow.sha256).distinct()))
    before = time.time() - ORPHAN_AGE_S
    orphans = [sha for sha in home.store if sha not in named and home.store.path_of(sha).stat().st_mtime < before]
    return sum(home.store.delete(sha) for sha in orphans)


def _scratch_bytes(home: Home, ids: Iterable[str]) -> int:
    return sum(folder_bytes(home.scratch(id)) for id in ids)
