"""`localise ARTIFACT`: what int8 costs a file at which layer, and why."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.commands.command import Command, table
from pipelines.localise import localise_artifact
from pipelines.runs import Home, Registry

SHOWN = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", help="id of an int8 file of this home, or the start of its SHA-256")
    parser.add_argument("--images", type=int, default=64, help="validation images to run (default 64)")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    if not 1 <= asked.images <= 10_000:
        raise ValueError(f"images = {asked.images}: give 1 to 10000; 64 are enough to rank layers")
    return localise_artifact(Registry(Home.open()), asked.artifact, images=asked.images)


def show(document: dict[str, Any]) -> str:
    places = sorted(document["places"], key=lambda one: -(one["cost"] or 0.0))[:SHOWN]
    rows = [
        {
            "layer": one["layer"] or "logits",
            "operator": one["operator"],
            "cost": _share(one["cost"]),
            "weights": _share(one["cost_weights"]),
            "output": _share(one["cost_output"]),
            "clipped": f"{100 * one['values']['clipped']:.2f} %",
            "used": f"{100 * one['values']['used']:.0f} %",
        }
        for one in places
    ]
    head = (
        f"{document['artifact']} ({document['format']}): noise {_share(document['noise'])} of the logits' variance, "
        f"same answer as the float file on {100 * document['agreement']:.1f} % of {document['images']} images"
    )
    faults = [
        f"{one['title']}: {_share(one['cost'])} at {', '.join(one['layers'][:3])}; {one['evidence']}. "
        f"Try: {one['advice']}."
        for one in document["faults"]
    ] or [f"no fault: no layer alone costs {_share(document['worth_saying'])} or more"]
    columns = ("layer", "operator", "cost", "weights", "output", "clipped", "used")
    return "\n".join([head, *faults, table(rows, {name: name for name in columns}), *document["notes"]])


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.3f} %"


COMMAND = Command("localise", "what int8 costs a file, layer by layer, and why", arguments, run, show)
