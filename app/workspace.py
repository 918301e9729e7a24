"""The home folder behind the pages, opened once per server, and the one door to the queue."""

from __future__ import annotations

import os
from typing import Any

import streamlit as st

from pipelines.jobs import LocalExecutor, SupervisorLate, ensure_supervisor
from pipelines.recipes import Recipe
from pipelines.runs import ArtifactRecord, Home, Registry, Run
from pipelines.start import record


@st.cache_resource(show_spinner=False)
def _opened(folder: str | None, database: str | None) -> Registry:
    return Registry(Home.open(folder))


def registry() -> Registry:
    """The runs of this person's home."""
    return _opened(os.environ.get("LITESMITH_HOME"), os.environ.get("LITESMITH_DATABASE"))


def start_supervisor() -> None:
    """Sees to it that somebody works the queue; does nothing when somebody already does, and says when nobody comes."""
    try:
        ensure_supervisor(registry().home)
    except SupervisorLate as late:
        st.warning(f"{late}. What waits in the queue stays there.", icon=":material/hourglass_top:")


def submit(recipe: Recipe) -> list[str]:
    """Queues the runs of a recipe, one per combination of its grid, and returns their ids."""
    started = record(registry(), recipe, queue=True)
    start_supervisor()
    return list(started.runs)


def queue_again(run_id: str) -> None:
    """Queues a recorded run, unless it waits or runs already, and says when nobody works the queue yet."""
    late = LocalExecutor(registry().home).submit_all([run_id])
    if late:
        st.warning(late, icon=":material/hourglass_top:")


def run_named(run_id: str | None) -> Run | None:
    """The run with this id, None when there is none (a link may be older than the run)."""
    if not run_id:
        return None
    try:
        return registry().get(run_id)
    except ValueError:
        return None


def passed_files(run_ids: list[str]) -> list[ArtifactRecord]:
    """Files of these runs that passed their gate and can be run here."""
    from exports import FORMATS

    return [
        item
        for item in (registry().artifacts(run_ids) if run_ids else [])
        if item.passed and FORMATS[item.format].family in ("tflite", "onnx")
    ]


def short(run: Run) -> str:
    """A run in a picker: name, id, state."""
    return f"{run.name}  ·  {run.id}"


def file_name(item: ArtifactRecord) -> str:
    """What a downloaded file is called: r00004_tflite_int8.tflite. Its contract has the same stem."""
    from exports import FORMATS

    return f"{item.run}_{item.format}{FORMATS[item.format].suffix}"


def read_role(item: ArtifactRecord, role: str = "model") -> bytes:
    """The bytes of one file of an artifact."""
    return registry().home.store.path_of(item.files[role]).read_bytes()


def details(values: dict[str, Any] | None, *path: str) -> Any:
    """Follows keys into a stored report; None when a part is missing."""
    for key in path:
        if not isinstance(values, dict):
            return None
        values = values.get(key)
    return values
