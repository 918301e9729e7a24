"""Runs: what was done, with which result, and where the files are. The database is the truth."""

from __future__ import annotations

from pipelines.runs.attempt import Cancelled, LostAttempt
from pipelines.runs.disk import DiskFull, DiskUse
from pipelines.runs.handle import RunHandle
from pipelines.runs.home import Home
from pipelines.runs.lineage import own_file
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
from pipelines.runs.registry import Registry, recipe_sha256
from pipelines.runs.store import ArtifactStore

__all__ = [
    "ArtifactRecord",
    "ArtifactStore",
    "Cancelled",
    "Deleted",
    "Dependent",
    "DiskFull",
    "DiskUse",
    "EvaluationRecord",
    "Home",
    "LatencyRecord",
    "LostAttempt",
    "Metric",
    "Registry",
    "Run",
    "RunHandle",
    "StepRecord",
    "own_file",
    "recipe_sha256",
]
