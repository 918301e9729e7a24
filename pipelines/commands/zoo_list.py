"""`zoo`: lists the architectures."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

import zoo
from pipelines.commands.command import Command, table


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="only this architecture")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    chosen = [zoo.architecture(asked.name)] if asked.name else list(zoo.ARCHITECTURES.values())
    return {"architectures": [_plain(entry) for entry in chosen]}


def _plain(entry: zoo.Architecture) -> dict[str, Any]:
    names = (
        "name",
        "title",
        "source",
        "summary",
        "task",
        "widths",
        "resolutions",
        "default_width",
        "default_resolution",
    )
    return {**{name: getattr(entry, name) for name in names}, "options": [asdict(option) for option in entry.options]}


def show(document: dict[str, Any]) -> str:
    rows = [
        {**entry, "widths": ", ".join(f"{width:g}" for width in entry["widths"]),
         "options": ", ".join(option["name"] for option in entry["options"]) or "-"}
        for entry in document["architectures"]
    ]  # fmt: skip
    return table(
        rows, {"name": "name", "title": "title", "source": "source", "widths": "published widths", "options": "options"}
    )


COMMAND = Command("zoo", "list the architectures", arguments, run, show)
