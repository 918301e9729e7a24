"""What callers see of a run: plain, frozen values. Times are seconds since 1970, sizes bytes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pipelines.runs import states


@dataclass(frozen=True)
class Run:
    """One execution of a recipe."""

    id: str
    number: int
    name: str
    recipe: dict[str, Any]
    recipe_sha256: str
    data_source: str | None
    model_name: str | None
    seed: int
    group: str | None
    parent: str | None
    state: str
    slot: str
    position: int
    attempt: int
    deaths: int
    created: float
    started: float | None
    finished: float | None
    deleted: float | None
    cancel_asked: float | None
    progress: dict[str, Any] | None
    error: str | None
    error_kind: str | None
    environment: dict[str, Any] | None
    worker_host: str | None
    worker_pid: int | None
    worker_created: float | None
    foreground: bool
    heartbeat: float | None
    lease: float | None

    @property
    def is_final(self) -> bool:
        return self.state in states.FINAL

    @property
    def is_resumable(self) -> bool:
        return self.state in states.RESUMABLE

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class StepRecord:
    """One step of a run; `seconds` counts the work of all attempts."""

    run: str
    index: int
    name: str
    state: str
    settings: dict[str, Any]
    key: str | None
    metrics: dict[str, Any]
    report: dict[str, Any]
    model_sha256: str | None
    seconds: float
    memory_bytes: int | None
    attempt: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Metric:
    """One point of a curve. `id` grows with every write: ask for what came since the largest one you have."""

    id: int
    step: int
    name: str
    x: float
    value: float


@dataclass(frozen=True)
class ArtifactRecord:
    """A file for a device. `files` maps role to SHA-256 in the store; the role "model" is the file itself."""

    id: str
    run: str
    step: int
    format: str
    name: str
    sha256: str
    bytes: int
    gzip_bytes: int | None
    gate: dict[str, Any] | None
    passed: bool | None
    contract: dict[str, Any] | None
    files: dict[str, str]
    notes: list[str]
    created: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class EvaluationRecord:
    """Accuracy of a file; `low` and `high` bound `top1`. The predictions lie in the store as .npy."""

    artifact: str
    dataset_sha256: str
    split: str
    kernels: str
    n: int
    correct: int
    top1: float
    low: float
    high: float
    details: dict[str, Any]
    predictions_sha256: str | None
    created: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class LatencyRecord:
    """Latency of a file; only records of the same group were measured side by side."""

    artifact: str
    group: str
    report: dict[str, Any]
    created: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Dependent:
    """A run that would miss another one: it started from its model (`parent`) or names it in its recipe (`recipe`)."""

    id: str
    name: str
    because: str


@dataclass(frozen=True)
class Deleted:
    """Runs that went, and the bytes that this gives back (once the trash is emptied)."""

    ids: tuple[str, ...] = ()
    bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {"ids": list(self.ids), "bytes": self.bytes}
