"""`precision RUN`: bits for every layer of a run's model under a budget, each file written and measured."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from pipelines.commands.command import Command, table
from pipelines.commands.lines import Lines
from pipelines.judge import REFUSED, points_against_float, refusals, time_ratio
from pipelines.precision import PrecisionSettings, learned, search_precision
from pipelines.runs import Home, Registry
from pipelines.settings import make
from pipelines.settings_arguments import settings_arguments, settings_given


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="id of a run with a trained model; its last float model is taken")
    settings_arguments(parser, PrecisionSettings)


def run(asked: argparse.Namespace) -> dict[str, Any]:
    settings = make(PrecisionSettings, settings_given(asked, PrecisionSettings), "precision")
    return search_precision(Registry(Home.open()), asked.run, settings, Lines())


def show(document: dict[str, Any]) -> str:
    whole = document["float"]
    lines = []
    for row in document["rows"]:
        if "error" in row:
            lines.append({"file": row["title"], "top1": REFUSED})
            continue
        lines.append(
            {
                "file": row["title"],
                "top1": f"{row['top1']:.4f}",
                "against": points_against_float(row),
                "bytes": f"{row['bytes']:,}",
                "time": time_ratio(row),
                "layers": ", ".join(f"{count} {bits}" for bits, count in Counter(row.get("bits", {}).values()).items()),
            }
        )
    columns = {
        "file": "file", "top1": "top-1", "against": "points against float [95 %]", "bytes": "bytes",
        "time": "time, int8 = 1", "layers": "layers",
    }  # fmt: skip
    head = (
        f"{document['run']}, model after step {document['step']}: float32 {whole['top1']:.4f} on "
        f"{document['validation_images']:,} validation images"
    )
    rows = document["rows"]
    return "\n".join([head, table(lines, columns), *refusals(rows), *learned(rows)])


COMMAND = Command("precision", "bits for every layer under a budget, written and measured", arguments, run, show)
