"""Finished files from elsewhere are measured beside others, and what they do not say of themselves is noticed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exports import Contract, adopt, predict, read_finished, selftest_path
from pipelines.__main__ import main
from pipelines.jobs import InlineExecutor
from pipelines.recipes import Recipe
from pipelines.runs import Home, Registry

DATA = {"source": "digits", "resolution": 8}


@pytest.fixture(scope="module")
def finished(judged_home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The two files of a finished run, as if somebody had sent them: bytes alone."""
    home = Home.open(judged_home)
    folder = tmp_path_factory.mktemp("finished")
    found = {}
    for item in Registry(home).artifacts("r00001"):
        found[item.format] = folder / f"{item.format}.tflite"
        shutil.copyfile(home.store.path_of(item.sha256), found[item.format])
    home.close()
    return found


def ran(folder: Path, *steps: dict[str, Any], **data: Any) -> tuple[Registry, str]:
    home = Home.open(folder)
    registry = Registry(home)
    recipe = Recipe.of({"name": "adopted", "data": {**DATA, **data}, "steps": list(steps)})
    run = registry.create(recipe.as_dict(), name="adopted", seed=0, queue=False, sha256=recipe.sha256)
    InlineExecutor(home).submit(run)
    return registry, run


def test_files_from_elsewhere_answer_as_they_did_at_home(finished, judged_home, tmp_path):
    adopted = [{"adopt": {"file": str(path), "input_range": "0..255"}} for path in finished.values()]
    registry, run = ran(tmp_path / "home", *adopted, {"measure": {"rounds": 8}})
    assert registry.get(run).state == "done", registry.get(run).error
    there = Registry(Home.open(judged_home))
    for item in registry.artifacts(run):
        assert item.passed
        (mine,) = registry.evaluations([item.id], split="test")
        original = next(one for one in there.artifacts("r00001") if one.sha256 == item.sha256)
        assert mine.top1 == there.evaluations([original.id], split="test")[0].top1
        assert item.format == original.format
    assert len(registry.latencies([item.id for item in registry.artifacts(run)])) > 0
    assert not [note for step in registry.steps(run) for note in step.report["warnings"]]


def test_the_command_line_tells_the_recipe_and_compares(finished, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LITESMITH_HOME", str(tmp_path / "home"))
    path = finished["tflite_int8"]
    assert main(["import", str(path), "--input-range", "0..255", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["format"], document["input_shape"], document["classes"]) == ("tflite_int8", [8, 8, 1], 10)
    recipe = {**document["recipe"], "data": {**document["recipe"]["data"], "source": "digits"}}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    assert main(["run", str(tmp_path / "recipe.yaml"), "--json"]) == 0
    capsys.readouterr()
    run = "r00001"
    assert main(["compare", run, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["passed"]
    assert row["top1"] > 0.8
    assert "model" not in Recipe.of(recipe).dump()
    assert main(["import", str(path)]) == 0
    assert "adopt: {file: " in capsys.readouterr().out


def test_a_wrong_range_of_pixels_is_noticed(finished, tmp_path):
    step = {"adopt": {"file": str(finished["tflite_float32"]), "input_range": "0..1"}}
    registry, run = ran(tmp_path / "home", step)
    assert registry.get(run).state == "done"
    (warning,) = registry.steps(run)[0].report["warnings"]
    assert "with input_range 0..255 it is right on" in warning


def test_a_file_that_wants_minus_one_to_one_gets_it(finished, tmp_path):
    taken = adopt(
        finished["tflite_float32"], tmp_path, name="other", labels=tuple("0123456789"), input_range="-1..1"
    )
    pixels = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)
    assert np.allclose(taken.contract.raw_from_pixels(pixels), pixels / 127.5 - 1, atol=1e-6)
    assert Contract.beside(taken.path) == taken.contract
    assert selftest_path(taken.path).is_file()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[: len(data) // 2], "cannot be read"),
        (lambda data: b"no flatbuffer at all", "not a TFLite file"),
    ],
)
def test_a_broken_file_is_refused_with_a_sentence(change, said, finished, tmp_path, capsys):
    path = tmp_path / "broken.tflite"
    path.write_bytes(change(finished["tflite_int8"].read_bytes()))
    assert main(["import", str(path)]) == 2
    assert said in capsys.readouterr().err


def test_what_does_not_fit_is_refused(finished, tmp_path):
    step = {"adopt": {"file": str(finished["tflite_int8"]), "input_range": "0..255"}}
    registry, run = ran(tmp_path / "home", step, resolution=16)
    assert registry.get(run).state == "failed"
    assert "takes 8x8x1, the images are 16x16x1" in str(registry.get(run).error)
    with pytest.raises(ValueError, match="10 scores and the images have 3 classes"):
        adopt(finished["tflite_int8"], tmp_path, name="x", labels=("a", "b", "c"), input_range="0..255")
    for wrong, said in (("net.pb", "ends in .tflite or .onnx"), ("", "needs a file")):
        with pytest.raises(ValueError, match=said):
            Recipe.of({"data": DATA, "steps": [{"adopt": {"file": wrong}}]})
    with pytest.raises(ValueError, match="there is no file"):
        read_finished(tmp_path / "nothing.tflite")


def test_an_onnx_file_is_read_with_its_channels_last_or_first(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    def file(shape: list[int | str]) -> Path:
        ends = [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape),
                helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3])]  # fmt: skip
        axes = [1, 2] if shape[-1] == 3 else [2, 3]
        nodes = [helper.make_node("ReduceMean", ["pixels"], ["scores"], axes=axes, keepdims=0)]
        path = tmp_path / f"net{len(list(tmp_path.iterdir()))}.onnx"
        onnx.save(helper.make_model(helper.make_graph(nodes, "net", ends[:1], ends[1:]),
                                    opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)  # fmt: skip
        return path

    found = read_finished(file(["n", 8, 8, 3]))
    assert (found.format, found.input_shape, found.classes) == ("onnx_float32", (8, 8, 3), 3)
    assert not found.channels_first
    first = file(["n", 3, 8, 8])
    found = read_finished(first)
    assert (found.format, found.input_shape, found.classes) == ("onnx_float32", (8, 8, 3), 3)
    assert found.channels_first
    taken = adopt(first, tmp_path / "taken", name="net", labels=("a", "b", "c"), input_range="0..1")
    assert any("channels first" in note for note in taken.notes)
    assert taken.contract.operators == {"Transpose": 1, "ReduceMean": 1}
    # Each class is the mean of one channel, so an order mistaken anywhere shows.
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    scores = predict(taken.path, taken.contract, pixels)
    np.testing.assert_allclose(scores, pixels.mean((1, 2)) / 255, atol=1e-6)


def test_a_file_stands_beside_a_run_of_its_own_under_its_name(finished, judged_home, tmp_path):
    from pipelines.lineage import in_words, lineage
    from pipelines.runs import own_file

    step = {"adopt": {"file": str(finished["tflite_int8"]), "input_range": "0..255"}}
    registry, run = ran(tmp_path / "home", step, {"measure": {"latency": False}})
    assert own_file(registry.get(run).recipe) == str(finished["tflite_int8"])
    assert own_file(Registry(Home.open(judged_home)).get("r00001").recipe) is None
    assert in_words(lineage(registry, run, 0)) == "From elsewhere: tflite_int8.tflite"
