"""`skew FILE`: what the usual mistakes in front of a file would cost, and which of them somebody makes."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.commands.command import Command, table
from pipelines.commands.data import add_data_arguments, open_from
from pipelines.commands.files import file_named
from pipelines.device_answers import read_device_answers
from pipelines.runs import Home, Registry
from pipelines.skew import in_words, skew


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a .tflite or .onnx file with its contract beside it, or an artifact's id")
    parser.add_argument("--data", help="digits, fashion_mnist, folder:PATH or zip:PATH; without: those of its run")
    parser.add_argument("--split", default="validation", choices=("train", "validation", "test"))
    parser.add_argument("--images", type=int, default=1000, help="at most so many images (default 1000)")
    parser.add_argument(
        "--answers", type=Path, metavar="FILE",
        help="what a device answered on these images: .csv with image,answer or image and a column per label, or .npy",
    )  # fmt: skip
    add_data_arguments(parser)


def run(asked: argparse.Namespace) -> dict[str, Any]:
    if asked.images < 1:
        raise ValueError(f"images = {asked.images}: give at least 1; 1000 tell most mistakes apart")
    path, contract, name = file_named(asked.file)
    source = asked.data or _recorded(asked, name)
    size = {"resolution": (contract.input.height, contract.input.width), "channels": contract.input.channels}
    open_as = partial(open_from, asked, source, **size)
    found = skew(
        path, contract, lambda resize: open_as(resize=resize), asked.split, count=asked.images,
        answers=None if asked.answers is None else lambda data: read_device_answers(
            asked.answers, data.splits[asked.split], contract.labels
        ),
        progress=lambda message: print(message, file=sys.stderr),
    )  # fmt: skip
    return {"file": name, "data": source, **found, "verdicts": in_words(found)}


def _recorded(asked: argparse.Namespace, name: str) -> str:
    """The images of the run that made an artifact; the flags about them become that run's."""
    registry = Registry(Home.open())
    items = registry.artifacts(id=name)
    if not items:
        raise ValueError(f"{name} is a file of its own; say with --data which images it is to be run on")
    data = registry.get(items[0].run).recipe["data"]
    for flag in ("split_seed", "validation", "test"):
        setattr(asked, flag, data.get(flag, getattr(asked, flag)))
    return str(data["source"])


def show(document: dict[str, Any]) -> str:
    declared = document["declared"]
    head = f"as declared: top-1 {declared['top1']:.4f} [{declared['low']:.4f}, {declared['high']:.4f}]"
    rows = [
        {
            "title": row["title"],
            "top1": f"{row['top1']:.4f} [{row['low']:.3f}, {row['high']:.3f}]",
            "difference": f"{100 * row['difference']:+.2f} [{100 * row['difference_low']:+.2f}, "
            f"{100 * row['difference_high']:+.2f}]",
            "same": f"{100 * row['same_answer']:.1f} %",
        }
        for row in document["rows"]
    ]
    columns = {"title": "mistake", "top1": "top-1 [95 %]", "difference": "points [95 %]", "same": "same answer"}
    left_out = [f"not tried: {why}" for why in document["left_out"].values()]
    images = f"{document['images']:,} {document['split']} images of {document['data']}"
    return "\n".join([*document["verdicts"], f"{head} on {images}", table(rows, columns), *left_out])


COMMAND = Command("skew", "what wrong preprocessing would cost a file, and whether it happens", arguments, run, show)
