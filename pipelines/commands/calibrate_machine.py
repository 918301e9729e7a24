"""`calibrate-machine`: measures once how fast this machine is, so that times can be told before any training."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.commands.command import Command, table
from pipelines.commands.lines import Lines
from pipelines.machine_latency import advice, calibrate
from pipelines.runs import Home


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--passes", type=int, default=2, help="passes over all kernels and networks, 1 to 20; the least time counts"
    )


def run(asked: argparse.Namespace) -> dict[str, Any]:
    if not 1 <= asked.passes <= 20:
        raise ValueError(f"--passes {asked.passes}: 1 to 20; 2 is usual")
    return calibrate(Home.open(), passes=asked.passes, progress=Lines())


def show(document: dict[str, Any]) -> str:
    rows = [
        {
            "network": row["name"],
            "width": row["width"],
            "px": row["resolution"],
            "numbers": row["dtype"],
            "ms": f"{row['ms']:.3g}",
            "predicted": f"{row['predicted_ms']:.3g}",
            "off": f"{100 * row['error']:+.0f} %",
        }
        for row in document["left_out"]
    ]
    errors = "; ".join(
        f"{dtype}: median error {100 * one['median']:.1f} %, nine of ten within {100 * one['nine_in_ten']:.1f} %"
        for dtype, one in document["errors"].items()
    )
    return (
        f"{document['kernels']:,} kernels and {document['networks']} networks timed in {document['seconds']:.0f} s on "
        f"{document['machine']['cpu']}\none thread, XNNPACK; each network predicted from the families other than its "
        f"own:\n{table(rows, {key: key for key in rows[0]})}\n{errors}\n"
        f"{advice(one['median'] for one in document['errors'].values())}"
    ).rstrip()


COMMAND = Command("calibrate-machine", "time this machine once, so that latency is foretold", arguments, run, show)
