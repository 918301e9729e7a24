"""`zoo`: lists the architectures, or with `--grid` every design of them with its cost."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

import zoo
from pipelines.commands.command import Command, table
from pipelines.commands.limit_arguments import limit_arguments, limits_of, resolutions_of
from pipelines.csv_text import csv_text
from zoo.grid import grid, keep

GRID = {
    "label": "design",
    "params": "params",
    "macs": "macs",
    "memory_access_bytes": "memory access B",
    "int8_peak_activation_bytes": "activations B (int8)",
    "predicted_int8_bytes": "int8 B (predicted)",
    "top1": "top-1 % (published)",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", help="only these architectures")
    parser.add_argument(
        "--grid", action="store_true",
        help="every design at its published widths, usual resolutions and variants, with its cost; what follows "
        "belongs to it",
    )  # fmt: skip
    parser.add_argument("--csv", action="store_true", help="print comma-separated values")
    parser.add_argument("--classes", type=int, help="default: 1000")
    parser.add_argument("--channels", type=int, help="1 grey or 3 colour; default: 3")
    limit_arguments(parser)
    parser.add_argument("--usual", action="store_true", help="only at the paper's resolution")
    parser.add_argument("--plain", action="store_true", help="only designs of operators that run everywhere")
    parser.add_argument("--extensions", action="store_true", help="further widths where a paper has no multiplier")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    chosen = [zoo.architecture(name) for name in asked.names or zoo.ARCHITECTURES]
    limits = limits_of(asked)
    if not asked.grid:
        valued = (asked.resolutions, asked.classes, asked.channels)
        named = limits.named or any(value is not None for value in valued)
        if named or any((asked.csv, asked.usual, asked.plain, asked.extensions)):
            raise ValueError(
                "limits, --resolutions, --classes, --channels, --csv, --usual, --plain and --extensions need --grid"
            )
        return {"architectures": [_plain(entry) for entry in chosen]}
    counted = {name: getattr(asked, name) for name in ("classes", "channels") if getattr(asked, name) is not None}
    whole = grid([entry.name for entry in chosen], extensions=asked.extensions, **counted)
    found = keep(whole, limits, resolutions=resolutions_of(asked), usual_only=asked.usual, plain_only=asked.plain)
    return {"as_csv": asked.csv, "designs": [one.as_dict() for one in found]}


def _plain(entry: zoo.Architecture) -> dict[str, Any]:
    names = (
        "name",
        "title",
        "source",
        "summary",
        "task",
        "widths",
        "width_is_extension",
        "variant_widths",
        "resolutions",
        "variant_resolutions",
        "minimum_side",
        "default_width",
        "default_resolution",
    )
    return {**{name: getattr(entry, name) for name in names}, "options": [asdict(option) for option in entry.options]}


def show(document: dict[str, Any]) -> str:
    if "designs" in document:
        return csv_text(document["designs"]).rstrip("\n") if document["as_csv"] else table(document["designs"], GRID)
    rows = [
        {**entry, "widths": ", ".join(f"{width:g}" for width in entry["widths"]),
         "options": ", ".join(option["name"] for option in entry["options"]) or "-"}
        for entry in document["architectures"]
    ]  # fmt: skip
    return table(
        rows, {"name": "name", "title": "title", "source": "source", "widths": "published widths", "options": "options"}
    )


COMMAND = Command("zoo", "list the architectures, or all their designs with what each costs", arguments, run, show)
