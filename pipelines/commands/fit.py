"""`fit NAME`: the largest network of a family that keeps within limits."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.commands.command import Command, options_of, table
from pipelines.commands.limit_arguments import limit_arguments, limits_of, resolutions_of
from zoo.architectures import architecture
from zoo.fitting import largest

SHOWN = {
    "label": "design",
    "macs": "macs",
    "params": "params",
    "predicted_int8_bytes": "int8 B (predicted)",
    "int8_peak_activation_bytes": "activations B (int8)",
}
NAMED = {
    "macs": "macs",
    "predicted_int8_bytes": "B of int8 file",
    "int8_peak_activation_bytes": "B of activation memory",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="architecture, see the zoo command")
    limit_arguments(parser)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--channels", type=int, default=3, help="1 grey or 3 colour")
    parser.add_argument(
        "--set", action="append", metavar="KEY=VALUE", help="an option; without variant=… all variants are searched"
    )


def run(asked: argparse.Namespace) -> dict[str, Any]:
    limits = limits_of(asked)
    if not limits.named:
        raise ValueError("no limit given; say at least one of --macs 20M, --kb 250, --activation-kb 256, --board pico")
    found = largest(
        asked.name, limits, resolutions=resolutions_of(asked), classes=asked.classes, channels=asked.channels,
        **options_of(architecture(asked.name), asked),
    )  # fmt: skip
    return found.as_dict()


def show(document: dict[str, Any]) -> str:
    limits = {key: value for key, value in document["limits"].items() if value is not None}
    within = ", ".join(f"{value:,} {NAMED[key]}" for key, value in limits.items())
    if document["best"] is None:
        needs = "\n".join(
            f"  {NAMED[key]}: at least {least:,}, allowed {limits[key]:,}" for key, least in document["least"].items()
        )
        return (
            f"No {document['name']} fits {within}. The least that any of its networks needs, each by itself:\n{needs}\n"
            f"\nthe smallest\n{table([document['smallest']], SHOWN)}"
        )
    rows = [{**row, "label": row["label"] + ("" if row["in_paper"] else " *")} for row in document["rows"]]
    note = "" if all(row["in_paper"] for row in document["rows"]) else "\n* a width beyond the paper's"
    return f"The largest within {within}, first the one with most multiply-adds:\n\n{table(rows, SHOWN)}{note}"


COMMAND = Command("fit", "the largest width and resolution of an architecture within limits", arguments, run, show)
