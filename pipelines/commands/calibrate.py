"""`calibrate RUN`: how many images, and which ranges, the int8 file of a run's model needs."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.calibrate import CalibrationSettings, calibration_lab
from pipelines.commands.command import Command, table
from pipelines.commands.lines import Lines
from pipelines.runs import Home, Registry
from pipelines.settings import make
from pipelines.settings_arguments import settings_arguments, settings_given


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="id of a run with a trained model; its last float model is taken")
    settings_arguments(parser, CalibrationSettings)


def run(asked: argparse.Namespace) -> dict[str, Any]:
    settings = make(CalibrationSettings, settings_given(asked, CalibrationSettings), "calibrate")
    return calibration_lab(Registry(Home.open()), asked.run, settings, Lines())


def show(document: dict[str, Any]) -> str:
    rows = [
        {
            "images": one["images"],
            "ranges": one["ranges"],
            "top1": f"{one['top1']:.4f} [{one['low']:.4f}, {one['high']:.4f}]",
            "agreement": f"{100 * one['agreement']:.2f} %",
            "noise": f"{100 * one['noise']:.3f} %",
        }
        for one in document["summary"]
    ]
    columns = {
        "images": "images", "ranges": "ranges", "top1": f"top-1 over {document['repeats']} draws [95 %]",
        "agreement": "same answer as float", "noise": "noise of the logits",
    }  # fmt: skip
    safe = document["smallest_safe"]
    found = f"{safe} images are enough" if safe else "no size is safe: the draws differ too much"
    limits = f"{document['margin']:g} points and {document['noise_times']:g} times the noise of the most"
    return (
        f"{document['run']}, model after step {document['step']}: float top-1 {document['float_top1']:.4f} on "
        f"{document['validation_images']:,} validation images\n{table(rows, columns)}\n"
        f"{found} (within {limits}); least noise with ranges {document['best_ranges']}"
    )


COMMAND = Command("calibrate", "how many images and which ranges an int8 file needs", arguments, run, show)
