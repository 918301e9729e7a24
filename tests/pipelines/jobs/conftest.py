from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipelines.jobs.queue import Queue
from pipelines.runs import Home, Registry

DRIVER = Path(__file__).with_name("driver.py")
QUICK = {"poll_s": 0.05, "grace_s": 1.0, "idle_s": 30.0, "lease_s": 30.0}


def counting(to=30, **plan):
    return {"count": {"to": to, **plan}}


def supervise_command(**manners):
    return [sys.executable, str(DRIVER), "supervise", json.dumps({**QUICK, **manners})]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv("LITESMITH_DATABASE", raising=False)
    monkeypatch.setenv("LITESMITH_HOME", str(tmp_path / "home"))
    opened = Home.open()
    yield opened
    opened.close()


@pytest.fixture
def registry(home):
    return Registry(home)


@pytest.fixture
def queue(home):
    return Queue(home)


@pytest.fixture
def make(registry):
    def make_run(recipe=None, **options):
        return registry.create(recipe or counting(), **{"name": "counting", "seed": 0, **options})

    return make_run


@pytest.fixture
def supervise(home):
    """Starts real supervisors. At the end every process that belongs to this test's home is killed."""
    started = []

    def start(**manners):
        with (home.logs / "supervisor.log").open("ab") as log:
            process = subprocess.Popen(supervise_command(**manners), stdout=log, stderr=subprocess.STDOUT)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
    for process in belonging_to(home):
        process.kill()
    for process in started:
        process.wait(timeout=60)


def belonging_to(home):
    """Living processes, other than this one, that were started for the home."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("LITESMITH_HOME") == str(home.folder)
            if ours and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def until(condition, what, seconds=30.0):
    """Waits for something to become true and returns it; failing says what never came."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.02)
    return value


@pytest.fixture
def reaches(registry):
    """Waits until a run has a state."""

    def wait(run_id, state, seconds=120.0):
        until(lambda: registry.get(run_id).state == state, f"{run_id} to be {state}", seconds)
        return registry.get(run_id)

    return wait


@pytest.fixture
def counted(registry):
    """Waits until a run has counted so far, and returns the run."""

    def wait(run_id, at_least):
        until(lambda: len(registry.metrics(run_id)) >= at_least, f"{run_id} to count to {at_least}")
        return registry.get(run_id)

    return wait
