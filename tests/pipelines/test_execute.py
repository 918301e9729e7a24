"""Whole runs: every step once on digits at 16 pixels, recorded, compared, taken further, replayed."""

import dataclasses
import json

import numpy as np
import pytest

from pipelines import compare, execute
from pipelines.__main__ import main
from pipelines.commands.show import document_of
from pipelines.further import export_recipe
from pipelines.jobs import InlineExecutor
from pipelines.recipes import Recipe
from pipelines.runs import Home, Registry
from pipelines.start import record

CHAIN = """
name: chain
data: {source: digits, resolution: 16}
model: {name: mobilenet_v1, width: 0.25}
steps:
  - train: {epochs: 4, batch: 32, optimizer: sgd, learning_rate: 0.1, shift: 0}
  - export: {formats: [tflite_float32, onnx_float32]}
  - prune: {epochs: 1, batch: 64, shift: 0}
  - quantise: {epochs: 1, batch: 64, calibration_images: 64, shift: 0}
  - export: {formats: [tflite_int8, edgetpu]}
  - measure: {rounds: 8}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A home with one finished run of every step."""
    home = Home.open(tmp_path_factory.mktemp("home"))
    registry = Registry(home)
    started = record(registry, Recipe.parse(CHAIN), queue=False)
    state = InlineExecutor(home).submit(started.runs[0])
    assert state == "done", registry.get(started.runs[0]).error
    return registry, started.runs[0]


def test_every_step_is_recorded_with_its_model_and_what_it_left_open(finished):
    registry, run = finished
    steps = registry.steps(run)
    assert [step.name for step in steps] == ["train", "export", "prune", "quantise", "export", "measure"]
    assert all(step.state == "done" and step.model_sha256 for step in steps)
    assert steps[0].model_sha256 == steps[1].model_sha256
    assert len({steps[place].model_sha256 for place in (0, 2, 3)}) == 3
    assert any("no channel was removed" in warning for warning in steps[2].report["warnings"])
    names = {metric.name for metric in registry.metrics(run)}
    assert {"train.validation_top1", "prune.train_loss", "quantise.learning_rate"} <= names


def test_show_reports_the_bytes_that_deleting_would_free(finished):
    registry, run = finished
    shown = document_of(registry, run)["disk_bytes"]
    artifacts = registry.artifacts(run)
    assert shown > sum(item.bytes for item in artifacts), "models of steps lie on the disk as well"
    assert registry.delete(run).bytes == shown
    registry.restore(run)


def test_every_file_was_gated_and_measured_on_the_test_images(finished):
    registry, run = finished
    artifacts = registry.artifacts(run)
    assert [item.format for item in artifacts] == ["onnx_float32", "tflite_float32", "edgetpu", "tflite_int8"]
    for item in artifacts:
        assert item.passed, item.gate
        judged = registry.evaluations(item.id, split="test")[0]
        assert judged.n == 359
        assert judged.low <= judged.top1 <= judged.high
        assert registry.latencies(item.id)


def test_comparison_is_paired_on_the_same_images(finished):
    registry, run = finished
    rows = compare.rows(registry, [run])
    baseline = next(row for row in rows if row["baseline"])
    assert baseline["format"] == "tflite_float32"
    assert (baseline["diff"], baseline["ratio"]) == (0.0, 1.0)
    for row in rows:
        judged = registry.evaluations(row["id"], split="test")[0]
        given, wanted = np.load(registry.home.store.path_of(judged.predictions_sha256))
        assert (given == wanted).mean() == pytest.approx(row["top1"])
        assert row["diff"] == pytest.approx(row["top1"] - baseline["top1"])
        assert row["diff_low"] <= row["diff"] + 0.01
    assert any(row["on_front"] for row in rows)
    other = compare.rows(registry, [rows[0]["id"], rows[1]["id"]], baseline=rows[0]["id"])
    assert [row["baseline"] for row in other] == [True, False]
    with pytest.raises(ValueError, match="not among the compared files"):
        compare.rows(registry, [run], baseline="nothing")


def test_the_command_tells_what_each_class_lost_or_gained(finished, monkeypatch, capsys):
    registry, run = finished
    monkeypatch.setenv("LITESMITH_HOME", str(registry.home.folder))
    assert main(["compare", run, "--classes", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    differences = {row["id"]: row["diff"] for row in document["rows"] if not row["baseline"]}
    assert {one["artifact"] for one in document["class_changes"]} == set(differences)
    for one in document["class_changes"]:
        assert one["images"] == 359
        assert (len(one["gained"]) - len(one["lost"])) / 359 == pytest.approx(differences[one["artifact"]])
    assert main(["compare", run, "--classes"]) == 0
    assert "p (Holm)" in capsys.readouterr().out


def test_further_files_come_from_the_same_model(finished):
    registry, run = finished
    values = export_recipe(registry, run, ["tflite_uint8"], measure=False)
    started = record(registry, Recipe.of(values), queue=False)
    assert InlineExecutor(registry.home).submit(started.runs[0]) == "done", registry.get(started.runs[0]).error
    assert registry.artifacts(started.runs[0])[0].passed
    assert registry.get(started.runs[0]).parent == run
    floats = Recipe.of(export_recipe(registry, run, ["tflite_float16", "tflite_int8"]))
    assert floats.start == f"run:{run}/3", "float files come from the pruned model, the last one that is not int8-aware"
    with pytest.raises(ValueError, match="tflite_int8"):
        export_recipe(registry, run, ["tflite_int9"])


def test_finished_run_can_be_a_teacher(finished):
    registry, run = finished
    recipe = Recipe.parse(
        f"data: {{source: digits, resolution: 16}}\nmodel: {{name: mobilenet_v1, width: 0.1}}\n"
        f"steps:\n  - distil: {{teacher: 'run:{run}', epochs: 1, batch: 128}}\n"
    )
    started = record(registry, recipe, queue=False)
    assert InlineExecutor(registry.home).submit(started.runs[0]) == "done", registry.get(started.runs[0]).error
    assert registry.steps(started.runs[0])[0].report["teacher"] == f"run:{run}"
    assert [dependent.id for dependent in registry.dependents(run)].count(started.runs[0]) == 1


def test_model_and_file_of_a_run_are_attacked(finished, tmp_path, monkeypatch, capsys):
    registry, run = finished
    monkeypatch.setenv("LITESMITH_HOME", str(registry.home.folder))
    quick = ["--images", "64", "--epsilons", "4", "32", "--steps", "4", "--restarts", "1"]
    assert main(["robustness", run, *quick, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    top1 = {(row["what"], row["attack"], row["epsilon"]): row["top1"] for row in found["rows"]}
    assert found["images"] == 64
    for what in ("model", "tflite_int8"):
        assert top1[what, "none", 0] > top1[what, "pgd", 32], "images made on the model hurt its file as well"
    assert main(["robustness", run, *quick]) == 0
    assert "4 of 255" in capsys.readouterr().out
    assert main(["robustness", run, "--epsilons", "0"]) == 2
    assert "whole steps of 1/255 from 1 to 254" in capsys.readouterr().err
    other = Recipe.parse(CHAIN.replace("resolution: 16", "resolution: 8"))
    short = record(registry, Recipe.of({**other.as_dict(), "steps": [{"train": {"epochs": 1}}]}), queue=False).runs[0]
    assert main(["robustness", short]) == 2
    assert "has no trained float model" in capsys.readouterr().err
    assert InlineExecutor(registry.home).submit(short) == "done"
    assert main(["robustness", run, short]) == 2
    assert "other images or pixels" in capsys.readouterr().err


def test_replay_on_a_fresh_home_gives_the_same_bytes_whatever_the_test_images_are(
    finished, tmp_path, monkeypatch, capsys
):
    """The test images serve the measure step alone: with noise in their place every file stays as it was."""
    registry, run = finished
    monkeypatch.setenv("LITESMITH_HOME", str(registry.home.folder))
    assert main(["show", run, "--json"]) == 0
    document = tmp_path / "run.json"
    document.write_text(capsys.readouterr().out)
    opened = execute.open_data

    def with_noise_to_test_on(recipe, home):
        data = opened(recipe, home)
        noise = np.random.default_rng(0).integers(0, 256, data.splits["test"].images.shape, np.uint8)
        test = dataclasses.replace(data.splits["test"], images=noise)
        return dataclasses.replace(data, splits={**data.splits, "test": test})

    monkeypatch.setattr(execute, "open_data", with_noise_to_test_on)
    monkeypatch.setenv("LITESMITH_HOME", str(tmp_path / "fresh"))
    code = main(["replay", str(document), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code == 0, found
    assert found["equal"]
    assert len(found["files"]) == 4
    fresh = Registry(Home.open(tmp_path / "fresh"))
    for item in fresh.artifacts(found["run"]):
        assert fresh.evaluations(item.id, split="test")[0].top1 < 0.4, "the noise was not what the files were judged on"


def test_failing_step_names_the_cause_and_the_run_can_go_on(tmp_path):
    home = Home.open(tmp_path)
    registry = Registry(home)
    images = tmp_path / "nowhere"
    images.mkdir()
    recipe = Recipe.parse(CHAIN.replace("source: digits", f"source: 'folder:{images}'"))
    started = record(registry, recipe, queue=False)
    images.rmdir()
    assert InlineExecutor(home).submit(started.runs[0]) == "failed"
    assert "/nowhere" in str(registry.get(started.runs[0]).error)
    assert registry.get(started.runs[0]).error_kind == "person"


@pytest.mark.parametrize(
    ("model", "step", "cause"),
    [
        ("mobilenet_v2", "prune: {method: channel_norm, remove: 0.95, least: 64}", "not possible"),
        ("squeezenet", "prune: {method: network_slimming}", "norm"),
        ("mobilenet_v2", "prune: {method: channel_norm, skip: '*'}", "leaves no layer"),
        ("mobilenet_v2", "prune: {method: adversarial, structures: branches, remove: 0.95}", "not possible"),
        ("mobilenet_v2", "prune: {method: main_subsidiary}", "no layer with binary weights"),
        ("mobilenet_v1", "quantise: {method: equalisation}", "no channel of this model can be scaled"),
        ("mobilenet_v1", "export: {formats: [tflite_mixed], keep_float: steam_*}", "'steam_*' fits no layer"),
        ("mobilenet_v1", "export: {formats: [tflite_mixed], precision: '*: w4a8'}", "cannot have w4a8"),
        ("mobilenet_v2", "prune: {method: channel_norm, target: latency, remove: 0.95, least: 64}", "not possible"),
    ],
)
def test_what_cannot_be_is_refused_before_the_training_in_front_of_it(model, step, cause, tmp_path):
    registry = Registry(Home.open(tmp_path))
    recipe = Recipe.parse(
        f"data: {{source: digits, resolution: 16}}\nmodel: {{name: {model}}}\n"
        f"steps:\n  - train: {{epochs: 500}}\n  - export: {{formats: [tflite_int8]}}\n  - {step}\n"
    )
    started = record(registry, recipe, queue=False)
    assert InlineExecutor(registry.home).submit(started.runs[0]) == "failed"
    run = registry.get(started.runs[0])
    assert run.error_kind == "person"
    assert f"step 3 ({step.split(':')[0]}) cannot be done, so nothing was trained" in str(run.error)
    assert cause in str(run.error)
    assert not registry.steps(started.runs[0])


def test_grid_runs_as_one_group(tmp_path):
    home = Home.open(tmp_path)
    registry = Registry(home)
    recipe = Recipe.parse(
        CHAIN.split("  - export")[0].replace("epochs: 4", "epochs: 1") + "grid: {widths: [0.2, 0.3]}\n"
    )
    started = record(registry, recipe, queue=False)
    assert len(started.runs) == 2
    assert [InlineExecutor(home).submit(run) for run in started.runs] == ["done", "done"]
    assert registry.count(group=started.group) == 2
    params = [registry.get(run).recipe["model"]["width"] for run in started.runs]
    assert params == [0.2, 0.3]
