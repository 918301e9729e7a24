"""What a worker writes: once, in its own attempt only."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.jobs.queue import Queue
from pipelines.runs import Cancelled, LostAttempt, states


@pytest.fixture
def again(home, start):
    """Ends a handle's attempt as if its worker had died and gives the next attempt's handle."""

    def next_attempt(handle):
        Queue(home).died(handle.id, handle.attempt, "was killed")
        return start(handle.id)

    return next_attempt


def points(registry, run_id):
    return [(point.name, point.x, point.value) for point in registry.metrics(run_id)]


def test_points_written_again_replace_the_earlier_ones(registry, start, again):
    handle = start()
    handle.metrics(0, [("loss", 0, 3.0), ("loss", 1, 2.0), ("top1", 0, 0.5)])
    resumed = again(handle)
    resumed.metrics(0, [("loss", 1, 1.5), ("loss", 2, 1.0)])
    assert sorted(points(registry, handle.id)) == [
        ("loss", 0, 3.0), ("loss", 1, 1.5), ("loss", 2, 1.0), ("top1", 0, 0.5),
    ]  # fmt: skip


def test_a_reader_sees_what_came_since_replaced_points_included(registry, start):
    handle = start()
    handle.metrics(0, [("loss", 0, 3.0), ("loss", 1, 2.0)])
    last = registry.metrics(handle.id)[-1].id
    handle.metrics(0, [("loss", 1, 1.0)])
    assert [(point.x, point.value) for point in registry.metrics(handle.id, since=last)] == [(1, 1.0)]
    assert registry.metrics(handle.id, name="top1") == []


def test_not_a_number_and_numpy_numbers_are_kept(registry, start):
    handle = start()
    handle.metrics(0, [("loss", np.int64(0), np.float32(0.5)), ("loss", 1, math.nan), ("loss", 2, math.inf)])
    values = [point.value for point in registry.metrics(handle.id)]
    assert values[0] == 0.5
    assert math.isnan(values[1])
    assert math.isinf(values[2])


def test_a_replaced_attempt_writes_nothing(registry, start, again, tmp_path):
    stale = start()
    stale.step_started(0, "train", {})
    fresh = again(stale)
    file = tmp_path / "model"
    file.write_bytes(b"stale")
    writes = [
        lambda: stale.metrics(0, [("loss", 0, 1.0)]),
        lambda: stale.progress(0, 1, 2),
        lambda: stale.step_finished(0, {"top1": 0.1}),
        lambda: stale.step_started(1, "prune", {}),
        lambda: stale.keep_file(file),
        lambda: stale.add_artifact(0, {"format": "tflite_int8", "files": {"model": file}}),
        stale.check,
    ]
    for write in writes:
        with pytest.raises(LostAttempt):
            write()
    assert points(registry, stale.id) == []
    assert registry.artifacts(stale.id) == []
    assert [step.state for step in registry.steps(stale.id)] == ["running"]
    fresh.metrics(0, [("loss", 0, 2.0)])
    assert points(registry, stale.id) == [("loss", 0, 2.0)]


def test_finished_steps_are_remembered_by_the_next_attempt(home, start, again, tmp_path):
    handle = start()
    (tmp_path / "model").write_bytes(b"weights")
    handle.step_started(0, "train", {"epochs": 2}, "key")
    sha = handle.keep_file(tmp_path / "model")
    handle.step_finished(0, {"top1": np.float64(0.9)}, sha, {"warnings": []})
    handle.step_started(1, "prune", {})
    (record,) = again(handle).finished_steps()
    assert (record.index, record.name, record.metrics, record.model_sha256) == (0, "train", {"top1": 0.9}, sha)
    assert record.memory_bytes > 1_000_000
    assert handle.registry.finished_step("key") == record
    assert handle.registry.finished_step("another") is None
    home.store.delete(sha)
    assert handle.registry.finished_step("key") is None


def test_a_steps_model_must_be_in_the_store(registry, start):
    handle = start()
    handle.step_started(0, "train", {})
    with pytest.raises(FileNotFoundError):
        handle.step_finished(0, {}, "0" * 64)
    assert registry.steps(handle.id)[0].state == states.RUNNING


def test_the_time_of_a_killed_attempt_counts(registry, start, again, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("pipelines.runs.attempt.time.monotonic", lambda: clock[0])
    handle = start()
    handle.step_started(0, "train", {})
    clock[0] += 10
    handle.metrics(0, [("loss", 0, 1.0)])
    handle = again(handle)
    handle.step_started(0, "train", {})
    clock[0] += 5
    handle.step_finished(0, {})
    assert registry.steps(handle.id)[0].seconds == pytest.approx(15.0)


def test_progress_is_shown_but_not_written_for_every_batch(registry, start):
    handle = start()
    for batch in range(100):
        handle.progress(0, batch, 1000, "training", seconds_left=9.0)
    shown = registry.get(handle.id).progress
    assert shown["done"] < 99
    assert (shown["total"], shown["message"], shown["seconds_left"]) == (1000, "training", 9.0)
    handle.progress(0, 1000, 1000, "training")
    assert registry.get(handle.id).progress["done"] == 1000


def test_a_cancel_request_reaches_the_worker(home, start):
    handle = start()
    handle.check()
    assert Queue(home).cancel(handle.id) == "running"
    handle._asked = 0.0
    assert handle.cancel_requested()
    with pytest.raises(Cancelled):
        handle.check()


def test_asking_for_cancel_is_cheap(home, start, monkeypatch):
    handle = start()
    handle.check()
    monkeypatch.setattr(type(home.database), "read", lambda self: pytest.fail("asked the database again"))
    for _ in range(1000):
        handle.check()


def artifact(path, **more):
    return {"format": "tflite_int8", "files": {"model": path}, "passed": True, "contract": {"classes": 10}, **more}


EVALUATION = {"dataset_sha256": "d", "split": "test", "kernels": "xnnpack", "n": 3, "correct": 2, "top1": 2 / 3}
EVALUATION |= {"low": 0.2, "high": 0.9, "predictions": np.array([1, 0, 2]), "confusion": [[1]]}


def test_an_artifact_is_stored_with_its_parts(home, registry, start, tmp_path):
    model, labels = tmp_path / "net.tflite", tmp_path / "labels.txt"
    model.write_bytes(b"model")
    labels.write_text("0\n1\n")
    handle = start()
    artifact_id = handle.add_artifact(2, artifact(model) | {"files": {"model": model, "labels": labels}})
    assert artifact_id == f"{handle.id}-2-tflite_int8"
    (record,) = registry.artifacts(handle.id)
    assert (record.bytes, record.name, record.passed, record.contract) == (5, "net", True, {"classes": 10})
    assert home.store.path_of(record.files["labels"]).read_text() == "0\n1\n"
    assert registry.artifacts(id=record.sha256[:12]) == registry.artifacts(id=artifact_id) == [record]
    with pytest.raises(TypeError, match="no colour"):
        handle.add_artifact(2, artifact(model, colour="red"))
    with pytest.raises(RuntimeError, match="has it changed"):
        handle.add_artifact(2, artifact(model, sha256="0" * 64))


def test_a_resumed_export_replaces_its_artifact(registry, start, again, tmp_path):
    model = tmp_path / "net.tflite"
    model.write_bytes(b"first")
    handle = start()
    artifact_id = handle.add_artifact(0, artifact(model))
    handle.add_evaluation(artifact_id, EVALUATION)
    handle = again(handle)
    handle.add_artifact(0, artifact(model))
    assert len(registry.evaluations(artifact_id)) == 1  # the same bytes: what was judged still holds
    model.write_bytes(b"second")
    handle.add_artifact(0, artifact(model))
    assert [record.bytes for record in registry.artifacts(handle.id)] == [6]
    assert registry.evaluations(artifact_id) == []


def test_evaluations_keep_predictions_and_do_not_double(home, registry, start, tmp_path):
    (tmp_path / "m").write_bytes(b"m")
    handle = start()
    artifact_id = handle.add_artifact(0, artifact(tmp_path / "m"))
    for _ in range(2):
        handle.add_evaluation(artifact_id, EVALUATION)
    handle.add_evaluation(artifact_id, EVALUATION | {"split": "validation"})
    (record,) = registry.evaluations(artifact_id, split="test")
    assert (record.n, record.correct, record.details) == (3, 2, {"confusion": [[1]]})
    assert np.load(home.store.path_of(record.predictions_sha256)).tolist() == [1, 0, 2]
    assert len(registry.evaluations([artifact_id])) == 2


def test_latencies_are_kept_per_artifact_and_group(registry, start, tmp_path):
    (tmp_path / "m").write_bytes(b"m")
    handle = start()
    one = handle.add_artifact(0, artifact(tmp_path / "m"))
    two = handle.add_artifact(0, artifact(tmp_path / "m") | {"format": "onnx_float32"})
    report = {"machine": "here", "rows": [{"artifact": one, "median_ms": 1.0}, {"artifact": two, "median_ms": 2.0}]}
    for _ in range(2):
        handle.add_latency(report)
    found = registry.latencies([one, two])
    assert sorted(record.report["median_ms"] for record in found) == [1.0, 2.0]
    assert {(record.group, record.report["machine"]) for record in found} == {(handle.id, "here")}


def test_the_environment_can_be_completed(registry, start):
    handle = start()
    handle.set_environment({"threads": 2})
    handle.set_environment({"keras": "2"})
    assert registry.get(handle.id).environment == {"threads": 2, "keras": "2"}
