"""`run RECIPE`: executes a recipe in the foreground. Ctrl-C cancels it; `resume` goes on."""

from __future__ import annotations

import argparse
import sys
import threading
from contextlib import contextmanager
from typing import Any

from pipelines.commands.command import Command
from pipelines.commands.compare import comparison_table
from pipelines.commands.recipe_arguments import add_recipe_arguments, recipe_from
from pipelines.commands.show import document_of
from pipelines.commands.show import show as show_run
from pipelines.compare import rows
from pipelines.jobs import InlineExecutor
from pipelines.runs import Home, Registry
from pipelines.start import record


def arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_arguments(parser)


def run(asked: argparse.Namespace) -> dict[str, Any]:
    home = Home.open()
    registry = Registry(home)
    recipe = recipe_from(asked)
    started = record(registry, recipe, queue=False)
    with progress_lines(registry, started.runs):
        for run_id in started.runs:
            InlineExecutor(home).submit(run_id)
    return outcome(registry, started.runs, started.group)


def outcome(registry: Registry, runs: tuple[str, ...], group: str | None) -> dict[str, Any]:
    """Gives the document of finished runs, with the exit code that fits how they ended."""
    documents = [document_of(registry, run_id) for run_id in runs]
    kinds = {document["error_kind"] for document in documents if document["state"] == "failed"}
    code = (
        0
        if not kinds and all(document["state"] == "done" for document in documents)
        else 2
        if kinds <= {"person"}
        else 1
    )
    first = documents[0]
    measured = any(item["top1"] is not None for document in documents for item in document["artifacts"])
    found = {**first} if len(documents) == 1 else {"group": group, "runs": documents, "state": _worst(documents)}
    if measured:
        found["comparison"] = rows(registry, [run_id for run_id in runs if registry.artifacts(run_id)])
    return {**found, "exit_code": code}


@contextmanager
def progress_lines(registry: Registry, runs: tuple[str, ...]) -> Any:
    """Prints a line to stderr whenever a run's progress has moved on noticeably."""
    over = threading.Event()

    def follow() -> None:
        said = ""
        while not over.wait(1.0):
            for run_id in runs:
                record = registry.get(run_id)
                if record.state != "running" or not record.progress:
                    continue
                at = record.progress
                left = f", about {at['seconds_left']:.0f} s left in this step" if at.get("seconds_left") else ""
                line = f"{run_id} {at['message']} ({100 * at['done'] / max(at['total'], 1):.0f} %{left})"
                if at["message"] != said:
                    said = at["message"]
                    print(line, file=sys.stderr, flush=True)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=5)


def show(document: dict[str, Any]) -> str:
    parts = [show_run(part) for part in document.get("runs", [document])]
    if document.get("comparison"):
        parts.append(comparison_table(document["comparison"]))
    return "\n\n".join(parts)


def _worst(documents: list[dict[str, Any]]) -> str:
    states = [document["state"] for document in documents]
    return next((state for state in ("failed", "cancelled", "queued", "running") if state in states), "done")


COMMAND = Command("run", "execute a recipe in the foreground", arguments, run, show)
