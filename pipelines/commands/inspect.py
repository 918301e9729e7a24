"""`inspect FILE --target edgetpu`: where each operator of a .tflite file would run, and what keeps it off the chip."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from exports import explain_edgetpu
from pipelines.commands.command import Command, table
from pipelines.runs import Home, Registry


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a .tflite file, also one made elsewhere, or an artifact's id")
    parser.add_argument("--target", default="edgetpu", choices=("edgetpu",), help="the device (default edgetpu)")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    path, name = _found(asked.file)
    return {"file": name, "target": asked.target, **explain_edgetpu(path)}


def _found(reference: str) -> tuple[Path, str]:
    path = Path(reference)
    if path.is_file():
        return path, path.name
    if path.suffix == ".tflite":
        raise ValueError(f"there is no file {reference}")
    home = Home.open()
    found = Registry(home).artifacts(id=reference)
    if not found:
        raise ValueError(f"{reference!r} is neither a file nor an artifact; `show RUN` lists those of a run")
    if not found[0].format.startswith(("tflite", "edgetpu")):
        raise ValueError(f"{reference} is {found[0].format}; the Edge TPU takes TFLite files, best of format edgetpu")
    return home.store.path_of(found[0].sha256), found[0].id


def show(document: dict[str, Any]) -> str:
    ops = document["ops"]
    least, most = document["cpu_at_least"], document["cpu_at_most"]
    on_cpu = f"{least}" if least == most else f"{least} to {most}"
    head = [
        f"{document['file']}: {document['verdict']}; {on_cpu} of {len(ops)} operators on the CPU. "
        + ("Read from the compiled file." if document["verdict"] == "compiled" else "Predicted, not compiled."),
        *(f"refused whole: {one}" for one in document["refusals"]),
    ]
    blocker = document["blocker"]
    if blocker and blocker["reason"]:
        edit = f"; {blocker['edit']}" if blocker["edit"] else ""
        head.append(f"first off the chip: {blocker['layer']} ({blocker['kind']}): {blocker['reason']}{edit}")
    weights, cache = document["parameter_bytes"], document["cache_bytes"]
    fits = "fit into the chip's memory" if weights <= cache else f"exceed the chip's {cache:,}, the rest is streamed"
    head.append(f"{weights:,} bytes of weights {fits}; largest tensor {document['largest_activation_bytes']:,} bytes")
    off = [{**one, "number": str(one["number"])} for one in ops if one["placement"] != "edgetpu"]
    columns = {"number": "#", "kind": "operator", "layer": "layer", "placement": "runs on", "reason": "because",
               "edit": "what helps"}  # fmt: skip
    return "\n".join([*head, table(off, columns)] if off else head)


COMMAND = Command("inspect", "where a file's operators would run, and what keeps them off a chip", arguments, run, show)
