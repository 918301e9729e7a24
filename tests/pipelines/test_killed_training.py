"""Real training in real workers, killed with -9 in the middle: nothing lost or counted twice, bit-equal weights."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines.execute import load_stored_model
from pipelines.jobs import InlineExecutor, LocalExecutor, stop_supervisor
from pipelines.jobs.detached import is_supervised, supervisor_pid
from pipelines.recipes import Recipe
from pipelines.runs import Home, Registry
from pipelines.start import record

PROJECT = Path(__file__).parents[2]
RECIPE = """
name: killed
data: {source: digits, resolution: 16}
model: {name: mobilenet_v2, width: 0.35}
steps:
  - train: {epochs: 30, batch: 32, learning_rate: 0.003, rotate: 10, zoom: 0.1, cutout: 0.2, mixup: 0.1}
  - export: {formats: [tflite_int8]}
  - measure: {latency: false}
"""

RESTART = """
from pipelines.jobs import ensure_supervisor
from pipelines.runs import Home
ensure_supervisor(Home.open())
"""

pytestmark = pytest.mark.slow


def weights(registry, run):
    step = registry.steps(run)[0]
    return load_stored_model(registry.home, step.model_sha256).get_weights()


def wait(seconds, condition, what):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    home = Home.open(tmp_path_factory.mktemp("uninterrupted"))
    registry = Registry(home)
    started = record(registry, Recipe.parse(RECIPE), queue=True)
    LocalExecutor(home).submit(started.runs[0])
    wait(600, lambda: registry.get(started.runs[0]).is_final, "the uninterrupted run")
    assert registry.get(started.runs[0]).state == "done", registry.get(started.runs[0]).error
    stop_supervisor(home)
    return registry, started.runs[0]


@pytest.mark.parametrize("victims", ["worker", "worker and supervisor"])
def test_training_killed_in_the_middle_ends_with_bit_equal_weights_and_files(victims, uninterrupted, tmp_path):
    """Holds on one machine with one thread count and the library versions of the lock; op determinism is on."""
    home = Home.open(tmp_path)
    registry = Registry(home)
    run = record(registry, Recipe.parse(RECIPE), queue=True).runs[0]
    LocalExecutor(home).submit(run)
    checkpoint = home.scratch(run) / "step00" / "train.npz"
    wait(300, checkpoint.exists, "a checkpoint")
    killed = registry.get(run)
    assert killed.state == "running"
    if "supervisor" in victims:
        os.kill(int(killed.worker_pid or 0), signal.SIGKILL)
        os.kill(supervisor_pid(home) or 0, signal.SIGKILL)
        wait(30, lambda: not is_supervised(home), "the supervisor's death")
        subprocess.run(
            [sys.executable, "-c", RESTART],
            cwd=PROJECT,
            env={**os.environ, "LITESMITH_HOME": str(home.folder)},
            check=True,
        )
    else:
        os.kill(int(killed.worker_pid or 0), signal.SIGKILL)
    wait(900, lambda: registry.get(run).is_final, "the resumed run")
    resumed = registry.get(run)
    assert resumed.state == "done", resumed.error
    assert resumed.attempt == killed.attempt + 1
    assert registry.steps(run)[0].report["fit"]["resumed_from_epoch"] is not None

    reference, reference_run = uninterrupted
    ours, theirs = weights(registry, run), weights(reference, reference_run)
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert registry.artifacts(run)[0].sha256 == reference.artifacts(reference_run)[0].sha256
    points = [(metric.name, metric.x) for metric in registry.metrics(run)]
    assert len(points) == len(set(points)), "no epoch counted twice"
    assert {(m.name, m.x, m.value) for m in registry.metrics(run)} == {
        (m.name, m.x, m.value) for m in reference.metrics(reference_run)
    }
    stop_supervisor(home)


def test_run_in_the_foreground_gives_the_same_files_as_a_queued_one(uninterrupted, tmp_path):
    reference, reference_run = uninterrupted
    home = Home.open(tmp_path)
    registry = Registry(home)
    run = record(registry, Recipe.parse(RECIPE), queue=False).runs[0]
    assert InlineExecutor(home).submit(run) == "done"
    assert registry.artifacts(run)[0].sha256 == reference.artifacts(reference_run)[0].sha256
