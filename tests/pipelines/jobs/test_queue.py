"""States change in one transaction, for the attempt in charge only."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import update

from pipelines.jobs.queue import ATTEMPTS
from pipelines.runs import LostAttempt, states
from pipelines.runs.process import ProcessMark, host_name, this_process
from pipelines.runs.tables import RunRow


def test_runs_are_given_in_order_and_one_at_a_time(queue, make):
    first, second = make(), make()
    claim = queue.claim()
    assert (claim.run_id, claim.attempt) == (first, 1)
    assert queue.claim() is None
    assert queue.claim(run_id=second) is None
    assert queue.finish(first, 1)
    assert queue.claim().run_id == second


def test_slots_do_not_wait_for_each_other(queue, make):
    make()
    other = make(slot="gpu0")
    assert queue.claim() is not None
    assert queue.claim("gpu0").run_id == other


def test_a_created_run_is_only_given_by_name(queue, make):
    run_id = make(queue=False)
    assert queue.claim() is None
    assert queue.claim(run_id=run_id).run_id == run_id


def test_only_the_attempt_in_charge_changes_a_run(queue, registry, make):
    run_id = make()
    first = queue.claim()
    assert queue.died(run_id, first.attempt, "was killed") == "queued"
    second = queue.claim()
    assert second.attempt == 2
    assert not queue.finish(run_id, 1)
    assert not queue.fail(run_id, 1, "stale", states.BUG)
    assert queue.stopped(run_id, 1) is None
    assert queue.died(run_id, 1, "stale") is None
    assert queue.heartbeat(run_id, 1) is None
    assert not queue.name_worker(run_id, 1, this_process())
    with pytest.raises(LostAttempt):
        queue.begin(run_id, 1, this_process(), {})
    run = registry.get(run_id)
    assert (run.state, run.attempt, run.error) == ("running", 2, None)
    assert queue.finish(run_id, 2)
    assert not queue.finish(run_id, 2)


def test_a_lost_worker_is_replaced_a_few_times_and_then_a_person_decides(queue, registry, make):
    run_id = make()
    for _ in range(ATTEMPTS - 1):
        assert queue.died(run_id, queue.claim().attempt, "was killed") == "queued"
    assert queue.died(run_id, queue.claim().attempt, "was killed by signal 9") == "failed"
    run = registry.get(run_id)
    assert run.error_kind == states.KILLED
    assert "3 workers in a row were lost, the last one was killed by signal 9" in run.error
    assert queue.claim() is None
    queue.resume(run_id)
    assert queue.claim().attempt == ATTEMPTS + 1
    assert registry.get(run_id).error is None
    assert queue.died(run_id, ATTEMPTS + 1, "was killed") == "queued"


def test_a_requeued_run_keeps_its_place_and_a_resumed_one_goes_last(queue, make):
    first, second = make(), make()
    queue.died(first, queue.claim().attempt, "was killed")
    assert [run.id for run in queue.waiting()] == [first, second]
    queue.cancel(first)
    queue.resume(first)
    assert [run.id for run in queue.waiting()] == [second, first]


def test_cancel_and_resume_say_what_is_possible(queue, make):
    run_id = make()
    with pytest.raises(ValueError, match="is queued; only created, failed, cancelled runs can be resumed"):
        queue.resume(run_id)
    assert queue.cancel(run_id) == "cancelled"
    with pytest.raises(ValueError, match="is cancelled; only waiting or running"):
        queue.cancel(run_id)
    queue.resume(run_id)
    claim = queue.claim()
    assert queue.cancel(run_id) == "running"
    assert queue.heartbeat(run_id, claim.attempt) is True
    assert queue.stopped(run_id, claim.attempt) == "cancelled"
    with pytest.raises(ValueError, match="'r00077' is not in this home"):
        queue.cancel("r00077")


def test_a_signal_without_a_persons_wish_only_interrupts(queue, registry, make):
    run_id = make()
    claim = queue.claim()
    assert queue.stopped(run_id, claim.attempt) == "queued"
    assert registry.get(run_id).deaths == 0


def running(queue, home, run_id, **values):
    claim = queue.claim(run_id=run_id)
    home.database.write(lambda session: session.execute(update(RunRow).where(RunRow.id == run_id).values(**values)))
    return claim


@pytest.mark.parametrize(
    ("values", "lost"),
    [
        ({}, False),  # claimed a moment ago, the worker is on its way
        ({"lease": 1.0}, True),  # claimed by a supervisor that died before it started a worker
        ({"worker": "me"}, False),
        ({"worker": "me", "lease": 1.0}, False),  # alive, only slow to say so
        ({"worker": "dead"}, True),
        ({"worker": "reused", "lease": 1.0}, True),  # somebody else has the pid now
        ({"worker": "reused"}, False),  # heartbeat is fresh: the clock was corrected
        ({"worker": "elsewhere"}, False),
        ({"worker": "elsewhere", "lease": 1.0}, True),
    ],
)
def test_whether_a_worker_is_lost(queue, home, registry, make, values, lost):
    me = this_process()
    workers = {
        "me": me,
        "dead": ProcessMark(me.host, 2**22 + 1, me.created),  # above the largest pid
        "reused": ProcessMark(me.host, me.pid, me.created - 500),
        "elsewhere": ProcessMark("another-" + host_name(), me.pid, me.created),
    }
    values = {"lease": time.time() + 60, **values}
    if worker := workers.get(values.pop("worker", "")):
        values |= {"worker_host": worker.host, "worker_pid": worker.pid, "worker_created": worker.created}
    run_id = make()
    running(queue, home, run_id, **values)
    assert queue.settle_dead() == ([run_id] if lost else [])
    assert registry.get(run_id).state == ("queued" if lost else "running")


def dead_mark() -> ProcessMark:
    """The mark of a process that was there and is gone."""
    import subprocess
    import sys

    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    return ProcessMark(host_name(), child.pid, 1.0)


@pytest.mark.parametrize("command", ["cancel", "resume", "delete"])
def test_after_a_power_cut_the_command_line_can_do_with_a_run_what_it_likes(
    command, queue, registry, make, capsys, monkeypatch
):
    """Nobody is there to notice that the worker of a running run is gone; each command notices it itself."""
    from pipelines.__main__ import main
    from pipelines.jobs import executor

    woken: list[str] = []
    monkeypatch.setattr(executor, "ensure_supervisor", lambda home: woken.append("supervisor"))
    run_id = make()
    assert queue.claim(worker=dead_mark(), lease_s=-1.0) is not None
    assert registry.get(run_id).state == states.RUNNING
    if command == "delete":
        assert main(["cancel", run_id]) == 0
    assert main([command, run_id, "--json"]) == 0
    capsys.readouterr()
    if command == "resume":
        assert woken
        assert registry.get(run_id).state == states.QUEUED
    elif command == "cancel":
        assert registry.get(run_id).state == states.CANCELLED
