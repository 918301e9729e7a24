"""Real processes, really killed: no run is lost, none is done twice."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from itertools import pairwise

import psutil
import pytest

from pipelines.jobs import Queue, is_supervised
from pipelines.jobs.detached import ensure_supervisor, stop_supervisor, supervisor_pid
from pipelines.jobs.supervisor import Supervisor
from pipelines.runs import Home, Registry

from .conftest import belonging_to, counting, supervise_command, until


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def workers(home):
    return [process for process in belonging_to(home) if "work" in process.cmdline()]


def trail(home, run_id):
    """What the workers really did: (attempt, pid, x) in order."""
    lines = (home.folder / f"{run_id}.counted").read_text().splitlines()
    return [tuple(int(word) for word in line.split()) for line in lines]


def assert_counted_once(home, registry, run_id, to):
    """Every point exists exactly once with its right value, and at most one count per kill was repeated."""
    assert [(point.x, point.value) for point in sorted(registry.metrics(run_id), key=lambda point: point.x)] == [
        (x, x * x) for x in range(to)
    ]
    (step,) = registry.steps(run_id)
    assert (step.state, step.metrics) == ("done", {"sum": sum(x * x for x in range(to))})
    done = trail(home, run_id)
    attempts = {attempt for attempt, _, _ in done}
    assert len(done) <= to + len(attempts) - 1
    assert [attempt for attempt, _, _ in done] == sorted(attempt for attempt, _, _ in done)


def test_jobs_are_done_one_after_the_other(home, registry, make, supervise, reaches):
    runs = [make(counting(5)) for _ in range(3)]
    supervise()
    ended = [reaches(run_id, "done") for run_id in runs]
    for earlier, later in pairwise(ended):
        assert earlier.finished <= later.started
    assert "counting from 0" in registry.log(runs[0])


def test_a_killed_worker_is_replaced_and_goes_on_from_its_checkpoint(home, registry, make, supervise, reaches, counted):
    run_id = make(counting(40))
    supervise()
    run = counted(run_id, 8)
    kill(run.worker_pid)
    run = reaches(run_id, "done")
    assert run.attempt == 2
    assert_counted_once(home, registry, run_id, 40)
    assert min(x for attempt, _, x in trail(home, run_id) if attempt == 2) >= 7


def test_a_killed_supervisor_leaves_the_job_alone_and_the_next_one_adopts_it(
    home, registry, make, supervise, reaches, counted
):
    run_id, later = make(counting(60)), make(counting(3))
    first = supervise()
    run = counted(run_id, 5)
    assert supervisor_pid(home) == first.pid  # the one that holds the home, not a loser of the race
    kill(first.pid)
    first.wait()
    seen = len(registry.metrics(run_id))
    counted(run_id, seen + 3)  # the job did not notice
    supervise()
    until(lambda: is_supervised(home), "the second supervisor")
    run = registry.get(run_id)
    assert (run.state, run.attempt) == ("running", 1)
    assert [process.pid for process in workers(home)] == [run.worker_pid]
    reaches(later, "done")
    assert registry.get(run_id).attempt == 1
    assert_counted_once(home, registry, run_id, 60)
    assert len({pid for _, pid, _ in trail(home, run_id)}) == 1


def test_a_worker_that_dies_unsupervised_is_found_by_the_next_supervisor(
    home, registry, make, supervise, reaches, counted
):
    """All processes gone, as after a power cut."""
    run_id, waiting = make(counting(30)), make(counting(3))
    first = supervise()
    run = counted(run_id, 5)
    for pid in (first.pid, run.worker_pid):
        kill(pid)
    first.wait()
    until(lambda: not belonging_to(home), "silence")
    assert registry.get(run_id).state == "running"  # nobody is left to say otherwise
    supervise()
    assert reaches(run_id, "done").attempt == 2
    reaches(waiting, "done")
    assert_counted_once(home, registry, run_id, 30)


def test_a_second_supervisor_leaves_at_once(home, make, supervise, reaches, counted):
    run_id = make(counting(40))
    both = [supervise(), supervise()]
    counted(run_id, 3)
    loser = until(lambda: [process for process in both if process.poll() is not None], "the loser to leave")
    assert len(loser) == 1
    assert loser[0].returncode == 0
    assert len(workers(home)) == 1
    assert reaches(run_id, "done").attempt == 1


def test_a_supervisor_that_died_between_claim_and_start_loses_no_run(home, queue, registry, make, supervise, reaches):
    run_id = make(counting(3))
    claim = queue.claim(lease_s=0.5)  # what it had done when it died: running, no pid
    assert registry.get(run_id).worker_pid is None
    supervise()
    assert reaches(run_id, "done").attempt == claim.attempt + 1


def test_a_worker_whose_supervisor_died_before_noting_it_names_itself(
    home, queue, registry, make, supervise, reaches, counted
):
    run_id = make(counting(60))
    claim = queue.claim(lease_s=1.0)
    command = [*supervise_command()[:2], "work", run_id, "--attempt", str(claim.attempt)]
    with subprocess.Popen(command) as worker:
        counted(run_id, 2)
        supervise()
        assert reaches(run_id, "done").attempt == 1  # adopted, although the claim's lease is long over
    assert {pid for _, pid, _ in trail(home, run_id)} == {worker.pid}


def test_cancel_stops_a_worker_quickly_and_the_run_can_go_on(home, queue, registry, make, supervise, reaches, counted):
    run_id = make(counting(400, pause=0.01))
    supervise()
    run = counted(run_id, 5)
    assert queue.cancel(run_id) == "running"
    reaches(run_id, "cancelled", seconds=10)
    until(lambda: not psutil.pid_exists(run.worker_pid), "the worker to end")
    seen = len(registry.metrics(run_id))
    assert seen < 400
    queue.resume(run_id)
    counted(run_id, seen + 2)
    assert min(x for attempt, _, x in trail(home, run_id) if attempt == 2) == seen


def test_a_worker_that_ignores_sigterm_is_killed_after_the_grace_period(
    home, queue, make, supervise, reaches, registry
):
    run_id = make(counting(deaf=True))
    supervise(grace_s=0.5)
    until(lambda: (home.scratch(run_id) / "deaf").exists(), "the worker to turn deaf")
    pid = registry.get(run_id).worker_pid
    queue.cancel(run_id)
    run = reaches(run_id, "cancelled", seconds=10)
    assert run.finished - run.cancel_asked >= 0.5
    until(lambda: not psutil.pid_exists(pid), "the worker to be gone")


def test_what_a_killed_worker_leaves_behind_is_ended_before_the_next_attempt(home, make, supervise, reaches, counted):
    run_id = make(counting(40, child=True))
    supervise()
    run = counted(run_id, 3)
    first_child = int((home.scratch(run_id) / "child").read_text())
    kill(run.worker_pid)
    until(lambda: not psutil.pid_exists(first_child), "the converter of the dead worker to be ended")
    reaches(run_id, "done")


def test_a_run_that_kills_its_worker_every_time_is_given_up(home, make, supervise, reaches):
    run_id = make(counting(die=True))
    next_run = make(counting(2))
    supervise()
    run = reaches(run_id, "failed")
    assert (run.attempt, run.error_kind) == (3, "killed")
    assert "was killed by signal 9 (SIGKILL)" in run.error
    reaches(next_run, "done")


def test_a_worker_that_dies_just_after_it_was_looked_at_keeps_its_cause(home, make, caplog):
    class JustAfter(Supervisor):
        def _look_after(self, run):
            super()._look_after(run)
            for child in self.children.values():
                if child.returncode is None:
                    child.kill()
                    process = psutil.Process(child.pid)
                    until(lambda process=process: process.status() == psutil.STATUS_ZOMBIE, "the worker to be dead")

    run_id = make(counting())
    asleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    supervisor = JustAfter(home, worker_command=lambda run, attempt: asleep)
    with caplog.at_level("WARNING"):
        for _ in range(3):
            supervisor.tick()
    assert f"run {run_id} attempt 1: worker was killed by signal 9 (SIGKILL); the run is queued" in caplog.text
    for child in supervisor.children.values():
        child.kill()
        child.wait()


FIRST_THREAD_ENDS = """
import ctypes, os, threading, time
def later():
    time.sleep(1.5)
    os.kill(os.getpid(), 9)
threading.Thread(target=later).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_worker_whose_threads_end_one_after_the_other_keeps_its_cause(home, make, queue, caplog):
    run_id = make(counting())
    supervisor = Supervisor(home, worker_command=lambda run, attempt: [sys.executable, "-c", FIRST_THREAD_ENDS])

    def ticked():
        supervisor.tick()
        return "attempt 1: worker" in "".join(one.message for one in caplog.records if one.levelname == "WARNING")

    with caplog.at_level("WARNING"):
        until(ticked, "the first attempt to be given up")
    assert f"run {run_id} attempt 1: worker was killed by signal 9 (SIGKILL); the run is queued" in caplog.text
    for child in supervisor.children.values():
        child.kill()
        child.wait()


def test_a_database_locked_for_seconds_costs_no_point(home, registry, make, supervise, reaches, counted):
    run_id = make(counting(30))
    supervise()
    counted(run_id, 5)
    locker = sqlite3.connect(home.database.file, isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    time.sleep(2.0)
    locker.execute("ROLLBACK")
    locker.close()
    assert reaches(run_id, "done").attempt == 1
    assert_counted_once(home, registry, run_id, 30)


@pytest.fixture
def small_home(tmp_path, monkeypatch):
    """A home with database, checkpoints and store on a file system of 6 MB."""
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0 or os.system(f"mount -t tmpfs -o size=6m tmpfs {small} 2>/dev/null") != 0:
        pytest.skip("mounting a small file system needs root")
    monkeypatch.setenv("LITESMITH_HOME", str(small / "home"))
    home = Home.open()
    yield home
    home.close()
    for process in belonging_to(home):
        process.kill()
        process.wait(timeout=60)
    assert os.system(f"umount {small}") == 0


def test_a_run_on_a_full_disk_is_not_lost_and_goes_on_when_there_is_room(small_home, tmp_path):
    registry = Registry(small_home)
    run_id = registry.create(counting(60, pause=0.03), name="counting", seed=0)
    with (tmp_path / "supervisor.log").open("wb") as log:  # elsewhere: its traces must not be what fills the disk
        supervisor = subprocess.Popen(supervise_command(), stdout=log, stderr=log)
    until(lambda: len(registry.metrics(run_id)) >= 5, "the first points")
    filler = small_home.folder.parent / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    until(lambda: not workers(small_home), "the worker to end on the full disk")
    assert registry.get(run_id).state in ("running", "queued", "failed")  # whatever could still be written
    filler.unlink()
    until(lambda: registry.get(run_id).state in ("failed", "done"), "an end")
    if (run := registry.get(run_id)).state == "failed":
        assert run.error_kind == "person"
        assert "no room" in run.error
        Queue(small_home).resume(run_id)
        until(lambda: registry.get(run_id).state == "done", "the resumed run")
    assert registry.get(run_id).attempt >= 2
    assert_counted_once(small_home, registry, run_id, 60)
    supervisor.kill()
    supervisor.wait()


def test_ensure_starts_one_detached_supervisor_that_leaves_when_idle(home, make, reaches, supervise):
    run_id = make(counting(3))
    assert ensure_supervisor(home, supervise_command(idle_s=0.3)) is True
    pid = supervisor_pid(home)
    assert psutil.Process(pid).ppid() != os.getpid()
    reaches(run_id, "done")
    until(lambda: not is_supervised(home), "the idle supervisor to leave")
    late = make(counting(3))
    assert ensure_supervisor(home, supervise_command()) is True
    assert ensure_supervisor(home, supervise_command()) is False
    reaches(late, "done")
    assert stop_supervisor(home) is True
    assert stop_supervisor(home) is False


@pytest.mark.slow
def test_a_run_submitted_while_the_supervisor_leaves_is_still_started(home, make, reaches, supervise):
    """Submitting and leaving meet again and again; nobody may end up waiting."""
    for _ in range(4):
        ensure_supervisor(home, supervise_command(idle_s=0.0, poll_s=0.01))
        run_id = make(counting(1))
        ensure_supervisor(home, supervise_command(idle_s=0.0, poll_s=0.01))
        reaches(run_id, "done")


def test_a_supervisor_whose_home_is_deleted_leaves(home, supervise):
    process = supervise()
    until(lambda: is_supervised(home), "the supervisor")
    shutil.rmtree(home.folder)
    assert process.wait(timeout=60) is not None


@pytest.mark.slow
def test_a_stopped_supervisor_leaves_its_worker_running(home, registry, make, supervise, counted):
    run_id = make(counting(400))
    supervise()
    counted(run_id, 2)
    stop_supervisor(home)
    seen = len(registry.metrics(run_id))
    counted(run_id, seen + 3)
    assert registry.get(run_id).state == "running"
