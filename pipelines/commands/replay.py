"""`replay RUN`: executes a run's recipe again and compares the files byte for byte.

RUN is an id of this home, or a JSON file that `show RUN --json` wrote, perhaps elsewhere.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pipelines.commands.command import Command, table
from pipelines.commands.run import progress_lines
from pipelines.commands.show import document_of
from pipelines.jobs import InlineExecutor
from pipelines.recipes import Recipe
from pipelines.runs import Home, Registry
from pipelines.runs.environment import environment
from pipelines.start import record


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="id of a run, or the JSON file that `show RUN --json` wrote")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    home = Home.open()
    registry = Registry(home)
    origin = _origin(registry, asked.run)
    recipe = Recipe.of(origin["recipe"])
    started = record(registry, recipe, queue=False)
    with progress_lines(registry, started.runs):
        state = InlineExecutor(home).submit(started.runs[0])
    replayed = document_of(registry, started.runs[0])
    wanted = {(item["step"], item["format"]): item["sha256"] for item in origin["artifacts"]}
    got = {(item["step"], item["format"]): item["sha256"] for item in replayed["artifacts"]}
    files = [
        {
            "step": step,
            "format": format,
            "wanted": sha,
            "got": got.get((step, format)),
            "equal": got.get((step, format)) == sha,
        }
        for (step, format), sha in wanted.items()
    ]
    differences = _differences(origin.get("environment") or {}, environment())
    equal = bool(files) and all(file["equal"] for file in files)
    return {
        "run": started.runs[0], "origin": origin["run"], "state": state, "equal": equal, "files": files,
        "environment_differences": differences, "exit_code": 0 if equal else 2,
    }  # fmt: skip


def show(document: dict[str, Any]) -> str:
    rows = [{**file, "wanted": file["wanted"][:12], "got": (file["got"] or "-")[:12]} for file in document["files"]]
    text = table(rows, {"step": "step", "format": "format", "wanted": "sha-256 wanted", "got": "got", "equal": "equal"})
    verdict = "every file is equal to the byte" if document["equal"] else "not every file is equal"
    notes = [f"environment differs: {key}: {value}" for key, value in document["environment_differences"].items()]
    return "\n".join([text, verdict, *notes])


def _origin(registry: Registry, given: str) -> dict[str, Any]:
    path = Path(given)
    if path.suffix != ".json":
        return document_of(registry, given)
    if not path.is_file():
        raise ValueError(f"{given} is not a file; `python -m pipelines show RUN --json > {path.name}` writes one")
    try:
        document = json.loads(path.read_text())
        return {
            "run": document["run"],
            "recipe": document["recipe"],
            "artifacts": document["artifacts"],
            "environment": document.get("environment"),
        }
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{given} is not a run's document ({error!r}); `show RUN --json` writes one") from None


def _differences(before: dict[str, Any], now: dict[str, Any]) -> dict[str, str]:
    return {
        key: f"{before.get(key)} then, {now.get(key)} now"
        for key in ("machine", "processor", "cores", "python", "threads", "packages", "source")
        if before.get(key) != now.get(key)
    }


COMMAND = Command("replay", "execute a run again and compare its files byte for byte", arguments, run, show)
