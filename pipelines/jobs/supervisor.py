"""Starts workers, one per slot, and looks after them. One supervisor per home.

It keeps nothing in memory that matters: everything is in the database, so it may die at any moment. The next one adopts
the workers that still run and queues again what was lost. Workers are never its prisoners: they live in sessions of
their own and go on when it ends.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from sqlalchemy.exc import OperationalError

from pipelines.jobs import command
from pipelines.jobs.queue import Claim, Queue, what_happened_to
from pipelines.runs.attempt import LEASE_S
from pipelines.runs.home import Home
from pipelines.runs.locks import open_lock, try_lock, unlock
from pipelines.runs.process import left_behind, mark_of, this_process
from pipelines.runs.records import Run
from pipelines.runs.registry import DEFAULT_SLOT

log = logging.getLogger(__name__)

WorkerCommand = Callable[[str, int], list[str]]


@dataclass(frozen=True)
class Manners:
    """How a supervisor behaves; times in seconds."""

    poll_s: float = 0.3
    grace_s: float = 20.0  # between the polite signal and the deadly one: a long epoch cannot listen earlier
    idle_s: float = 120.0  # without work for that long it leaves
    lease_s: float = LEASE_S  # for a claimed run whose worker has not shown up
    slots: tuple[str, ...] = (DEFAULT_SLOT,)


class Supervisor:
    """Looks after the runs of one home while it holds the home's supervisor lock."""

    def __init__(
        self,
        home: Home,
        *,
        worker_command: WorkerCommand = command.worker_command,
        manners: Manners | None = None,
    ) -> None:
        self.home = home
        self.queue = Queue(home)
        self.worker_command = worker_command
        self.manners = manners or Manners()
        self.children: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
        self.asked_to_stop: set[tuple[str, int]] = set()
        self.leave = False

    def run(self) -> bool:
        """Works until idle, told to leave, or the home is gone. False when another supervisor holds the home."""
        descriptor = open_lock(lock_path(self.home))
        try:
            # `is_running` holds a share for an instant: try a little longer than that.
            for _ in range(10):
                if try_lock(descriptor):
                    break
                time.sleep(0.02)
            else:
                log.info("another supervisor looks after %s; leaving", self.home.folder)
                return False
            while True:
                me = this_process()
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{me.pid} {me.created:.2f}\n".encode(), 0)
                self._until_idle(descriptor)
                unlock(descriptor)
                # A run queued after our last look saw us holding the lock and started nobody: look once more.
                if self.leave or not self._home_is_there(descriptor) or not self.queue.has_work():
                    return True
                if not try_lock(descriptor):
                    return True  # somebody else took over
        finally:
            os.close(descriptor)

    def _until_idle(self, descriptor: int) -> None:
        log.info("supervisor %d looks after %s", os.getpid(), self.home.folder)
        busy_at, said = time.monotonic(), ""
        while not self.leave and self._home_is_there(descriptor):
            try:
                if self.tick():
                    busy_at = time.monotonic()
                said = ""
            except (OperationalError, OSError) as error:
                # A full disk or a database locked for minutes passes; leaving would leave the runs alone.
                if type(error).__name__ != said:  # once: the log may be on the disk that is full
                    log.exception("cannot look after the runs now; trying again until it works")
                    said = type(error).__name__
                busy_at = time.monotonic()
                time.sleep(self.manners.poll_s * 5)
            if time.monotonic() - busy_at > self.manners.idle_s:
                log.info("nothing to do for %g s; leaving", self.manners.idle_s)
                return
            time.sleep(self.manners.poll_s)

    def tick(self) -> bool:
        """Looks once after everything; returns whether there is work."""
        running = self.queue.running()
        for run in running:
            self._look_after(run)
        # A child that ended just now is kept for the next tick: its exit code alone says which signal it was.
        self._reap({(run.id, run.attempt) for run in running})
        for slot in self.manners.slots:
            claim = self.queue.claim(slot, lease_s=self.manners.lease_s)
            if claim is not None:
                self._start(claim)
        return self.queue.has_work()

    def _start(self, claim: Claim) -> None:
        run_id, attempt = claim.run_id, claim.attempt
        with self.home.log_path(run_id).open("ab") as run_log:
            child = subprocess.Popen(
                self.worker_command(run_id, attempt),
                stdin=subprocess.DEVNULL,
                stdout=run_log,
                stderr=subprocess.STDOUT,
                cwd=command.PROJECT,
                env=command.environment_for(self.home, run_id),
                start_new_session=True,
            )
        self.children[run_id, attempt] = child
        log.info("run %s attempt %d: worker %d started", run_id, attempt, child.pid)
        try:
            self.queue.name_worker(run_id, attempt, mark_of(child.pid))
        except psutil.NoSuchProcess:
            log.warning("run %s attempt %d: worker %d ended at once", run_id, attempt, child.pid)

    def _look_after(self, run: Run) -> None:
        key = (run.id, run.attempt)
        child = self.children.get(key)
        if child is None:
            how = what_happened_to(run)
        else:
            # Ours to wait for. A process whose first thread has ended looks dead before the others have, and only
            # then its exit code can be had.
            how = None if child.poll() is None else _how_it_ended(child.returncode)
        if how is not None:
            # The worker's children first: a converter must not compute beside the next attempt.
            self._end_children(run)
            state = self.queue.died(run.id, run.attempt, how)
            if state is not None:
                log.warning("run %s attempt %d: worker %s; the run is %s", run.id, run.attempt, how, state)
        elif run.cancel_asked is not None and run.worker_pid is not None and not run.foreground:
            self._stop(run, run.worker_pid, run.cancel_asked)

    def _stop(self, run: Run, pid: int, asked: float) -> None:
        key = (run.id, run.attempt)
        try:
            if time.time() - asked > self.manners.grace_s:
                log.warning("run %s: worker %d does not stop; killing it", run.id, pid)
                os.kill(pid, signal.SIGKILL)
            elif key not in self.asked_to_stop:
                self.asked_to_stop.add(key)
                os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            log.info("run %s: worker %d ended by itself", run.id, pid)

    def _end_children(self, run: Run) -> None:
        if run.worker_pid is None or run.foreground:
            return
        for process in left_behind(run.worker_pid, command.RUN_VARIABLE, run.id):
            log.warning("run %s: ending process %d that its worker left behind", run.id, process.pid)
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue  # it ended by itself

    def _reap(self, looked_after: set[tuple[str, int]]) -> None:
        """Forgets workers that ended, so that they do not stay as zombies, except those just `looked_after`."""
        for key, child in list(self.children.items()):
            if key not in looked_after and child.poll() is not None:
                del self.children[key]
                self.asked_to_stop.discard(key)

    def _home_is_there(self, descriptor: int) -> bool:
        """A deleted home (a test's, a demo's) needs no supervisor; a new one at the same place gets its own."""
        try:
            return os.path.samestat(os.fstat(descriptor), lock_path(self.home).stat())
        except FileNotFoundError:
            return False


def lock_path(home: Home) -> Path:
    """Returns the file whose lock makes a supervisor the only one of its home; it holds the supervisor's pid."""
    return home.locks / "supervisor.lock"


def _how_it_ended(returncode: int) -> str:
    if returncode < 0:
        return f"was killed by signal {-returncode} ({signal.Signals(-returncode).name})"
    return f"ended with exit code {returncode} without saying how the run went"


def main(
    home: Home | None = None,
    *,
    worker_command: WorkerCommand = command.worker_command,
    manners: Manners | None = None,
) -> int:
    """Runs a supervisor in this process until it has nothing to do. Exit code 0, also when there already is one."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("pipelines").setLevel(logging.INFO)
    opened = home or Home.open()
    supervisor = Supervisor(opened, worker_command=worker_command, manners=manners)

    def leave(number: int, frame: object) -> None:
        supervisor.leave = True

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    try:
        supervisor.run()
    finally:
        opened.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
