"""`evaluate FILE --data SOURCE`: accuracy of a written file over a split."""

from __future__ import annotations

import argparse
from typing import Any

from exports import evaluate
from pipelines.commands.command import Command, table
from pipelines.commands.data import add_data_arguments, open_from
from pipelines.commands.files import file_named


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a .tflite or .onnx file with its contract beside it, or an artifact's id")
    parser.add_argument("--data", required=True, help="digits, fashion_mnist, folder:PATH or zip:PATH")
    parser.add_argument("--split", default="test", choices=("train", "validation", "test"))
    parser.add_argument("--kernels", default="xnnpack", choices=("xnnpack", "builtin", "reference"))
    add_data_arguments(parser)


def run(asked: argparse.Namespace) -> dict[str, Any]:
    path, contract, name = file_named(asked.file)
    data = open_from(
        asked, asked.data, resolution=(contract.input.height, contract.input.width), channels=contract.input.channels
    )
    if data.classes != contract.labels:
        raise ValueError(
            f"{name} knows the classes {', '.join(contract.labels[:5])} …; "
            f"{asked.data} has {', '.join(data.classes[:5])} …"
        )
    split = data.splits[asked.split]
    found = evaluate(path, contract, split.images, split.labels, kernels=asked.kernels)
    return {"file": name, "data": asked.data, "split": asked.split, **found.as_dict(predictions=False)}


def show(document: dict[str, Any]) -> str:
    low, high = document["interval"]
    head = (
        f"top-1 {document['top1']:.4f} [{low:.4f}, {high:.4f}] on {document['n']:,} {document['split']} images, "
        f"kernels: {document['kernels']}"
    )
    return (
        head
        + "\n"
        + table(document["per_class"], {"label": "class", "n": "images", "correct": "correct", "accuracy": "accuracy"})
    )


COMMAND = Command("evaluate", "accuracy of a written file", arguments, run, show)
