"""`data SOURCE`: checks a data source and says what is in it."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.commands.command import Command, resolution, table
from pipelines.data import describe, open_dataset
from pipelines.runs import Home


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say how a source is read; the same as a recipe's data section."""
    parser.add_argument("--resolution", help="side in pixels, or HEIGHTxWIDTH; without: the set's own")
    parser.add_argument("--channels", type=int, choices=(1, 3), help="1 grey or 3 colour; without: the set's own")
    parser.add_argument("--split-seed", type=int, default=0)
    parser.add_argument(
        "--validation", type=float, help="share of the images that choices are made on; without: the set's own"
    )
    parser.add_argument(
        "--test", type=float, help="share of the images kept for the final judgement; without: the set's own"
    )


def open_from(asked: argparse.Namespace, source: str, **overrides: Any) -> Any:
    """Opens a source with the flags of `add_data_arguments`, through the home's cache."""
    given = {
        "resolution": resolution(asked.resolution) if asked.resolution else None,
        "channels": asked.channels,
        "split_seed": asked.split_seed,
        "validation": asked.validation,
        "test": asked.test,
        **overrides,
    }
    return open_dataset(source, **given, cache=Home.open().cache)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="digits, fashion_mnist, folder:PATH or zip:PATH")
    add_data_arguments(parser)


def run(asked: argparse.Namespace) -> dict[str, Any]:
    return describe(open_from(asked, asked.source))


def show(document: dict[str, Any]) -> str:
    splits = document["splits"]
    rows = [
        {"class": name, **{split: splits[split]["counts"][name] for split in splits}} for name in document["classes"]
    ]
    lines = [
        f"{document['title']}: {document['images']:,} images, {len(document['classes'])} classes, "
        f"{'x'.join(map(str, document['resolution']))} pixels, {'grey' if document['channels'] == 1 else 'colour'}",
        table(rows, {"class": "class", **{split: split for split in splits}}),
        *(f"note: {note}" for note in document["notes"]),
        *(f"set aside: {problem['item']}: {problem['reason']}" for problem in document["problems"]),
    ]
    return "\n".join(lines)


COMMAND = Command("data", "check a data source: classes, counts, splits, problems", arguments, run, show)
