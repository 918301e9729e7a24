"""How an attempt ends is told to the person in the right words, and the log has the rest."""

from __future__ import annotations

import logging
import os
import signal
import threading

import pytest

from pipelines.jobs import InlineExecutor, LocalExecutor
from pipelines.jobs.worker import work
from pipelines.runs import DiskFull, LostAttempt, RunHandle

from .conftest import until


def failing(error):
    def execute(handle):
        raise error

    return execute


def run_inline(home, run_id, execute):
    return InlineExecutor(home, execute).submit(run_id)


def test_a_run_that_ends_well_is_done_and_its_checkpoints_go(home, registry, make):
    def execute(handle):
        (handle.folder / "checkpoint").write_text("x")
        handle.step_started(0, "train", {})
        handle.step_finished(0, {"top1": 1.0})
        handle.log("all went well")

    run_id = make(queue=False)
    assert run_inline(home, run_id, execute) == "done"
    run = registry.get(run_id)
    assert run.finished >= run.started
    assert run.environment["packages"]["numpy"]
    assert run.worker_pid is None
    assert not home.scratch(run_id).exists()
    assert "all went well" in registry.log(run_id)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ValueError("width 0 is not offered; choose 0.5"), "person", "width 0 is not offered; choose 0.5"),
        (KeyError("oops"), "bug", "KeyError: 'oops' (the trace is in the log)"),
        (SystemExit(3), "bug", "SystemExit: 3 (the trace is in the log)"),
        (MemoryError(), "person", "out of memory; try a smaller batch, width or resolution"),
        (OSError(28, "No space left on device"), "person", "no room on the disk: "),
    ],
)
def test_an_error_is_told_by_whose_it_is(home, registry, make, error, kind, message, caplog):
    run_id = make(queue=False)
    assert run_inline(home, run_id, failing(error)) == "failed"
    run = registry.get(run_id)
    assert run.error_kind == kind
    assert run.error.startswith(message)
    assert type(error).__name__ in registry.log(run_id)
    assert "Traceback" in registry.log(run_id)
    assert any(record.levelno >= logging.WARNING for record in caplog.records) == (kind == "bug")


def test_a_full_disk_fails_the_run_which_keeps_its_checkpoint_and_can_go_on(home, registry, queue, make):
    def execute(handle):
        if (handle.folder / "checkpoint").exists():
            return
        (handle.folder / "checkpoint").write_text("x")
        raise DiskFull("model.tflite", 5000, 100, home.folder)

    run_id = make(queue=False)
    assert run_inline(home, run_id, execute) == "failed"
    assert registry.get(run_id).error.startswith("no room for model.tflite: 5,000 bytes needed, 100 bytes free at ")
    assert run_inline(home, run_id, execute) == "done"


def test_ctrl_c_cancels_a_foreground_run(home, make):
    def execute(handle):
        raise KeyboardInterrupt

    assert run_inline(home, make(queue=False), execute) == "cancelled"


def test_sigterm_lets_the_step_end_at_its_next_check_and_queues_the_run_again(home, registry, make):
    reached = []

    def execute(handle):
        os.kill(os.getpid(), signal.SIGTERM)
        reached.append("after the signal")
        handle.check()
        reached.append("after the check")

    before = signal.getsignal(signal.SIGTERM)
    assert run_inline(home, make(queue=False), execute) == "queued"
    assert reached == ["after the signal"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_cancel_wish_comes_with_the_heartbeat(home, queue, registry, make):
    def execute(handle):
        queue.cancel(handle.id)
        handle._asked = float("inf")  # so that only the heartbeat can bring it
        until(handle.stop.is_set, "the heartbeat")
        handle.check()

    run_id = make(queue=False)
    claim = queue.claim(run_id=run_id)
    assert work(run_id, claim.attempt, home=home, execute=execute, heartbeat_s=0.05) == "cancelled"


def test_a_stale_worker_leaves_without_a_trace(home, queue, registry, make):
    run_id = make()
    queue.died(run_id, queue.claim().attempt, "was killed")
    queue.claim()
    called = []
    assert work(run_id, 1, home=home, execute=called.append) == "lost"
    assert called == []
    assert registry.get(run_id).attempt == 2


def test_a_worker_that_is_replaced_while_it_works_cannot_end_the_run(home, queue, registry, make):
    def execute(handle):
        queue.died(handle.id, handle.attempt, "was thought dead")
        successor = queue.claim()
        RunHandle(home, handle.id, successor.attempt).metrics(0, [("loss", 0, 2.0)])
        with pytest.raises(LostAttempt):
            handle.metrics(0, [("loss", 0, 1.0)])

    run_id = make()
    claim = queue.claim()
    assert work(run_id, claim.attempt, home=home, execute=execute) == "lost"
    run = registry.get(run_id)
    assert (run.state, run.attempt) == ("running", 2)
    assert [point.value for point in registry.metrics(run_id)] == [2.0]


def test_the_foreground_waits_for_its_slot_and_can_be_cancelled_meanwhile(home, queue, registry, make, caplog):
    make()
    holder = queue.claim()
    waiting = make(queue=False)
    ended = []
    thread = threading.Thread(
        target=lambda: ended.append(run_inline(home, waiting, failing(ValueError("not reached")))), daemon=True
    )
    thread.start()
    until(lambda: f"waits for run {holder.run_id}" in caplog.text, "the foreground to wait")
    assert queue.cancel(waiting) == "cancelled"
    thread.join(timeout=60)
    assert ended == ["cancelled"]
    assert registry.get(holder.run_id).state == "running"


def test_a_run_that_is_done_is_not_executed_again(home, make):
    run_id = make(queue=False)
    run_inline(home, run_id, lambda handle: None)
    with pytest.raises(ValueError, match="is done; clone it"):
        run_inline(home, run_id, lambda handle: None)


def test_submitting_a_run_that_already_started_is_no_error(home, queue, make, monkeypatch):
    monkeypatch.setattr("pipelines.jobs.executor.ensure_supervisor", lambda home: True)
    run_id = make(queue=False)
    assert LocalExecutor(home).submit(run_id) == "queued"
    claim = queue.claim()
    assert LocalExecutor(home).submit(run_id) == "running"
    queue.finish(run_id, claim.attempt)
    with pytest.raises(ValueError, match="is done"):
        LocalExecutor(home).submit(run_id)
