"""`work RUN` and `supervise`: the two background processes. People rarely type these."""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import Any

from pipelines.commands.command import Command
from pipelines.runs import Home, Registry


def work_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="id of the run")
    parser.add_argument("--attempt", type=int, required=True, help="the attempt the queue has claimed")


def work(asked: argparse.Namespace) -> dict[str, Any]:
    from pipelines.jobs import worker

    with closing(Home.open()) as home:
        claimed = Registry(home).get(asked.run).attempt
        if not 1 <= asked.attempt <= claimed:
            raise ValueError(f"run {asked.run} has no attempt {asked.attempt}; the queue has claimed {claimed} so far")
        state = worker.work(asked.run, asked.attempt, home=home)
    return {"run": asked.run, "state": state, "exit_code": 1 if state == "failed" else 0}


def supervise(asked: argparse.Namespace) -> dict[str, Any]:
    from pipelines.jobs import supervisor

    return {"exit_code": supervisor.main()}


WORK = Command("work", "execute one attempt at a run (started by the supervisor)", work_arguments, work,
               lambda document: f"{document['run']} is {document['state']}")  # fmt: skip
SUPERVISE = Command(
    "supervise", "look after the queue (started on demand)", lambda parser: None, supervise, lambda document: ""
)
