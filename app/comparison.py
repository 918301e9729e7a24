"""Rows of the comparison as the pages want them: kept while nothing changed, put into words, searched under a cap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import words
from pipelines.compare import rows
from pipelines.lineage import in_words
from pipelines.runs import Registry, Run

MOST_RUNS = 200


def finished_runs(registry: Registry) -> dict[str, Run]:
    """Finished runs that wrote a file, newest first."""
    done = registry.list(state="done", limit=MOST_RUNS)
    with_files = {item.run for item in registry.artifacts([run.id for run in done])} if done else set()
    return {run.id: run for run in done if run.id in with_files}


def devices(registry: Registry, ids: list[str]) -> Sequence[str]:
    """The devices whose times were brought back for files of these runs."""
    return registry.devices([item.id for item in registry.artifacts(ids)])


def compared(
    registry: Registry, ids: list[str], baseline: str | None, device: str | None = None
) -> list[dict[str, Any]]:
    """The rows of these runs; worked out again only when a run, baseline or device changed. Raises ValueError."""
    runs = [registry.get(one) for one in ids]
    files = {item.id for item in registry.artifacts(ids)}
    stamp: tuple[Any, ...] = tuple((run.id, run.name, run.attempt, run.finished) for run in runs)
    if device is not None:
        stamp += tuple((one.artifact, one.created) for one in registry.latencies(list(files), device))
    base = baseline if baseline in files else None
    return _rows(registry, str(registry.home.folder), stamp, tuple(ids), base, device)


@st.cache_data(max_entries=64, show_spinner="Comparing")
def _rows(
    _registry: Registry, home: str, stamp: tuple[Any, ...], ids: tuple[str, ...], baseline: str | None,
    device: str | None,
) -> list[dict[str, Any]]:
    found = rows(_registry, list(ids), baseline, device)
    if len({row["run"] for row in found}) == 1:
        for row in found:  # the run's name on every line says nothing
            row["label"] = row["label"].removeprefix(f"{row['run_name']} · ")
    return found


def plain_table(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in words: one line per file."""
    table = []
    for row in found:
        base = bool(row.get("baseline"))
        table.append(
            {
                "file": row["label"],
                "top-1 on test images": words.accuracy(row["top1"], row["low"], row["high"]),
                "difference": "baseline"
                if base
                else words.points(row.get("diff"), row.get("diff_low"), row.get("diff_high")),
                "size": words.size(row["bytes"]),
                "time": words.milliseconds(row["latency_ms"]),
                "time ratio": "baseline"
                if base
                else words.times(row.get("ratio"), row.get("ratio_low"), row.get("ratio_high"), row.get("stable")),
                "gzip": words.size(row["gzip_bytes"]),
                "gate": "passed" if row["passed"] else "REFUSED",
                "note": "; ".join(notes(row)),
            }
        )
    return table


def origins(found: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The steps that made a model, in a line -> the files that were written of it."""
    made: dict[str, list[str]] = {}
    for row in found:
        made.setdefault(in_words(row["lineage"]), []).append(row["label"])
    return made


def controls_table(found: list[dict[str, Any]]) -> list[dict[str, str]]:
    """One line per compressing step in these files' lineage that has controls, with validation accuracies."""
    table: dict[tuple[str, int], dict[str, str]] = {}
    for step in (step for row in found for step in row["lineage"] if step.get("controls")):
        controls = step["controls"]
        table[step["run"], step["step"]] = {
            "step": f"{step['title']} ({step['run']})",
            "macs left": words.percent(step["macs_after"] / step["macs_before"], 0) if step.get("macs_before") else "–",
            "before": words.accuracy(step.get("validation_top1_before")),
            "after": words.accuracy(step.get("validation_top1_after")),
            **{
                label: words.percent(controls[name]) if name in controls else "–"
                for name, label in (("random", "random"), ("scratch_e", "Scratch-E"), ("scratch_b", "Scratch-B"))
            },
        }
    return list(table.values())


def notes(row: dict[str, Any]) -> list[str]:
    """What must be said of a file beside its numbers."""
    found = []
    if row.get("on_front"):
        found.append("on the Pareto front")
    if row.get("zeros_only"):
        found.append("zeros or shared values only: same size and speed")
    return found


def best_under(
    found: list[dict[str, Any]], *, most_bytes: float | None, most_ms: float | None
) -> dict[str, Any] | None:
    """The most accurate passed file within the caps, the smaller one among equals."""
    fitting = [
        row
        for row in found
        if row["passed"]
        and row["top1"] is not None
        and (most_bytes is None or row["bytes"] <= most_bytes)
        and (most_ms is None or (row["latency_ms"] is not None and row["latency_ms"] <= most_ms))
    ]
    return max(fitting, key=lambda row: (row["top1"], -row["bytes"]), default=None)
