from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from exports.isolated import run_isolated


def writing_job(tmp_path: Path, model: Path) -> dict[str, object]:
    """A job that keeps a child busy for seconds: TensorFlow has to be imported."""
    return {
        "action": "write", "model_path": str(model), "out_dir": str(tmp_path), "name": "m", "labels": ["a"] * 10,
        "resize": "nearest", "channel_order": None, "formats": ["tflite_float32"],
    }


def test_a_child_that_takes_too_long_is_ended_and_says_so(digits, tmp_path: Path):
    started = time.monotonic()
    ended = run_isolated(writing_job(tmp_path, digits.model_path), timeout_s=0.5)
    assert ended.cause == "it did not finish within 0.5 s"
    assert time.monotonic() - started < 10


def test_a_child_that_takes_too_much_memory_is_ended_and_says_so(digits, tmp_path: Path):
    ended = run_isolated(writing_job(tmp_path, digits.model_path), memory_bytes=2**28)
    assert ended.cause is not None
    assert "256 MiB" in ended.cause or "ended by" in ended.cause or "status" in ended.cause
    assert not list(tmp_path.glob("*.tflite"))


def test_a_child_that_raises_gives_its_last_words():
    ended = run_isolated({"action": "nothing we know"})
    assert ended.cause is not None
    assert "KeyError" in ended.cause
    assert ended.reports == ()


def test_a_child_that_is_killed_is_reported_by_its_signal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The interpreter is replaced by one that kills itself, as the kernel's memory killer would do it."""
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nkill -9 $$\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    assert run_isolated({"action": "write"}).cause == "the process was ended by SIGKILL"


def test_reports_are_told_once_each_time_there_are_more(digits, tmp_path: Path):
    told: list[int] = []
    ended = run_isolated(writing_job(tmp_path, digits.model_path), told=lambda reports: told.append(len(reports)))
    assert ended.cause is None
    assert told == sorted(set(told))
    assert 0 not in told


def test_no_time_or_memory_is_the_callers_error():
    with pytest.raises(ValueError, match="at least 1 s and 256 MiB"):
        run_isolated({}, memory_bytes=1000)


@pytest.mark.skipif(sys.platform != "linux", reason="the child follows its parent by a Linux call")
def test_a_child_does_not_outlive_its_parent(digits, tmp_path: Path):
    job = writing_job(tmp_path, digits.model_path)
    code = f"from exports.isolated import run_isolated; run_isolated({job!r})"
    parent = subprocess.Popen([sys.executable, "-c", code])
    try:
        deadline = time.monotonic() + 30
        child = None
        while child is None or b"exports.child" not in " ".join(child.cmdline()).encode():
            assert time.monotonic() < deadline
            child = next(iter(psutil.Process(parent.pid).children()), None)
            time.sleep(0.02)
        # The call to Linux is the first thing the child does after Python is up and TensorFlow is not yet imported.
        while child.memory_info().rss < 60 * 2**20:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        gone, _ = psutil.wait_procs([child], timeout=30)
        assert gone
    finally:
        parent.kill()
        parent.wait()
