"""The tables. Their twin is `migrations/`; a test proves that both give the same database.

Times are seconds since 1970, sizes are bytes. Only `pipelines/runs` and `pipelines/jobs` read these classes; everybody
else sees the plain values of `records.py`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, MetaData, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# Named constraints can be changed by a later migration, unnamed ones cannot.
NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ix": "ix_%(table_name)s_%(column_0_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar = {dict[str, Any]: JSON, list[Any]: JSON, float: Float(53)}


class RunRow(Base):
    """One execution of a recipe, and the job that executes it."""

    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(unique=True)
    name: Mapped[str]
    recipe: Mapped[dict[str, Any]]
    recipe_sha256: Mapped[str]
    data_source: Mapped[str | None]  # copied out of the recipe, to find comparable runs
    model_name: Mapped[str | None]
    seed: Mapped[int] = mapped_column(BigInteger)
    group_name: Mapped[str | None]
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("runs.id"))
    environment: Mapped[dict[str, Any] | None]
    created: Mapped[float]
    deleted: Mapped[float | None]  # in the trash since

    state: Mapped[str]
    slot: Mapped[str]
    position: Mapped[int]
    started: Mapped[float | None]
    finished: Mapped[float | None]
    attempt: Mapped[int] = mapped_column(default=0)
    deaths: Mapped[int] = mapped_column(default=0)  # workers lost since a person last asked for this run
    cancel_asked: Mapped[float | None]
    progress: Mapped[dict[str, Any] | None]
    error: Mapped[str | None]
    error_kind: Mapped[str | None]

    worker_host: Mapped[str | None]
    worker_pid: Mapped[int | None]
    worker_created: Mapped[float | None]
    foreground: Mapped[bool] = mapped_column(default=False)  # the worker is somebody's terminal: never signal it
    heartbeat: Mapped[float | None]
    lease: Mapped[float | None]

    __table_args__ = (
        Index("ix_runs_queue", "state", "slot", "position"),
        Index("ix_runs_state_number", "state", "number"),
        Index("ix_runs_group_number", "group_name", "number"),
        Index("ix_runs_parent", "parent_id"),
        Index("ix_runs_comparable", "model_name", "data_source"),
        # Partial: with every run in it, SQLite would take it for the list of living runs and then sort them all.
        Index(
            "ix_runs_deleted",
            "deleted",
            sqlite_where=text("deleted IS NOT NULL"),
            postgresql_where=text("deleted IS NOT NULL"),
        ),
        # One at a time per slot is a promise of the database, not of whoever asks it.
        Index(
            "uq_runs_running_slot",
            "slot",
            unique=True,
            sqlite_where=text("state = 'running'"),
            postgresql_where=text("state = 'running'"),
        ),
    )


class NeedRow(Base):
    """A recipe of one run names another run, for instance as its teacher (`run:ID`)."""

    __tablename__ = "needs"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    needed_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    __table_args__ = (Index("ix_needs_needed", "needed_id"),)


class StepRow(Base):
    """One step of a run."""

    __tablename__ = "steps"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    step_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    settings: Mapped[dict[str, Any]]
    key: Mapped[str | None]  # what the result depends on, hashed
    state: Mapped[str]
    metrics: Mapped[dict[str, Any]]
    report: Mapped[dict[str, Any]]
    model_sha256: Mapped[str | None]
    seconds: Mapped[float]  # over all attempts
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)  # peak of the worker and its children
    attempt: Mapped[int]
    __table_args__ = (Index("ix_steps_key", "key"),)


class MetricRow(Base):
    """One point of a curve. A resumed step writes the same points again, so a point exists once."""

    __tablename__ = "metrics"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    step_index: Mapped[int]
    name: Mapped[str]
    x: Mapped[float]
    value: Mapped[float | None]  # SQLite keeps not-a-number as NULL
    attempt: Mapped[int]
    __table_args__ = (
        UniqueConstraint("run_id", "step_index", "name", "x", name="uq_metrics_point"),
        Index("ix_metrics_run", "run_id", "id"),
        {"sqlite_autoincrement": True},  # ids only grow, so a reader can ask for "what came since"
    )


class SettingRow(Base):
    """Small facts about the home: counters and notes."""

    __tablename__ = "settings"
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[dict[str, Any]]


class FileRow(Base):
    """A run holds a file of the store. A file that no row names can go."""

    __tablename__ = "run_files"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    __table_args__ = (Index("ix_run_files_sha256", "sha256"),)


class ArtifactRow(Base):
    """A file meant for a device, with its gate and contract; at most one per run, step and format."""

    __tablename__ = "artifacts"
    id: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    step_index: Mapped[int]
    format: Mapped[str]
    name: Mapped[str]
    sha256: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    gzip_bytes: Mapped[int | None] = mapped_column(BigInteger)
    gate: Mapped[dict[str, Any] | None]
    passed: Mapped[bool | None]
    contract: Mapped[dict[str, Any] | None]
    files: Mapped[dict[str, Any]]
    notes: Mapped[list[Any]]
    created: Mapped[float]
    attempt: Mapped[int]
    __table_args__ = (
        UniqueConstraint("run_id", "step_index", "format", name="uq_artifacts_format"),
        Index("ix_artifacts_sha256", "sha256"),
    )


class EvaluationRow(Base):
    """Accuracy of a file on one split of one data set."""

    __tablename__ = "evaluations"
    id: Mapped[int] = mapped_column(primary_key=True)
    artifact_id: Mapped[str] = mapped_column(ForeignKey("artifacts.id", ondelete="CASCADE"))
    dataset_sha256: Mapped[str]
    split: Mapped[str]
    kernels: Mapped[str]
    n: Mapped[int]
    correct: Mapped[int]
    top1: Mapped[float]
    low: Mapped[float]
    high: Mapped[float]
    details: Mapped[dict[str, Any]]
    predictions_sha256: Mapped[str | None]
    created: Mapped[float]
    __table_args__ = (
        UniqueConstraint("artifact_id", "dataset_sha256", "split", "kernels", name="uq_evaluations_subject"),
    )


class LatencyRow(Base):
    """Latency of a file; files of one group were measured interleaved and can be compared."""

    __tablename__ = "latencies"
    id: Mapped[int] = mapped_column(primary_key=True)
    artifact_id: Mapped[str] = mapped_column(ForeignKey("artifacts.id", ondelete="CASCADE"))
    group_key: Mapped[str]
    report: Mapped[dict[str, Any]]
    created: Mapped[float]
    __table_args__ = (
        UniqueConstraint("artifact_id", "group_key", name="uq_latencies_group"),
        Index("ix_latencies_group", "group_key"),
    )
