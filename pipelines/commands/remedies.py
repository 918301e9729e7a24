"""`remedies RUN`: what helps the int8 file of a run's model, tried and measured."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.commands.command import Command, table
from pipelines.commands.lines import Lines
from pipelines.judge import REFUSED, points_against_float, refusals, time_ratio
from pipelines.remedies import RemedySettings, loss, regained, try_remedies
from pipelines.runs import Home, Registry
from pipelines.settings import make
from pipelines.settings_arguments import settings_arguments, settings_given


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="id of a run with a trained model; its last float model is taken")
    settings_arguments(parser, RemedySettings)


def run(asked: argparse.Namespace) -> dict[str, Any]:
    settings = make(RemedySettings, settings_given(asked, RemedySettings), "remedies")
    return try_remedies(Registry(Home.open()), asked.run, settings, Lines())


def show(document: dict[str, Any]) -> str:
    whole, rows = document["float"], document["rows"]
    lines = []
    for row in rows:
        if "error" in row:
            lines.append({"remedy": row["title"], "top1": REFUSED})
            continue
        back = regained(row, rows, whole["top1"])
        lines.append(
            {
                "remedy": row["title"],
                "top1": f"{row['top1']:.4f}",
                "against": points_against_float(row),
                "regained": "–" if back is None or row is rows[0] else f"{100 * back:.0f} %",
                "bytes": f"{row['bytes']:,}",
                "time": time_ratio(row),
            }
        )
    columns = {
        "remedy": "remedy", "top1": "top-1", "against": "points against float [95 %]", "regained": "drop regained",
        "bytes": "bytes", "time": "time, plain int8 = 1",
    }  # fmt: skip
    head = (
        f"{document['run']}, model after step {document['step']}: float32 {whole['top1']:.4f}, plain int8 "
        f"{loss(document['drop_points'])} on {document['validation_images']:,} validation images"
    )
    faults = [f"{one['title']} at {', '.join(one['layers'][:3])}: {one['evidence']}" for one in document["faults"]]
    return "\n".join([head, *faults, table(lines, columns), *refusals(rows)])


COMMAND = Command("remedies", "what helps an int8 file, tried and measured", arguments, run, show)
