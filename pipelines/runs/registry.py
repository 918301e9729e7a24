"""All questions about runs, and the changes a person makes to them. What a worker writes is in `handle.py`."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session

from pipelines.runs import states, trash
from pipelines.runs.disk import DiskUse, folder_bytes, free_bytes
from pipelines.runs.home import Home
from pipelines.runs.latencies import DEVICE, put_latencies
from pipelines.runs.lineage import check_present, dependents_of, model_name, needed_runs
from pipelines.runs.reading import artifact_of, evaluation_of, latency_of, metric_of, run_of, step_of
from pipelines.runs.records import (
    ArtifactRecord,
    Deleted,
    Dependent,
    EvaluationRecord,
    LatencyRecord,
    Metric,
    Run,
    StepRecord,
)
from pipelines.runs.tables import (
    ArtifactRow,
    EvaluationRow,
    LatencyRow,
    MetricRow,
    NeedRow,
    RunRow,
    SettingRow,
    StepRow,
)

DEFAULT_SLOT = "cpu"
MOST_LISTED = 1_000_000  # the database counts in 64 bits; nobody reads so many


def recipe_sha256(recipe: dict[str, Any]) -> str:
    """Returns the SHA-256 of a recipe, the same for every order of its keys."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def next_number(session: Session, counter: str) -> int:
    """Counts up a counter of the home. Numbers are never given out again, not even of deleted runs."""
    row = session.get(SettingRow, counter, with_for_update=True)
    number = 1 + (row.value["last"] if row else 0)
    session.merge(SettingRow(key=counter, value={"last": number}))
    return number


class Registry:
    """The runs of a home."""

    def __init__(self, home: Home) -> None:
        self.home = home

    # -- making and changing ---------------------------------------------------------------------------------------

    def create(
        self,
        recipe: dict[str, Any],
        *,
        name: str,
        seed: int,
        group: str | None = None,
        parent: str | None = None,
        queue: bool = True,
        slot: str = DEFAULT_SLOT,
        sha256: str | None = None,
    ) -> str:
        """Records a new run and returns its id (`r00042`, counted up, so ids sort by age).

        With `queue` a supervisor will start it; without, it waits to be run in the foreground or queued later.
        Raises ValueError when the parent, or a run that the recipe names (`run:ID`), is not here.
        """
        needed = needed_runs(recipe)
        data = recipe.get("data") or {}

        def insert(session: Session) -> str:
            check_present(session, needed | ({parent} if parent else set()))
            number = next_number(session, "last_run")
            run_id = f"r{number:05d}"
            session.add(
                RunRow(
                    id=run_id,
                    number=number,
                    name=name.strip() or run_id,
                    recipe=recipe,
                    recipe_sha256=sha256 or recipe_sha256(recipe),
                    data_source=data.get("source"),
                    model_name=model_name(recipe),
                    seed=seed,
                    group_name=group,
                    parent_id=parent,
                    created=time.time(),
                    state=states.QUEUED if queue else states.CREATED,
                    slot=slot,
                    position=next_number(session, "last_position"),
                )
            )
            session.flush()
            session.add_all(NeedRow(run_id=run_id, needed_id=other) for other in sorted(needed))
            return run_id

        return self.home.database.write(insert)

    def rename(self, run_id: str, name: str) -> None:
        """Gives a run another name. Raises ValueError for an empty name or an unknown run."""
        if not name.strip():
            raise ValueError("a run's name cannot be empty; give it at least one letter")
        statement = update(RunRow).where(RunRow.id == run_id).values(name=name.strip())
        if self.home.database.write(lambda session: session.execute(statement).rowcount) != 1:  # type: ignore[attr-defined]
            raise self._unknown(run_id)

    def clone(self, run_id: str, *, name: str | None = None, queue: bool = False) -> str:
        """Records a new run with the same recipe, seed and parent, and returns its id. It does not start by itself."""
        run = self.get(run_id)
        return self.create(
            run.recipe,
            name=name or f"{run.name} (copy)",
            seed=run.seed,
            group=run.group,
            parent=run.parent,
            queue=queue,
            slot=run.slot,
            sha256=run.recipe_sha256,
        )

    def dependents(self, run_id: str) -> Sequence[Dependent]:
        """Returns the runs that directly need this one: its children, and recipes that name it."""
        with self.home.database.read() as session:
            return dependents_of(session, run_id)

    def delete(self, run_id: str, *, with_dependents: bool = False) -> Deleted:
        """Moves a run to the trash; `restore` undoes it, `empty_trash` makes it final and gives the bytes back.

        Raises ValueError while it runs, or while others need it and `with_dependents` is not set.
        """
        return trash.put_in_trash(self.home, run_id, with_dependents=with_dependents)

    def restore(self, run_id: str) -> Sequence[str]:
        """Takes a run, and what it needs, out of the trash; returns the ids that came back."""
        return trash.take_from_trash(self.home, run_id)

    def empty_trash(self, *, older_than_s: float = 0.0) -> Deleted:
        """Deletes trashed runs for good, with the files that no other run holds."""
        return trash.empty(self.home, older_than_s=older_than_s)

    # -- asking ----------------------------------------------------------------------------------------------------

    def get(self, run_id: str) -> Run:
        """Returns a run, also one in the trash. Raises ValueError for an unknown id."""
        with self.home.database.read() as session:
            row = session.get(RunRow, run_id)
        if row is None:
            raise self._unknown(run_id)
        return run_of(row)

    def list(
        self,
        *,
        state: str | None = None,
        group: str | None = None,
        search: str | None = None,
        trashed: bool = False,
        limit: int = 50,
        offset: int = 0,
    ) -> Sequence[Run]:
        """Returns a page of runs, newest first. `search` looks into id, name, model and data source.

        Raises ValueError for an unknown state, or a page that cannot be.
        """
        for name, value, least in (("limit", limit, 1), ("offset", offset, 0)):
            if not least <= value <= MOST_LISTED:
                raise ValueError(f"{name} {value} cannot be used; give a whole number from {least} to {MOST_LISTED:,}")
        query = (
            select(RunRow)
            .where(*self._filters(state, group, search, trashed))
            .order_by(RunRow.number.desc())
            .limit(limit)
            .offset(offset)
        )
        with self.home.database.read() as session:
            return [run_of(row) for row in session.scalars(query)]

    def count(
        self, *, state: str | None = None, group: str | None = None, search: str | None = None, trashed: bool = False
    ) -> int:
        """Returns how many runs `list` would find without a limit."""
        query = select(func.count(RunRow.id)).where(*self._filters(state, group, search, trashed))
        with self.home.database.read() as session:
            return session.scalar(query) or 0

    def groups(self) -> dict[str, int]:
        """Returns the groups with their number of runs."""
        query = (
            select(RunRow.group_name, func.count(RunRow.id))
            .where(RunRow.group_name.is_not(None), RunRow.deleted.is_(None))
            .group_by(RunRow.group_name)
        )
        with self.home.database.read() as session:
            return {str(name): count for name, count in session.execute(query)}

    def steps(self, run_id: str) -> Sequence[StepRecord]:
        """Returns the steps that were started, in order."""
        query = select(StepRow).where(StepRow.run_id == run_id).order_by(StepRow.step_index)
        with self.home.database.read() as session:
            return [step_of(row) for row in session.scalars(query)]

    def finished_step(self, key: str) -> StepRecord | None:
        """Returns a finished step with this key whose model is still in the store, newest first."""
        query = (
            select(StepRow)
            .join(RunRow, RunRow.id == StepRow.run_id)
            .where(StepRow.key == key, StepRow.state == states.DONE, RunRow.deleted.is_(None))
            .order_by(RunRow.number.desc())
        )
        with self.home.database.read() as session:
            found = [step_of(row) for row in session.scalars(query)]
        usable = (step for step in found if step.model_sha256 is None or self.home.store.holds(step.model_sha256))
        return next(usable, None)

    def metrics(self, run_id: str, name: str | None = None, since: int = 0) -> Sequence[Metric]:
        """Returns points of the run's curves in the order they were written, those after id `since`."""
        query = select(MetricRow).where(MetricRow.run_id == run_id, MetricRow.id > since).order_by(MetricRow.id)
        if name is not None:
            query = query.where(MetricRow.name == name)
        with self.home.database.read() as session:
            return [metric_of(row) for row in session.scalars(query)]

    def artifacts(
        self, run_id: str | Sequence[str] | None = None, *, id: str | None = None
    ) -> Sequence[ArtifactRecord]:
        """Returns the artifacts of one run or several, or the one with this id (an id or the start of a SHA-256)."""
        query = select(ArtifactRow).order_by(ArtifactRow.run_id, ArtifactRow.step_index, ArtifactRow.format)
        if run_id is not None:
            query = query.where(ArtifactRow.run_id.in_([run_id] if isinstance(run_id, str) else run_id))
        if id is not None:
            starts = ArtifactRow.sha256.startswith(id, autoescape=True) if len(id) >= 8 else ArtifactRow.sha256 == id
            query = query.where(or_(ArtifactRow.id == id, starts))
        with self.home.database.read() as session:
            return [artifact_of(row) for row in session.scalars(query)]

    def evaluations(self, artifact_id: str | Sequence[str], *, split: str | None = None) -> Sequence[EvaluationRecord]:
        """Returns what was judged of one artifact or several, newest first."""
        ids = [artifact_id] if isinstance(artifact_id, str) else artifact_id
        query = select(EvaluationRow).where(EvaluationRow.artifact_id.in_(ids)).order_by(EvaluationRow.id.desc())
        if split is not None:
            query = query.where(EvaluationRow.split == split)
        with self.home.database.read() as session:
            return [evaluation_of(row) for row in session.scalars(query)]

    def latencies(self, artifact_id: str | Sequence[str], device: str | None = None) -> Sequence[LatencyRecord]:
        """Returns the latency reports of one artifact or several, newest first: measured here, or on a device."""
        ids = [artifact_id] if isinstance(artifact_id, str) else artifact_id
        elsewhere = LatencyRow.group_key.startswith(DEVICE, autoescape=True)
        wanted = ~elsewhere if device is None else LatencyRow.group_key == DEVICE + device
        query = select(LatencyRow).where(LatencyRow.artifact_id.in_(ids), wanted).order_by(LatencyRow.id.desc())
        with self.home.database.read() as session:
            return [latency_of(row) for row in session.scalars(query)]

    def devices(self, artifact_ids: Sequence[str]) -> Sequence[str]:
        """Returns the names of the devices on which any of these artifacts was timed."""
        query = select(LatencyRow.group_key).where(
            LatencyRow.artifact_id.in_(artifact_ids), LatencyRow.group_key.startswith(DEVICE, autoescape=True)
        )
        with self.home.database.read() as session:
            return sorted({group.removeprefix(DEVICE) for group in session.scalars(query)})

    def add_device_times(self, rows: Sequence[dict[str, Any]], shared: dict[str, Any], device: str) -> None:
        """Records one measurement of files (`rows`, each with `artifact`) that was made on a person's device."""
        self.home.database.write(lambda session: put_latencies(session, rows, shared, DEVICE + device))

    def log_path(self, run_id: str) -> Path:
        """Returns where the run's log lies (it may not exist yet)."""
        return self.home.log_path(run_id)

    def log(self, run_id: str, lines: int = 200) -> str:
        """Returns the last lines of the run's log, "" before it has one. Reads at most 256 kB."""
        try:
            with self.log_path(run_id).open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - (256 << 10)))
                text = file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def bytes_of(self, run_id: str) -> int:
        """Returns the bytes that deleting this run alone gives back: its own files, and what it keeps to go on."""
        with self.home.database.read() as session:
            return trash.freed_bytes(self.home, session, [run_id])

    def disk_use(self) -> DiskUse:
        """Returns the bytes this home takes, by kind."""
        home = self.home
        with home.database.read() as session:
            in_trash = trash.trash_bytes(session)
        database_files = home.folder.glob("litesmith.db*")
        return DiskUse(
            artifacts=folder_bytes(home.store.folder),
            checkpoints=folder_bytes(home.folder / "runs"),
            data_cache=folder_bytes(home.cache),
            logs=folder_bytes(home.logs),
            database=sum(file.stat().st_size for file in database_files if file.exists()),
            free=free_bytes(home.folder),
            trash=in_trash,
        )

    # -- within ----------------------------------------------------------------------------------------------------

    def _filters(
        self, state: str | None, group: str | None, search: str | None, trashed: bool
    ) -> Sequence[ColumnElement[bool]]:
        if state is not None and state not in states.STATES:
            raise ValueError(f"state {state!r} does not exist; choose one of {', '.join(states.STATES)}")
        filters: list[ColumnElement[bool]] = [RunRow.deleted.is_not(None) if trashed else RunRow.deleted.is_(None)]
        if state is not None:
            filters.append(RunRow.state == state)
        if group is not None:
            filters.append(RunRow.group_name == group)
        for word in (search or "").split():
            columns = (RunRow.id, RunRow.name, RunRow.model_name, RunRow.data_source)
            filters.append(or_(*(column.icontains(word, autoescape=True) for column in columns)))
        return filters

    def _unknown(self, run_id: str) -> ValueError:
        return ValueError(f"run {run_id!r} is not in {self.home.folder}; `python -m pipelines runs` lists what is")
