"""`estimate RECIPE`: predicted time and memory before a start."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.commands.command import Command
from pipelines.commands.recipe_arguments import add_recipe_arguments, recipe_from
from pipelines.estimate import estimate
from pipelines.runs import Home, Registry


def arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_arguments(parser)
    parser.add_argument("--no-probe", action="store_true", help="only judge by earlier runs")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    found = estimate(Registry(Home.open()), recipe_from(asked), may_probe=not asked.no_probe)
    return {"predicted": found}


def show(document: dict[str, Any]) -> str:
    found = document["predicted"]
    if found is None:
        return "nothing comparable was run here yet; without --no-probe a short probe tells"
    memory = f", about {found['memory_bytes'] / 1e9:.1f} GB of memory" if found["memory_bytes"] else ""
    return (
        f"predicted: about {found['seconds']:,.0f} s ({found['low_s']:,.0f} to {found['high_s']:,.0f}){memory}, "
        f"from {found['how']}"
    )


COMMAND = Command("estimate", "predicted time and memory of a recipe", arguments, run, show)
