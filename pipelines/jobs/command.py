"""The commands that start our processes: the one place that knows them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pipelines.runs.home import Home

# The folder that holds the package `pipelines`; `python -m pipelines` works from there.
PROJECT = Path(__file__).resolve().parents[2]
# Marks a worker and all its children, so that what a killed worker leaves behind can be found.
RUN_VARIABLE = "LITESMITH_RUN"


def worker_command(run_id: str, attempt: int) -> list[str]:
    """Starts one attempt at a run."""
    return [sys.executable, "-m", "pipelines", "work", run_id, "--attempt", str(attempt)]


def supervisor_command() -> list[str]:
    """Starts the supervisor."""
    return [sys.executable, "-m", "pipelines", "supervise"]


def environment_for(home: Home, run_id: str | None = None) -> dict[str, str]:
    """Returns the environment in which our processes find the home and, for workers, say whose they are."""
    environment = {**os.environ, "LITESMITH_HOME": str(home.folder), "PYTHONUNBUFFERED": "1"}
    environment.pop(RUN_VARIABLE, None)
    if run_id is not None:
        environment[RUN_VARIABLE] = run_id
    return environment
