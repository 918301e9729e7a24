"""A person's own Keras model and own folder of images: pruned to a target latency by one recipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.recipes import Recipe
from pipelines.start import within_sight
from tests.pipelines.own import folder_of_digits, own_model

GOOD = 0.85  # one of the 108 validation images is 0.9 points, and how well the model learns depends on the machine


def test_a_recipe_that_begins_with_a_file_keeps_it_and_says_no_architecture() -> None:
    recipe = Recipe.of({"start": "file:mine.h5", "start_range": "-1..1", "steps": ["prune", "export"]})
    assert recipe.start_file == Path("mine.h5").absolute()
    assert recipe.start_run is None
    assert "model" not in recipe.dump()
    again = Recipe.parse(recipe.dump())
    assert again.sha256 == recipe.sha256
    with pytest.raises(ValueError, match=r"mine\.pt does not end in \.h5"):
        Recipe.of({"start": "file:mine.pt"})
    # The recipe of an old run is read when the folder of its model is long gone.
    gone = Recipe.of({"start": "file:gone.v2/model", "steps": ["export"]})
    with pytest.raises(ValueError, match="there is no file"):
        within_sight(gone)
    with pytest.raises(ValueError, match="leave the grid out"):
        Recipe.of({"start": "file:mine.h5", "grid": {"widths": [0.5, 1.0]}})
    with pytest.raises(ValueError, match="start_range"):
        Recipe.of({"start": "file:mine.h5", "start_range": "0..2"})


@pytest.mark.slow
def test_own_model_and_own_images_are_pruned_to_a_target_latency(tmp_path) -> None:
    model = own_model(tmp_path / "mine.h5", "0..255")
    images = folder_of_digits(tmp_path / "images")
    recipe = Recipe.of(
        {
            "start": f"file:{model}",
            "start_range": "0..255",
            "data": {"source": f"folder:{images}", "resolution": 16, "channels": 1},
            "steps": [
                {"export": {"formats": ["tflite_float32"]}},
                {"prune": {"method": "channel_norm", "target": "latency", "timed_format": "tflite_float32",
                           "remove": 0.4, "epochs": 12, "learning_rate": 5e-3}},
                {"export": {"formats": ["tflite_float32"]}},
                "measure",
            ],
        }
    )  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(recipe.dump(), "utf-8")
    environment = {**os.environ, "LITESMITH_HOME": str(tmp_path / "home"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "pipelines", "run", str(tmp_path / "recipe.yaml"), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    shown = subprocess.run(
        [sys.executable, "-m", "pipelines", "show", "r00001", "--json"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    steps = json.loads(shown.stdout)["steps"]
    report = steps[1]["report"]
    assert report["validation_top1_before"] > GOOD
    assert report["left"] <= 0.6
    assert report["timed"][0]["level"] == 1.0
    assert report["macs_after"] < report["macs_before"]
    assert report["files"]["tflite_float32"]["ratio"] < 0.8
    assert report["validation_top1_after"] > GOOD
    files = steps[3]["report"]["files"]
    assert [row["label"] for row in files] == ["imported tflite_float32", "prune:channel_norm tflite_float32"]
    assert all(row["against"]["first_model"]["top1_of_model"] > GOOD for row in files)
