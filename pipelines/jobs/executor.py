"""Who executes a run. Three verbs and the log; where the work happens is the only difference."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Protocol

from pipelines.jobs.detached import SupervisorLate, ensure_supervisor
from pipelines.jobs.queue import Queue
from pipelines.jobs.worker import Execute, work
from pipelines.runs import states
from pipelines.runs.home import Home
from pipelines.runs.process import this_process
from pipelines.runs.registry import Registry

log = logging.getLogger(__name__)

ASK_EVERY_S = 0.2


class Executor(Protocol):
    """Takes recorded runs and gets them executed. All verbs raise ValueError for an unknown run."""

    def submit(self, run_id: str) -> str:
        """Gets a run executed and returns its state."""
        ...

    def status(self, run_id: str) -> str:
        """Returns the run's state."""
        ...

    def cancel(self, run_id: str) -> str:
        """Stops a run and returns its state, which may be "running" for a moment still."""
        ...

    def logs(self, run_id: str, lines: int = 200) -> str:
        """Returns the end of the run's log."""
        ...


class _Recorded:
    """What the database answers, whoever executes."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.queue = Queue(home)
        self.registry = Registry(home)

    def status(self, run_id: str) -> str:
        return self.registry.get(run_id).state

    def cancel(self, run_id: str) -> str:
        return self.queue.cancel(run_id)

    def logs(self, run_id: str, lines: int = 200) -> str:
        self.registry.get(run_id)
        return self.registry.log(run_id, lines)


class LocalExecutor(_Recorded):
    """Queues runs for this machine's supervisor. Closing the caller changes nothing."""

    def submit(self, run_id: str) -> str:
        """Queues the run, unless it is already queued or running, and sees to it that somebody looks after the queue.

        Raises ValueError for a run that is done.
        """
        self.queue.settle_dead()
        if self.status(run_id) not in (states.QUEUED, states.RUNNING):
            self.queue.resume(run_id)
        ensure_supervisor(self.home)
        return self.status(run_id)

    def submit_all(self, run_ids: Sequence[str]) -> str | None:
        """Submits runs that are recorded as queued; a sentence when nobody looks after the queue yet, else None."""
        try:
            for run_id in run_ids:
                self.submit(run_id)
        except SupervisorLate as late:  # every run waits in the queue, so a supervisor finds it when it comes up
            return f"{late}; what waits in the queue stays there, `python -m pipelines supervise` works it"
        return None


class InlineExecutor(_Recorded):
    """Executes runs in the calling process: the foreground of the command line, and tests."""

    def __init__(self, home: Home, execute: Execute | None = None) -> None:
        super().__init__(home)
        self.execute = execute

    def submit(self, run_id: str) -> str:
        """Executes the run, after waiting for its slot, and returns how it ended. Ctrl-C cancels it.

        Raises ValueError for a run that is done or already running.
        """
        self.queue.settle_dead()
        state = self.status(run_id)
        if state == states.DONE:
            raise ValueError(f"run {run_id} is done; clone it to execute its recipe again")
        if state in states.RESUMABLE:
            self.queue.resume(run_id, foreground=True)
        said = ""
        while (claim := self.queue.claim(run_id=run_id, worker=this_process())) is None:
            if self.status(run_id) == states.RUNNING:
                raise ValueError(f"run {run_id} is already running; `python -m pipelines show {run_id}` follows it")
            if self.status(run_id) in states.FINAL:
                return self.status(run_id)  # cancelled while it waited
            if (holders := [run.id for run in self.queue.running()]) and holders[0] != said:
                said = holders[0]
                log.warning("run %s waits for run %s", run_id, said)
            time.sleep(ASK_EVERY_S)
            self.queue.settle_dead()
        work(run_id, claim.attempt, home=self.home, execute=self.execute)
        return self.status(run_id)
