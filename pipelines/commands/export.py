"""`export RUN --format ID`: writes further files of a finished run's model and gates them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pipelines.commands.command import Command
from pipelines.commands.run import outcome, progress_lines
from pipelines.commands.run import show as show_run
from pipelines.further import export_recipe
from pipelines.jobs import InlineExecutor
from pipelines.recipes import Recipe
from pipelines.runs import Home, Registry
from pipelines.settings_arguments import settings_arguments, settings_given
from pipelines.start import record
from pipelines.steps.export import ExportSettings


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="id of a run with a trained model")
    parser.add_argument("--format", action="append", required=True, help="a format id; may be given several times")
    parser.add_argument("--to", help="folder to copy the files that passed to")
    parser.add_argument("--no-measure", action="store_true", help="leave accuracy and latency out")
    settings_arguments(parser, ExportSettings, skip=("formats",))


def run(asked: argparse.Namespace) -> dict[str, Any]:
    home = Home.open()
    registry = Registry(home)
    calibration = settings_given(asked, ExportSettings, skip=("formats",))
    values = export_recipe(registry, asked.run, asked.format, measure=not asked.no_measure, settings=calibration)
    recipe = Recipe.of(values)
    started = record(registry, recipe, queue=False)
    with progress_lines(registry, started.runs):
        InlineExecutor(home).submit(started.runs[0])
    document = outcome(registry, started.runs, None)
    if asked.to:
        document["copied"] = [str(path) for path in copy_files(registry, started.runs[0], Path(asked.to))]
    return document


def copy_files(registry: Registry, run_id: str, folder: Path) -> list[Path]:
    """Copies the files that passed, with contract and self-test, under their own names."""
    from exports import FORMATS

    folder.mkdir(parents=True, exist_ok=True)
    copied = []
    for item in registry.artifacts(run_id):
        if not item.passed:
            continue
        suffix = FORMATS[item.format].suffix
        stem = item.name.removesuffix(suffix)
        names = {"model": stem + suffix, "contract": f"{stem}.contract.json", "selftest": f"{stem}.selftest.npz"}
        for role, sha in item.files.items():
            target = folder / names.get(role, f"{stem}.{role}")
            target.write_bytes(registry.home.store.path_of(sha).read_bytes())
            copied.append(target)
    return copied


def show(document: dict[str, Any]) -> str:
    return "\n".join([show_run(document), *(f"copied {path}" for path in document.get("copied", []))])


COMMAND = Command("export", "write and gate further files of a run", arguments, run, show)
