"""`precision RUN`: bits for every layer of a run's model under a budget, each file written and measured."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from pipelines.commands.command import Command, table
from pipelines.commands.settings_arguments import settings_arguments, settings_given
from pipelines.judge import points_against_float, time_ratio
from pipelines.precision import PrecisionSettings, search_precision
from pipelines.runs import Home, Registry
from pipelines.settings import make


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="id of a run with a trained model; its last float model is taken")
    settings_arguments(parser, PrecisionSettings)


def run(asked: argparse.Namespace) -> dict[str, Any]:
    settings = make(PrecisionSettings, settings_given(asked, PrecisionSettings), "precision")
    return search_precision(Registry(Home.open()), asked.run, settings)


def show(document: dict[str, Any]) -> str:
    whole = document["float"]
    lines = []
    for row in document["rows"]:
        if "error" in row:
            lines.append({"file": row["title"], "top1": "not possible: " + row["error"]})
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
    learned = [_learned(row) for row in document["rows"] if "search" in row]
    return "\n".join([head, table(lines, columns), *learned])


def _learned(row: dict[str, Any]) -> str:
    """How the agent fared, in decibels of signal over noise: more is better."""
    found = row["search"]
    return (
        f"{row['title']}: the agent's best of {len(found['rewards'])} episodes had {max(found['rewards']):.1f} dB, "
        f"the best of as many at random {found['random']:.1f} dB, the greedy choice {found['greedy']:.1f} dB"
    )


COMMAND = Command("precision", "bits for every layer under a budget, written and measured", arguments, run, show)
