"""`cancel`, `resume`, `clone`, `rename`, `delete`, `restore`: what a person changes about runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from pipelines.commands.command import Command, warned
from pipelines.jobs import LocalExecutor, Queue
from pipelines.runs import Home, Registry, states
from pipelines.start import clone


def _run_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="id of the run")


def _rename_arguments(parser: argparse.ArgumentParser) -> None:
    _run_argument(parser)
    parser.add_argument("name", help="the new name")


def _clone_arguments(parser: argparse.ArgumentParser) -> None:
    _run_argument(parser)
    parser.add_argument("--start", action="store_true", help="queue the clone at once")


def _delete_arguments(parser: argparse.ArgumentParser) -> None:
    _run_argument(parser)
    parser.add_argument("--with-dependents", action="store_true", help="also the runs that need this one")
    parser.add_argument("--for-good", action="store_true", help="empty the trash afterwards; cannot be undone")


def _settled(home: Home) -> Queue:
    """The queue of a home where no run is called running whose worker is gone, as after a power cut."""
    queue = Queue(home)
    queue.settle_dead()
    return queue


def _cancel(home: Home, asked: argparse.Namespace) -> dict[str, Any]:
    return {"run": asked.run, "state": _settled(home).cancel(asked.run)}


def _resume(home: Home, asked: argparse.Namespace) -> dict[str, Any]:
    queue = _settled(home)
    if Registry(home).get(asked.run).state != states.QUEUED:  # it waits already; somebody must look after the queue
        queue.resume(asked.run)
    late = LocalExecutor(home).submit_all([asked.run])
    return {"run": asked.run, "state": Registry(home).get(asked.run).state, "warning": late}


def _clone(home: Home, asked: argparse.Namespace) -> dict[str, Any]:
    registry = Registry(home)
    new = clone(registry, asked.run)
    late = LocalExecutor(home).submit_all([new] if asked.start else [])
    return {"run": new, "cloned": asked.run, "state": registry.get(new).state, "warning": late}


def _rename(home: Home, asked: argparse.Namespace) -> dict[str, Any]:
    Registry(home).rename(asked.run, asked.name)
    return {"run": asked.run, "name": asked.name}


def _delete(home: Home, asked: argparse.Namespace) -> dict[str, Any]:
    _settled(home)
    registry = Registry(home)
    deleted = registry.delete(asked.run, with_dependents=asked.with_dependents)
    if asked.for_good:
        registry.empty_trash()
    return {"run": asked.run, "for_good": asked.for_good, **deleted.as_dict()}


def _restore(home: Home, asked: argparse.Namespace) -> dict[str, Any]:
    return {"run": asked.run, "ids": list(Registry(home).restore(asked.run))}


def _command(
    name: str,
    help: str,
    arguments: Callable[[argparse.ArgumentParser], None],
    act: Callable[[Home, argparse.Namespace], dict[str, Any]],
    sentence: str,
) -> Command:
    return Command(
        name, help, arguments, lambda asked: act(Home.open(), asked),
        lambda document: warned(sentence.format(**document), document),
    )  # fmt: skip


CANCEL = _command("cancel", "stop a waiting or running run", _run_argument, _cancel, "{run} is {state}")
RESUME = _command("resume", "go on with a failed or cancelled run", _run_argument, _resume, "{run} is {state}")
CLONE = _command(
    "clone", "make a new run with the same recipe", _clone_arguments, _clone, "{run} is a clone of {cloned}, {state}"
)
RENAME = _command("rename", "give a run another name", _rename_arguments, _rename, "{run} is now called {name}")
DELETE = _command("delete", "move a run to the trash", _delete_arguments, _delete, "deleted {ids}: {bytes:,} bytes")
RESTORE = _command("restore", "take a run out of the trash", _run_argument, _restore, "restored {ids}")
