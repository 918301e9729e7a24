"""`measure FILE ...`: latency of files, timed in turn, alone on this machine."""

from __future__ import annotations

import argparse
from typing import Any

from exports import measure
from pipelines.commands.command import Command, table
from pipelines.commands.files import file_named
from pipelines.jobs import alone_on_machine
from pipelines.runs import Home


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="files with a contract beside them, or artifact ids")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of the interleaved timing, at least 8")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kernels", default="xnnpack", choices=("xnnpack", "builtin", "reference"))


def run(asked: argparse.Namespace) -> dict[str, Any]:
    found = [file_named(reference) for reference in asked.files]
    with alone_on_machine(Home.open(), timeout_s=600):
        report = measure(
            [(path, contract) for path, contract, _ in found],
            rounds=asked.rounds,
            threads=asked.threads,
            kernels=asked.kernels,
        )
    document = report.as_dict()
    for row, (_, _, name) in zip(document["rows"], found, strict=True):
        row["file"] = name
    return document


def show(document: dict[str, Any]) -> str:
    rows = [{**row, "interval": f"{row['interval'][0]:.4f} to {row['interval'][1]:.4f}"} for row in document["rows"]]
    columns = {
        "file": "file",
        "kernels": "kernels",
        "median_ms": "median ms",
        "interval": "95 %",
        "ratio": "ratio",
        "verdict": "verdict",
    }
    machine = document["machine"]
    return table(rows, columns) + f"\n{machine}"


COMMAND = Command("measure", "latency of files, timed in turn", arguments, run, show)
