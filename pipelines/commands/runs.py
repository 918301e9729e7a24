"""`runs`: lists the runs of this home, newest first."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import Any

from pipelines.commands.command import Command, table
from pipelines.runs import Home, Registry


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", help="only runs in this state")
    parser.add_argument("--group", help="only runs of this group")
    parser.add_argument("--search", help="words in id, name, model or data source")
    parser.add_argument("--trash", action="store_true", help="runs in the trash instead")
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--offset", type=int, default=0)


def run(asked: argparse.Namespace) -> dict[str, Any]:
    registry = Registry(Home.open())
    filters = {"state": asked.state, "group": asked.group, "search": asked.search, "trashed": asked.trash}
    found = registry.list(**filters, limit=asked.limit, offset=asked.offset)
    return {
        "runs": [
            {
                key: getattr(item, key)
                for key in ("id", "name", "state", "group", "seed", "data_source", "model_name", "created", "attempt")
            }
            for item in found
        ],
        "count": registry.count(**filters),
        "disk": registry.disk_use().as_dict(),
    }


def show(document: dict[str, Any]) -> str:
    if not document["runs"]:
        return "no runs yet; `python -m pipelines run digits_quick` makes the first"
    rows = [
        {**row, "created": datetime.fromtimestamp(row["created"]).strftime("%Y-%m-%d %H:%M")}
        for row in document["runs"]
    ]
    columns = {
        "id": "run",
        "state": "state",
        "name": "name",
        "model_name": "model",
        "data_source": "data",
        "created": "created",
    }
    return table(rows, columns) + f"\n{len(rows)} of {document['count']} runs"


COMMAND = Command("runs", "list the runs", arguments, run, show)
