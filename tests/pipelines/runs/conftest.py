from __future__ import annotations

import pytest

from pipelines.jobs.queue import Queue
from pipelines.runs import Home, Registry, RunHandle
from pipelines.runs.process import this_process

RECIPE = {
    "data": {"source": "digits", "resolution": 16},
    "model": {"name": "mobilenet_v2", "width": 0.5},
    "steps": [{"train": {"epochs": 2}}],
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv("LITESMITH_DATABASE", raising=False)
    opened = Home.open(tmp_path / "home")
    yield opened
    opened.close()


@pytest.fixture
def registry(home):
    return Registry(home)


@pytest.fixture
def make(registry):
    """Makes a run; `make(name="a", parent=id)`."""

    def make_run(recipe=RECIPE, **options):
        return registry.create(recipe, **{"name": "a run", "seed": 0, "queue": False, **options})

    return make_run


@pytest.fixture
def start(home, make):
    """Makes a run, unless given one, and gives the handle of its next attempt, as a worker in this process has it."""
    queue = Queue(home)

    def start_run(run_id=None, **options):
        claim = queue.claim(run_id=run_id or make(**options), worker=this_process())
        assert claim is not None
        return RunHandle(home, claim.run_id, claim.attempt)

    return start_run
