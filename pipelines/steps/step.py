"""What a step is: it takes the state of a run (model, files so far) and gives the next one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.data import Dataset
from pipelines.settings import Settings
from pipelines.training.watch import Watch


@dataclass(frozen=True)
class State:
    """The model between two steps. `model_path` is its file, written when the step ended.

    `weights` says which published weights a fresh model was given.
    """

    model: Any
    int8_aware: bool = False
    trained: bool = False
    model_path: Path | None = None
    model_sha256: str | None = None
    made_by: str = "fresh"
    weights: dict[str, Any] | None = None


@dataclass(frozen=True)
class Artifact:
    """A file of this run that passed its gate, with what measuring needs to know of it."""

    id: str
    format: str
    path: Path
    contract: Any
    model_sha256: str
    label: str


def recorded(written: Any, report: Any) -> dict[str, Any]:
    """What goes on record of a file (`exports.Artifact`) and of its gate's report."""
    return {
        "format": written.format,
        "name": written.path.name,
        "gzip_bytes": written.gzip_bytes,
        "sha256": written.sha256,
        "gate": report.as_dict(),
        "passed": report.passed,
        "contract": written.contract.as_dict(),
        "notes": list(written.notes),
        "files": {"model" if role == "artifact" else role: path for role, path in written.files.items()},
    }


def brief(artifact_id: str, record: dict[str, Any], size: int) -> dict[str, Any]:
    """The line of a recorded file, of `size` bytes, in the step's own report."""
    named = {key: record[key] for key in ("format", "name", "gzip_bytes", "sha256", "passed")}
    return {"id": artifact_id, "bytes": size, **named}


@dataclass(frozen=True)
class Surroundings:
    """What a step may use besides the state."""

    data: Dataset
    seed: int
    watch: Watch
    handle: Any
    step_index: int
    load_run: Callable[[str], Any]
    load_model: Callable[[str], Any]
    artifacts: list[Artifact]
    model_history: list[tuple[str, str]]  # (made by, model sha256) of the steps so far, first trained model first


@dataclass(frozen=True)
class Result:
    """What a step gives back: the next state and what it reports."""

    state: State
    report: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """One step of the catalogue. `methods` is the kind of methods it chooses from, None when it has only one way.

    `rehearse` raises ValueError when the step could not do its work on a model of this structure; it trains nothing.
    """

    name: str
    title: str
    summary: str
    settings: type[Settings] | None
    methods: str | None
    run: Callable[[State, Any, Surroundings], Result]
    rehearse: Callable[[State, Any, Surroundings], None] | None = None
