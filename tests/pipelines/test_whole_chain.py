"""Distilled, pruned and int8-aware models through the same gate and comparison, for real.

One schedule does not suit every family; the files of all the others are in `tests/exports/test_zoo_files.py`.
"""

import numpy as np
import pytest

from pipelines import compare
from pipelines.execute import load_stored_model, open_data
from pipelines.jobs import InlineExecutor
from pipelines.recipes import Recipe
from pipelines.runs import Home, Registry
from pipelines.start import record

RECIPE = """
name: all the way
data: {{source: digits, resolution: 16}}
model: {{name: {name}, width: {width}}}
steps:
  - train: {{epochs: 8, batch: 32, learning_rate: 0.003, shift: 0.05}}
  - distil:
      {{teacher: mobilenet_v1, teacher_width: 0.25, teacher_epochs: 6, epochs: 8, batch: 32, learning_rate: 0.002}}
  - export: {{formats: [tflite_float32, tflite_int8, onnx_float32]}}
  - prune: {{epochs: 4, batch: 32, sparsity: 0.5}}
  - export: {{formats: [tflite_int8, onnx_float32]}}
  - quantise: {{epochs: 2, batch: 32}}
  - export: {{formats: [tflite_int8, edgetpu]}}
  - measure: {{rounds: 8}}
"""
WIDTHS = {"mobilenet_v1": 0.25, "mobilenet_v2": 0.35, "shufflenet_v2": 0.5, "mobilenet_v3": 0.5}

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", WIDTHS)
def test_every_kind_of_model_passes_the_gate_and_is_compared(name, tmp_path):
    import onnx

    from exports import Contract, predict
    from pipelines.training.loop import predictor

    home = Home.open(tmp_path)
    registry = Registry(home)
    recipe = Recipe.parse(RECIPE.format(name=name, width=WIDTHS[name]))
    run = record(registry, recipe, queue=False).runs[0]
    assert InlineExecutor(home).submit(run) == "done", registry.get(run).error
    steps = {step.index: step for step in registry.steps(run)}
    for item in registry.artifacts(run):
        assert item.passed, f"{item.id}: {item.gate['cause']}"  # type: ignore[index]
    rows = {row["id"]: row for row in compare.rows(registry, [run])}
    assert {row["made_by"] for row in rows.values()} == {"distil:hinton", "prune:magnitude", "quantise:int8_aware"}
    assert len(rows) == 7
    for row in rows.values():
        assert row["n"] == 359
        assert row["diff"] is not None
        assert row["ratio"] is not None
        assert row["top1"] > 0.85, row["label"]
    images = open_data(recipe, home).splits["test"].images
    for item in registry.artifacts(run):
        if item.format == "onnx_float32":
            path = home.store.path_of(item.sha256)
            onnx.checker.check_model(onnx.load_model_from_string(path.read_bytes()), full_check=True)
            model = load_stored_model(home, str(steps[item.step].model_sha256))
            mine, its = predictor(model)(images), predict(path, Contract.from_dict(item.contract or {}), images)
            assert np.abs(mine - its).max() < 1e-4
