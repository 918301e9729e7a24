"""`import FILE`: whether a model or a finished file from elsewhere can be used here, and the words of its recipe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from exports import import_model, read_finished
from exports.file_sketch import SUFFIXES
from exports.keras_config import RANGES
from pipelines.commands.command import Command, resolution


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        help="a model of Keras 2, Keras 3 or tf_keras: .keras, or .h5 with its description; a SavedModel: its folder "
        "or a zip of it; or a finished .tflite or .onnx classifier, to be compared",
    )
    parser.add_argument(
        "--input-range", choices=tuple(RANGES), default="0..1", help="the range of pixels it was trained on"
    )
    parser.add_argument("--resolution", help="side in pixels, or HEIGHTxWIDTH, where the file leaves it open")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    if Path(asked.file).suffix in SUFFIXES:
        return _finished(asked)
    side = resolution(asked.resolution) if asked.resolution else None
    found = import_model(
        asked.file, input_range=asked.input_range, resolution=(side, side) if isinstance(side, int) else side
    )
    height, width, channels = found.input_shape
    recipe: dict[str, Any] = {"start": f"file:{Path(asked.file).expanduser().absolute()}"}
    if asked.input_range != "0..1":
        recipe["start_range"] = asked.input_range
    recipe["data"] = {"resolution": height if height == width else [height, width], "channels": channels}
    return {"file": asked.file, **found.as_dict(), "recipe": recipe}


def _finished(asked: argparse.Namespace) -> dict[str, Any]:
    if asked.resolution is not None:
        raise ValueError(f"--resolution {asked.resolution}: a finished file says its size itself; leave it out")
    found = read_finished(asked.file)
    height, width, channels = found.input_shape
    whole = str(Path(asked.file).expanduser().absolute())
    return {
        "file": asked.file,
        "format": found.format,
        "input_shape": [height, width, channels],
        "classes": found.classes,
        "operators": found.operators,
        "channels_first": found.channels_first,
        "recipe": {
            "data": {"resolution": height if height == width else [height, width], "channels": channels},
            "steps": [{"adopt": {"file": whole, "input_range": asked.input_range}}, {"measure": {}}],
        },
    }


def show(document: dict[str, Any]) -> str:
    if "format" in document:
        return _show_finished(document)
    height, width, channels = document["input_shape"]
    recipe = document["recipe"]
    lines = [
        f"{document['file']}: {document['params']:,} params in {document['layers']} layers, "
        f"{height}x{width}x{channels} to {document['classes']} classes, SHA-256 {document['sha256'][:12]}",
        *(f"note: {note}" for note in document["notes"]),
        *(f"barrier: {name}: no channel before it can be removed" for name in document["barriers"]),
        "A recipe that begins with it:",
        *(f"  {key}: {value}" for key, value in recipe.items() if key != "data"),
        f"  data: {{source: folder:PATH, resolution: {recipe['data']['resolution']}, channels: {channels}}}",
    ]
    return "\n".join(lines)


def _show_finished(document: dict[str, Any]) -> str:
    height, width, channels = document["input_shape"]
    step = document["recipe"]["steps"][0]["adopt"]
    return "\n".join(
        [
            f"{document['file']}: {document['format']}, {height}x{width}x{channels} to {document['classes']} classes; "
            + ", ".join(f"{count} {name}" for name, count in document["operators"].items()),
            *(
                ["note: it takes its channels first; its copy here gets a transposition in front, which is timed too"]
                if document["channels_first"]
                else []
            ),
            "A recipe that measures it:",
            f"  data: {{source: folder:PATH, resolution: {document['recipe']['data']['resolution']}, "
            f"channels: {channels}}}",
            "  steps:",
            f"    - adopt: {{file: {step['file']}, input_range: {step['input_range']}}}",
            "    - measure: {}",
        ]
    )


COMMAND = Command("import", "check a model or finished file and say how a recipe begins with it", arguments, run, show)
