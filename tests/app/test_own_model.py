"""A plan that begins with a person's own model file."""

from __future__ import annotations

import subprocess
import sys

import pytest

from app import draft
from tests.app.pages import ROOT, complaints, field, screen

# In a process of its own: it needs TensorFlow, and the pages must not.
MAKE = """
import sys
from exports import save_model
from tests.pipelines.small import network
save_model(network(), sys.argv[1])
"""


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "mine.keras"
    subprocess.run([sys.executable, "-c", MAKE, str(path)], check=True, cwd=ROOT, capture_output=True)
    return path


def test_build_takes_a_model_file_and_sets_the_size_of_the_images(empty_home, model_file) -> None:
    test = screen("build")
    field(test.button_group, "from.way").set_value("file").run()
    field(test.text_input, "from.path").set_value(str(model_file)).run()
    assert not complaints(test)
    plan = test.session_state[draft.KEY]
    assert plan.values["start"] == f"file:{model_file}"
    assert plan.values["data"]["resolution"] == 8
    assert plan.values["data"]["channels"] == 1
    assert any("8 x 8 grey to 10 classes" in item.value for item in test.success)
    assert plan.recipe().start_file == model_file


def test_a_file_that_is_no_model_is_refused_and_nothing_is_lost(empty_home, tmp_path) -> None:
    (tmp_path / "words.h5").write_text("no model")
    test = screen("build")
    field(test.button_group, "from.way").set_value("file").run()
    field(test.text_input, "from.path").set_value(str(tmp_path / "words.h5")).run()
    assert any("cannot be read" in text for text in complaints(test))
    assert field(test.text_input, "from.path").value == str(tmp_path / "words.h5")
