"""`methods`: lists the training and compression methods with their settings, and the file formats."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from exports import FORMATS
from pipelines.commands.command import Command, table
from pipelines.methods import METHODS
from pipelines.settings import fields_of


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", help="only methods of this kind")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    kinds = sorted({method.kind for method in METHODS.values()})
    if asked.kind and asked.kind not in kinds:
        raise ValueError(f"kind {asked.kind!r} is not known; kinds: {', '.join(kinds)}")
    return {
        "methods": [
            {
                "name": method.name, "kind": method.kind, "title": method.title, "source": method.source,
                "summary": method.summary, "removes_channels": method.removes_channels, "measured": method.measured,
                "settings": [{**asdict(field), "type": field.type.__name__} for field in fields_of(method.settings)],
            }
            for method in METHODS.values() if asked.kind in (None, method.kind)
        ],
        "formats": [entry.as_dict() for entry in FORMATS.values()],
    }  # fmt: skip


def show(document: dict[str, Any]) -> str:
    methods = table(
        document["methods"],
        {"name": "method", "kind": "kind", "removes_channels": "removes channels", "summary": "what it does"},
    )
    return methods + "\n\n" + table(document["formats"], {"id": "format", "when": "when to use it"})


COMMAND = Command("methods", "list the methods and file formats", arguments, run, show)
