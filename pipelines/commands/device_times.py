"""`device-times FILE`: brings times taken on a person's own device into Compare."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pipelines.commands.command import Command, table
from pipelines.device_times import take_device_times
from pipelines.runs import Home, Registry


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="times.json that time_files.py of a bundle wrote on the device")
    parser.add_argument("--name", help="what the device is to be called; without: its processor")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    return take_device_times(Registry(Home.open()), asked.file, asked.name)


def show(document: dict[str, Any]) -> str:
    rows = [
        {
            "artifact": row["artifact"],
            "ms": f"{row['median_ms']:.3f}",
            "ratio": f"{row['ratio']:.2f} [{row['ratio_interval'][0]:.2f}, {row['ratio_interval'][1]:.2f}]",
            "verdict": row["verdict"],
        }
        for row in document["rows"]
    ]
    columns = {"artifact": "file", "ms": "ms", "ratio": "ratio [95 %]", "verdict": "verdict"}
    lines = [f"times of {document['device']}; compare --device {document['device']!r} shows them", table(rows, columns)]
    return "\n".join([*lines, *(f"not of this home: {name}" for name in document["unknown"])])


COMMAND = Command("device-times", "take in times measured on your own device", arguments, run, show)
