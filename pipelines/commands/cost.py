"""`cost NAME`: what a network costs, without building it."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import zoo
from pipelines.commands.command import Command, options_of, resolution, table
from pipelines.runs import Home
from zoo.request import FORMS


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="architecture, see the zoo command")
    parser.add_argument("--width", type=float, default=1.0, help="channel multiplier (1.0 = paper)")
    parser.add_argument("--resolution", help="side of the input in pixels, or HEIGHTxWIDTH; default: the paper's")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--channels", type=int, default=3, help="1 grey or 3 colour")
    parser.add_argument("--element-bytes", type=int, default=4, help="bytes per element: 4 float32, 1 int8")
    parser.add_argument("--form", choices=FORMS, default="deploy", help="as trained or as deployed, where these differ")
    parser.add_argument("--measure", action="store_true", help="also time it here, as a file with random weights")
    parser.add_argument("--set", action="append", metavar="KEY=VALUE", help="an option of the architecture")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    family = zoo.architecture(asked.name)
    chosen = options_of(family, asked)
    side = family.usual_resolution(chosen) if asked.resolution is None else resolution(asked.resolution)
    sketch = partial(
        zoo.sketch, asked.name,
        width=asked.width, resolution=side, classes=asked.classes, channels=asked.channels, **chosen,
    )  # fmt: skip
    laid = sketch(form=asked.form)
    deployed = laid if asked.form == "deploy" else sketch(form="deploy")
    return {
        "name": asked.name,
        "width": asked.width,
        "in_paper": family.in_paper(asked.width, chosen),
        "resolution": side,
        "classes": asked.classes,
        "channels": asked.channels,
        "form": asked.form,
        "element_bytes": asked.element_bytes,
        "predicted_int8_bytes": zoo.predicted_int8_bytes(deployed),
        **_latency(deployed, asked.measure),
        **zoo.cost_of(laid, asked.element_bytes).as_dict(),
    }


def _latency(deployed: zoo.Sketch, measure: bool) -> dict[str, Any]:
    """Of float32 and int8 files: predicted where this machine is calibrated, measured where that is asked for."""
    from pipelines.machine_latency import DTYPES, kept, timed

    model = kept(Home.place())
    return {
        "predicted_latency": {one: model.predict(deployed, one)._asdict() for one in DTYPES} if model else None,
        **({"measured_latency": timed(Home.open(), deployed)} if measure else {}),
    }


def show(document: dict[str, Any]) -> str:
    head = "\n".join(
        f"{label:<22} {document[key]:>15,}{unit}"
        for key, label, unit in (
            ("params", "params", ""),
            ("trainable_params", "trainable params", ""),
            ("macs", "macs", ""),
            ("memory_access_bytes", "memory access", " B"),
            ("peak_activation_bytes", "peak activation", " B"),
            ("predicted_int8_bytes", "int8 file, predicted", " B"),
        )
    )
    for dtype, one in (document["predicted_latency"] or {}).items():
        head += _milliseconds(f"{dtype}, predicted", one["ms"], one["low"], one["high"])
    timed = document.get("measured_latency") or {}
    for dtype in ("float32", "int8") if timed else ():
        head += _milliseconds(f"{dtype}, measured", timed[dtype]["ms"], *timed[dtype]["interval"])
    heavy = sorted(document["layers"], key=lambda layer: -layer["macs"])[:8]
    return (
        head
        + "\n\nheaviest layers\n"
        + table(heavy, {"name": "layer", "kind": "kind", "params": "params", "macs": "macs"})
    )


def _milliseconds(how: str, ms: float, low: float, high: float) -> str:
    return f"\n{how:<22} {ms:>15.3g} ms ({low:.3g} to {high:.3g})"


COMMAND = Command("cost", "params, macs and memory of an architecture, without TensorFlow", arguments, run, show)
