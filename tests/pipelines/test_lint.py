"""`lint`: an architecture without TensorFlow, the model of a run, a file; limits and targets as flags."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from pipelines.__main__ import main
from pipelines.jobs import InlineExecutor
from pipelines.lint import LintSettings, thresholds
from pipelines.recipes import Recipe
from pipelines.runs import Home, Registry
from pipelines.settings import fields_of
from pipelines.start import record
from zoo import lint

PROJECT = Path(__file__).parents[2]
RECIPE = """
name: tiny
data: {source: digits, resolution: 8}
model: {name: mobilenet_v1, width: 0.1}
steps:
  - train: {epochs: 1}
  - export: {formats: [tflite_int8]}
"""


def answer(capsys, *arguments: str) -> dict:
    assert main(["lint", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_architecture_is_linted_without_tensorflow():
    code = (
        "import sys; from pipelines.__main__ import main; "
        "code = main(['lint','mobilenet_v2','--width','0.5','--resolution','96x128','--set','dropout=0.1','--json']); "
        "assert not {'tensorflow', 'tf_keras', 'keras'} & {name.split('.')[0] for name in sys.modules}; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["name"], found["what"], found["weights"]) == ("mobilenet_v2", "architecture", None)
    assert {"rule", "layer", "stage", "evidence", "saving", "saving_bytes", "saving_share"} == set(found["findings"][0])
    assert found["thresholds"] == asdict(lint.USUAL)
    assert set(found["rules"]) == set(lint.RULES)
    assert found["roofline"]["profile"]["name"] == "phone_cpu"


def test_limits_are_settings_with_the_reasons_of_the_linter():
    assert [field.name for field in fields_of(LintSettings)] == [item.name for item in fields(lint.Thresholds)]
    for field, item in zip(fields_of(LintSettings), fields(lint.Thresholds), strict=True):
        assert (field.default, field.help, field.minimum) == (
            item.default,
            item.metadata["help"],
            item.metadata["minimum"],
        )
        assert field.unit
    assert thresholds({}) == lint.USUAL
    assert thresholds({"groups": 4}).groups == 4


def test_flags_move_limits_target_and_view(capsys):
    usual = answer(capsys, "mobilenet_v2")
    assert usual["breaks"] == ["G1", "G4"]
    lenient = answer(capsys, "mobilenet_v2", "--width-ratio", "2", "--elementwise-share", "0.9")
    assert (lenient["breaks"], lenient["findings"]) == ([], [])
    small = answer(capsys, "mobilenet_v2", "--element-bytes", "1", "--view", "laid")
    assert small["view"].startswith("as laid")
    assert small["memory_access_bytes"] > usual["memory_access_bytes"] / 4
    target = answer(capsys, "mobilenet_v2", "--profile", "gpu", "--peak-gops", "1", "--bandwidth", "1000")["roofline"]
    assert (target["profile"]["float_gops"], target["profile"]["bandwidth_gbs"]) == (1, 1000)
    assert target["ridge"] == pytest.approx(0.001)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Home, str]:
    home = Home.open(tmp_path_factory.mktemp("home"))
    registry = Registry(home)
    run = record(registry, Recipe.parse(RECIPE), queue=False).runs[0]
    assert InlineExecutor(home).submit(run) == "done", registry.get(run).error
    return home, run


def test_the_model_of_a_run_is_linted_with_its_weights(finished, monkeypatch, capsys):
    home, run = finished
    monkeypatch.setenv("LITESMITH_HOME", str(home.folder))
    found = answer(capsys, run)
    assert (found["name"], found["what"]) == (run, "run")
    assert "step 1 (train)" in found["view"] or "step 2 (export)" in found["view"]
    weights = found["weights"]
    assert 0 <= weights["dead_depthwise_share"] <= 1
    assert weights["channels"] == sum(layer["channels"] for layer in weights["layers"])
    # Every kernel is at most as large as the largest of its layer.
    everything = answer(capsys, run, "--dead-weight", "1")
    assert everything["weights"]["dead_depthwise_share"] == 1
    assert {"dead_kernels", "dead_channels"} <= {row["rule"] for row in everything["findings"]}
    assert main(["lint", run]) == 0
    assert "dead depthwise kernels" in capsys.readouterr().out
    assert main(["lint", run, "--width", "0.5"]) == 2
    assert "--width: the model of a run has these settled" in capsys.readouterr().err


def test_a_written_file_is_linted_by_path_and_by_artifact(finished, monkeypatch, capsys, tmp_path):
    home, run = finished
    monkeypatch.setenv("LITESMITH_HOME", str(home.folder))
    artifact = Registry(home).artifacts(run)[0]
    path = tmp_path / "small.tflite"
    path.write_bytes(home.store.path_of(artifact.sha256).read_bytes())
    by_path, by_id = answer(capsys, str(path)), answer(capsys, artifact.id)
    assert by_path["view"].startswith("as written")
    assert by_path["element_bytes"] == 1
    assert by_path["findings"] == by_id["findings"]
    model = answer(capsys, run, "--element-bytes", "1", "--view", "laid")
    assert by_path["memory_access_bytes"] <= model["memory_access_bytes"]
    assert sum(row["macs"] for row in by_path["roofline"]["layers"]) == sum(
        row["macs"] for row in model["roofline"]["layers"]
    )
    assert main(["lint", str(path), "--element-bytes", "4"]) == 2
    assert "--element-bytes: a written file has these settled" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mobilenet_v9"], "did you mean mobilenet_v"),
        (["r99999"], "run 'r99999' is not in"),
        (["nothing.tflite"], "there is no file nothing.tflite"),
        (["README.md"], "README.md is not a .tflite or .onnx file"),
        (["mobilenet_v2", "--width", "0"], "width 0"),
        (["mobilenet_v2", "--width-ratio", "0.3"], "lint.width_ratio = 0.3"),
        (["mobilenet_v2", "--groups", "1.5"], "invalid int value: '1.5'"),
        (["mobilenet_v2", "--profile", "phone"], "did you mean phone_cpu"),
        (["mobilenet_v2", "--bandwidth", "0"], "bandwidth_gbs 0.0 is not a number above 0"),
        (["mobilenet_v2", "--element-bytes", "3"], "element_bytes 3 is not 4 (float32), 2 (float16) or 1 (int8)"),
    ],
)
def test_mistakes_end_with_code_2_and_say_what_would_work(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LITESMITH_HOME", str(tmp_path))
    monkeypatch.chdir(PROJECT)
    assert main(["lint", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_text_names_view_verdict_and_target(capsys):
    assert main(["lint", "shufflenet_v2", "--profile", "microcontroller", "--element-bytes", "1"]) == 0
    text = capsys.readouterr().out
    assert "breaks: none of G1 to G4" in text
    assert "view: folded" in text
    assert "Cortex-M7" in text
    assert "predicted" in text
    assert "estimate" in text
