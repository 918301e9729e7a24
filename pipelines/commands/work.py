"""`work RUN` and `supervise`: the two background processes. People rarely type these."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.commands.command import Command


def work_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="id of the run")
    parser.add_argument("--attempt", type=int, required=True, help="the attempt the queue has claimed")


def work(asked: argparse.Namespace) -> dict[str, Any]:
    from pipelines.jobs import worker

    state = worker.work(asked.run, asked.attempt)
    return {"run": asked.run, "state": state, "exit_code": 1 if state == "failed" else 0}


def supervise(asked: argparse.Namespace) -> dict[str, Any]:
    from pipelines.jobs import supervisor

    return {"exit_code": supervisor.main()}


WORK = Command("work", "execute one attempt at a run (started by the supervisor)", work_arguments, work,
               lambda document: f"{document['run']} is {document['state']}")  # fmt: skip
SUPERVISE = Command(
    "supervise", "look after the queue (started on demand)", lambda parser: None, supervise, lambda document: ""
)
