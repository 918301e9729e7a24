"""`demo`: the whole chain on digits in a fresh home, with the table at the end. `make demo` calls it."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

from exports.statistics import mean_interval
from pipelines.commands.command import Command
from pipelines.commands.compare import comparison_table
from pipelines.commands.run import outcome, progress_lines
from pipelines.jobs import InlineExecutor
from pipelines.recipes import Recipe
from pipelines.runs import Home, Registry
from pipelines.start import record


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", default="digits_demo", help="a ready-made recipe or a YAML file")
    parser.add_argument("--seeds", type=int, default=1, help="repeat with seeds 0, 1, ... and give the mean")
    parser.add_argument("--out", help="also write the JSON document to this file")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    if asked.seeds < 1:
        raise ValueError(f"--seeds {asked.seeds}: at least 1")
    begun = time.monotonic()
    runs, code = [], 0
    with tempfile.TemporaryDirectory(prefix="litesmith-demo-") as folder:
        os.environ["LITESMITH_HOME"] = folder
        home = Home.open()
        registry = Registry(home)
        for seed in range(asked.seeds):
            recipe = Recipe.of({**Recipe.load(asked.recipe).as_dict(), "seed": seed})
            started = record(registry, recipe, queue=False)
            since = time.monotonic()
            with progress_lines(registry, started.runs):
                InlineExecutor(home).submit(started.runs[0])
            found = outcome(registry, started.runs, None)
            code = max(code, found["exit_code"])
            runs.append({"seed": seed, "seconds": round(time.monotonic() - since, 1), **found})
        home.close()
    document: dict[str, Any] = {"seconds": round(time.monotonic() - begun, 1), "runs": runs, "exit_code": code}
    if code == 0:
        document["comparison"] = runs[0]["comparison"]
        document["mean_top1"] = {label: mean(values) for label, values in _by_file(runs, "top1").items()}
        if asked.seeds > 1:
            document["against_baseline"] = {
                label: (mean(values), *mean_interval(values))
                for label, values in _by_file(runs, "diff").items()
                if None not in values
            }
    if asked.out:
        Path(asked.out).parent.mkdir(parents=True, exist_ok=True)
        Path(asked.out).write_text(json.dumps(document, indent=2, default=str))
    return document


def _by_file(runs: list[dict[str, Any]], key: str) -> dict[str, list[float]]:
    """What the file of each step and format has under `key`, one value for each seed."""
    found: dict[str, list[float]] = {}
    for one in runs:
        for row in one["comparison"]:
            found.setdefault(f"{row['made_by']} {row['format']}", []).append(row[key])
    return found


def show(document: dict[str, Any]) -> str:
    if "comparison" not in document:
        return "\n".join(f"seed {run['seed']}: {run['state']}: {run['error']}" for run in document["runs"])
    lines = [comparison_table(document["comparison"])]
    if len(document["runs"]) > 1:
        lines += [f"mean top-1 over {len(document['runs'])} seeds; points to the baseline on the same images [95 %]:"]
        for label, value in document["mean_top1"].items():
            points = [f"{100 * one:+.2f}" for one in document["against_baseline"].get(label, ())]
            apart = "{} [{}, {}]".format(*points) if points else ""
            lines += [f"  {label:<32} {value:.4f}  {apart}"]
    return "\n".join([*lines, f"{document['seconds']:.0f} s in all"])


COMMAND = Command("demo", "the whole chain on digits in a fresh home", arguments, run, show)
