"""Executes one attempt at a run and says how it ended."""

from __future__ import annotations

import argparse
import logging
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError

from pipelines.jobs.alone import sharing_machine
from pipelines.jobs.queue import Queue
from pipelines.jobs.run_log import logged_to
from pipelines.runs import states
from pipelines.runs.attempt import Cancelled, LostAttempt
from pipelines.runs.disk import DiskFull, free_bytes, is_no_room
from pipelines.runs.environment import environment
from pipelines.runs.handle import RunHandle
from pipelines.runs.home import Home
from pipelines.runs.process import this_process

log = logging.getLogger(__name__)

Execute = Callable[[RunHandle], None]
HEARTBEAT_S = 2.0
LOST = "lost"  # another attempt owns the run; not a state of the run


def work(
    run_id: str,
    attempt: int,
    *,
    home: Home | None = None,
    execute: Execute | None = None,
    heartbeat_s: float = HEARTBEAT_S,
) -> str:
    """Executes attempt `attempt` of a run and returns the state the run then has, or "lost" if it is not ours.

    `execute` does the steps; by default `pipelines.execute.execute`, imported late because it brings in TensorFlow.
    """
    opened = home or Home.open()
    queue = Queue(opened)
    try:
        with logged_to(opened.log_path(run_id)):
            return _attempt(opened, queue, run_id, attempt, execute, heartbeat_s)
    finally:
        if home is None:
            opened.close()


def _attempt(home: Home, queue: Queue, run_id: str, attempt: int, execute: Execute | None, heartbeat_s: float) -> str:
    try:
        queue.begin(run_id, attempt, this_process(), environment())
        handle = RunHandle(home, run_id, attempt)
    except LostAttempt as lost:
        log.warning("%s; leaving", lost)
        return LOST
    log.info("run %s attempt %d begins", run_id, attempt)
    with _heart(queue, handle, heartbeat_s), _signals(handle):
        return _outcome(home, queue, handle, execute)


def _outcome(home: Home, queue: Queue, handle: RunHandle, execute: Execute | None) -> str:
    """Executes the steps and records how that ended. What the database cannot take is left to the supervisor."""
    run_id, attempt = handle.id, handle.attempt
    try:
        if execute is None:
            from pipelines.execute import execute as execute_recipe

            execute = execute_recipe
        with sharing_machine(home, handle.check):
            execute(handle)
    except LostAttempt as lost:
        log.warning("%s; leaving", lost)
        return LOST
    except (Cancelled, KeyboardInterrupt) as stopped:
        by_person = isinstance(stopped, KeyboardInterrupt)  # Ctrl-C on the terminal of a foreground run
        state = queue.stopped(run_id, attempt, by_person=by_person) or LOST
        log.info("run %s was stopped and is %s", run_id, state)
        return state
    except (Exception, SystemExit) as error:  # a library that calls exit() is our bug as well
        message, kind = _explain(error, home)
        # The run's log keeps every trace; on a terminal a person's mistake needs its sentence only.
        level = logging.ERROR if kind == states.BUG else logging.INFO
        log.log(level, "run %s attempt %d failed", run_id, attempt, exc_info=True)
        return states.FAILED if queue.fail(run_id, attempt, message, kind) else LOST
    if not queue.finish(run_id, attempt):
        return LOST
    shutil.rmtree(home.scratch(run_id), ignore_errors=True)  # checkpoints serve a run that is not done
    log.info("run %s is done", run_id)
    return states.DONE


def _explain(error: BaseException, home: Home) -> tuple[str, str]:
    """Returns the message for the person and whose error it is."""
    if isinstance(error, DiskFull):
        return str(error), states.PERSON
    if is_no_room(error):
        free = free_bytes(home.folder)
        return f"no room on the disk: {free:,} bytes free at {home.folder}; free some and resume", states.PERSON
    if isinstance(error, MemoryError):
        return "out of memory; try a smaller batch, width or resolution", states.PERSON
    if isinstance(error, ValueError):
        return str(error), states.PERSON
    return f"{type(error).__name__}: {error} (the trace is in the log)", states.BUG


@contextmanager
def _heart(queue: Queue, handle: RunHandle, every_s: float) -> Iterator[None]:
    """Says every few seconds that the worker lives, and hears whether it should stop."""
    enough = threading.Event()

    def beat() -> None:
        while not enough.wait(every_s):
            try:
                asked = queue.heartbeat(handle.id, handle.attempt)
            except (OperationalError, OSError):
                log.exception("no heartbeat: the database cannot be written now")
                continue
            if asked is None:
                handle.lost.set()
                return
            if asked:
                handle.stop.set()

    # Not waited for at the end if the database hangs: it is a daemon.
    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join(timeout=5.0)


@contextmanager
def _signals(handle: RunHandle) -> Iterator[None]:
    """SIGTERM asks the run to stop at its next check; raising right here could tear a file or transaction apart."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread only
        return
    before = signal.signal(signal.SIGTERM, lambda *_: handle.stop.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: list[str] | None = None, *, execute: Execute | None = None) -> int:
    """Command line of a worker. The exit code is 0 unless the run failed."""
    parser = argparse.ArgumentParser(prog="work", description="Execute one attempt at a run.")
    parser.add_argument("run")
    parser.add_argument("--attempt", type=int, required=True)
    asked = parser.parse_args(arguments)
    return 1 if work(asked.run, asked.attempt, execute=execute) == states.FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
