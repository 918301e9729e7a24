"""What a worker holds: the only way to write results of a run. Every write is conditional on its attempt."""

from __future__ import annotations

import io
import logging
import resource
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from pipelines.runs import states
from pipelines.runs.attempt import Attempt, StepClock
from pipelines.runs.home import Home
from pipelines.runs.latencies import put_latencies
from pipelines.runs.locks import locked
from pipelines.runs.reading import step_of
from pipelines.runs.records import StepRecord
from pipelines.runs.registry import Registry
from pipelines.runs.tables import ArtifactRow, EvaluationRow, FileRow, MetricRow, RunRow, StepRow

log = logging.getLogger(__name__)

PROGRESS_EVERY_S = 0.25


class RunHandle(Attempt):
    """One attempt at a run, as a worker uses it."""

    def __init__(self, home: Home, run_id: str, attempt: int) -> None:
        super().__init__(home, run_id, attempt)
        self.registry = Registry(home)
        run = self.registry.get(run_id)
        self.recipe = run.recipe
        self.seed = run.seed
        self._progress_written = 0.0
        self._progress_subject: tuple[int, str] | None = None

    @property
    def folder(self) -> Path:
        """A folder that survives attempts: checkpoints. It is removed when the run is done."""
        folder = self.home.scratch(self.id)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def set_environment(self, environment: Mapping[str, Any]) -> None:
        """Records what the run is made with, on top of what the worker already said about the machine."""

        def write(session: Session) -> None:
            row = session.get_one(RunRow, self.id)
            row.environment = {**(row.environment or {}), **environment}

        self._write(write)

    # -- steps -----------------------------------------------------------------------------------------------------

    def step_started(self, index: int, name: str, settings: Mapping[str, Any], key: str | None = None) -> None:
        """Records that a step begins, or goes on after an earlier attempt."""

        def start(session: Session) -> float:
            row = session.get(StepRow, (self.id, index))
            if row is None:
                row = StepRow(run_id=self.id, step_index=index, metrics={}, report={}, seconds=0.0)
                session.add(row)
            row.name, row.settings, row.key = name, dict(settings), key
            row.state, row.attempt = states.RUNNING, self.attempt
            return row.seconds

        self._clock = StepClock(index, self._write(start))
        self.log(f"step {index + 1} ({name}) begins")

    def step_finished(
        self,
        index: int,
        metrics: Mapping[str, Any],
        model_sha256: str | None = None,
        report: Mapping[str, Any] | None = None,
    ) -> None:
        """Records a step's result. Raises FileNotFoundError when its model is not in the store."""

        def finish(session: Session) -> None:
            row = session.get_one(StepRow, (self.id, index))
            row.metrics, row.report = dict(metrics), dict(report or {})
            row.model_sha256, row.state, row.attempt = model_sha256, states.DONE, self.attempt
            row.memory_bytes = peak_memory_bytes()
            if model_sha256 is not None:
                session.merge(self._file_row(model_sha256, "model"))

        with locked(self.home.locks / "store.lock", shared=True):
            if model_sha256 is not None:
                self.home.store.path_of(model_sha256)
            self._write(finish)
        self._clock = None
        self.log(f"step {index + 1} done")

    def finished_steps(self) -> list[StepRecord]:
        """Returns the steps that are done, in order; a resumed run goes on after them."""
        query = (
            select(StepRow).where(StepRow.run_id == self.id, StepRow.state == states.DONE).order_by(StepRow.step_index)
        )
        with self.home.database.read() as session:
            return [step_of(row) for row in session.scalars(query)]

    # -- while a step works ----------------------------------------------------------------------------------------

    def metrics(self, step_index: int, rows: Iterable[tuple[str, float, float]]) -> None:
        """Writes points `(name, x, value)` in one transaction. The same point again replaces the earlier one."""
        points = {(name, float(x)): float(value) for name, x, value in rows}
        if not points:
            return
        place = {"run_id": self.id, "step_index": step_index}
        old = [{"at_name": name, "at_x": x} for name, x in points]
        new = [
            {**place, "name": name, "x": x, "value": value, "attempt": self.attempt}
            for (name, x), value in points.items()
        ]
        replaced = delete(MetricRow).where(
            MetricRow.run_id == self.id,
            MetricRow.step_index == step_index,
            MetricRow.name == bindparam("at_name"),
            MetricRow.x == bindparam("at_x"),
        )

        def write(session: Session) -> None:
            # Deleted and inserted, not updated: a reader that asks "what came since" must see the new value.
            session.connection().execute(replaced, old)
            session.connection().execute(insert(MetricRow), new)

        self._write(write)

    def progress(
        self, step_index: int, done: float, total: float, message: str = "", seconds_left: float | None = None
    ) -> None:
        """Shows how far a step is. Cheap to call often: what comes within a quarter second is left out."""
        subject = (step_index, message)
        soon = time.monotonic() - self._progress_written < PROGRESS_EVERY_S
        if soon and subject == self._progress_subject and done < total:
            return
        value = {
            "step": step_index,
            "done": done,
            "total": total,
            "message": message,
            "seconds_left": seconds_left,
            "at": time.time(),
        }
        self._write(lambda session: session.execute(update(RunRow).where(RunRow.id == self.id).values(progress=value)))
        self._progress_written, self._progress_subject = time.monotonic(), subject

    def log(self, message: str) -> None:
        """Adds a line to the run's log."""
        log.info("%s", message)

    # -- results ---------------------------------------------------------------------------------------------------

    def keep_file(self, path: Path | str, kind: str = "model") -> str:
        """Copies a file into the store in this run's name and returns its SHA-256. Raises DiskFull."""
        with locked(self.home.locks / "store.lock", shared=True):
            sha256 = self.home.store.put_file(path)
            self._write(lambda session: session.merge(self._file_row(sha256, kind)))
        return sha256

    def add_artifact(self, step_index: int, artifact: Mapping[str, Any]) -> str:
        """Stores an artifact's files and records it; returns its id, `RUN-STEP-FORMAT`.

        Wants `format` and `files` (role -> path; "model" is the file itself), takes `name`, `gzip_bytes`, `gate`,
        `passed`, `contract`, `notes`, and `sha256`, which must then be the file's own. The same step and format again
        replaces the earlier artifact, and what was measured on it unless the file is the same to the byte.
        """
        given = dict(artifact)
        format_id, paths = given.pop("format"), dict(given.pop("files"))
        model_path = Path(paths["model"])
        artifact_id = f"{self.id}-{step_index}-{format_id}"
        promised = given.pop("sha256", None)
        given.pop("bytes", None)  # counted here
        known = {"name", "gzip_bytes", "gate", "passed", "contract", "notes"}
        if unknown := set(given) - known:
            raise TypeError(f"an artifact has no {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")

        with locked(self.home.locks / "store.lock", shared=True):
            files = {role: self.home.store.put_file(path) for role, path in paths.items()}
            if promised not in (None, files["model"]):
                raise RuntimeError(f"{model_path.name} has SHA-256 {files['model']}, not {promised}: has it changed?")
            values = {
                "run_id": self.id,
                "step_index": step_index,
                "format": format_id,
                "name": given.get("name") or model_path.stem,
                "sha256": files["model"],
                "bytes": self.home.store.size(files["model"]),
                "gzip_bytes": given.get("gzip_bytes"),
                "gate": given.get("gate"),
                "passed": given.get("passed"),
                "contract": given.get("contract"),
                "files": files,
                "notes": list(given.get("notes") or []),
                "created": time.time(),
                "attempt": self.attempt,
            }

            def record(session: Session) -> None:
                earlier = session.get(ArtifactRow, artifact_id)
                if earlier is not None and earlier.sha256 != values["sha256"]:
                    session.delete(earlier)
                    session.flush()
                session.merge(ArtifactRow(id=artifact_id, **values))
                for sha256 in set(files.values()):
                    session.merge(self._file_row(sha256, "artifact"))

            self._write(record)
        return artifact_id

    def add_evaluation(self, artifact_id: str, evaluation: Mapping[str, Any]) -> None:
        """Records accuracy of an artifact's file; the same data set, split and kernels again replaces it.

        Wants `dataset_sha256`, `split`, `kernels`, `n`, `correct`, `top1`, `low`, `high`; `predictions` (one class per
        image) goes to the store as .npy; everything else is kept as details.
        """
        given = dict(evaluation)
        predictions = given.pop("predictions", None)
        subject = {name: given.pop(name) for name in ("dataset_sha256", "split", "kernels")}
        numbers = {name: given.pop(name) for name in ("n", "correct", "top1", "low", "high")}
        details = {**given.pop("details", {}), **given}

        with locked(self.home.locks / "store.lock", shared=True):
            stored = None if predictions is None else self.home.store.put_bytes(_npy(predictions), "predictions.npy")

            def record(session: Session) -> None:
                same = [EvaluationRow.artifact_id == artifact_id]
                same += [getattr(EvaluationRow, name) == value for name, value in subject.items()]
                session.execute(delete(EvaluationRow).where(*same))
                row = {**subject, **numbers, "details": details, "predictions_sha256": stored, "created": time.time()}
                session.add(EvaluationRow(artifact_id=artifact_id, **row))
                if stored is not None:
                    session.merge(self._file_row(stored, "predictions"))

            self._write(record)

    def add_latency(self, report: Mapping[str, Any]) -> None:
        """Records one interleaved measurement: `rows` (each with `artifact`, its id), the rest is shared by all rows.

        `group` names the measurement (default: this run); the same artifact and group again replaces the earlier.
        """
        given = dict(report)
        rows: Sequence[Mapping[str, Any]] = given.pop("rows")
        group = given.pop("group", None) or self.id
        self._write(lambda session: put_latencies(session, rows, given, group))

    # -- within ----------------------------------------------------------------------------------------------------

    def _file_row(self, sha256: str, kind: str) -> FileRow:
        return FileRow(run_id=self.id, sha256=sha256, kind=kind, bytes=self.home.store.size(sha256))


def peak_memory_bytes() -> int:
    """Returns the largest resident size so far of this process plus that of its largest child."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return (own + child) * 1024  # Linux counts in KiB


def _npy(values: Any) -> bytes:
    import numpy

    buffer = io.BytesIO()
    numpy.save(buffer, numpy.asarray(values), allow_pickle=False)
    return buffer.getvalue()
