"""`submit RECIPE`: queues a recipe; the supervisor executes it, whatever happens to this terminal."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.commands.command import Command, warned
from pipelines.commands.recipe_arguments import add_recipe_arguments, recipe_from
from pipelines.jobs import LocalExecutor
from pipelines.runs import Home, Registry
from pipelines.start import record


def run(asked: argparse.Namespace) -> dict[str, Any]:
    home = Home.open()
    registry = Registry(home)
    started = record(registry, recipe_from(asked), queue=True)
    late = LocalExecutor(home).submit_all(started.runs)
    return {
        "run": started.runs[0],
        "runs": list(started.runs),
        "group": started.group,
        "state": registry.get(started.runs[0]).state,
        "warning": late,
    }


def show(document: dict[str, Any]) -> str:
    runs, first = ", ".join(document["runs"]), document["run"]
    return warned(f"queued {runs}; `python -m pipelines show {first}` follows it", document)


COMMAND = Command("submit", "queue a recipe and return at once", add_recipe_arguments, run, show)
