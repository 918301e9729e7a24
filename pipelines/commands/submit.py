"""`submit RECIPE`: queues a recipe; the supervisor executes it, whatever happens to this terminal."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.commands.command import Command
from pipelines.commands.recipe_arguments import add_recipe_arguments, recipe_from
from pipelines.jobs import LocalExecutor, SupervisorLate
from pipelines.runs import Home, Registry
from pipelines.start import record


def run(asked: argparse.Namespace) -> dict[str, Any]:
    home = Home.open()
    registry = Registry(home)
    started = record(registry, recipe_from(asked), queue=True)
    late = None
    try:
        for run_id in started.runs:
            LocalExecutor(home).submit(run_id)
    except SupervisorLate as error:  # all runs are recorded as queued, so it finds them when it comes up
        late = f"{error}; the runs wait in the queue, `python -m pipelines supervise` works it in the foreground"
    return {
        "run": started.runs[0],
        "runs": list(started.runs),
        "group": started.group,
        "state": registry.get(started.runs[0]).state,
        "warning": late,
    }


def show(document: dict[str, Any]) -> str:
    text = f"queued {', '.join(document['runs'])}; `python -m pipelines show {document['run']}` follows it"
    return f"{text}\nwarning: {document['warning']}" if document["warning"] else text


COMMAND = Command("submit", "queue a recipe and return at once", add_recipe_arguments, run, show)
