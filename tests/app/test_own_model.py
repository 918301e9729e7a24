"""A plan that begins with a person's own model file."""

from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import Image

from app import draft
from pipelines.recipes import Recipe
from pipelines.runs import Home, Registry
from tests.app.pages import ROOT, complaints, field, screen, studio

# In a process of its own: it needs TensorFlow, and the pages must not.
OTHER = "another folder or zip on this machine …"  # as the Build page calls it
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


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    for name, grey in {"dark": 40, "light": 210}.items():
        (folder / name).mkdir(parents=True)
        for at in range(4):
            Image.new("L", (8, 8), grey + at).save(folder / name / f"{at}.png")
    return folder


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


def test_build_takes_the_folder_of_a_saved_model(empty_home, tmp_path) -> None:
    words = "import sys; from tests.pipelines.small import network; network().export(sys.argv[1])"
    subprocess.run([sys.executable, "-c", words, str(tmp_path / "mine")], check=True, cwd=ROOT, capture_output=True)
    test = screen("build")
    field(test.button_group, "from.way").set_value("file").run()
    field(test.text_input, "from.path").set_value(str(tmp_path / "mine")).run()
    assert not complaints(test)
    assert test.session_state[draft.KEY].recipe().start_file == tmp_path / "mine"
    assert any("8 x 8 grey to 10 classes" in item.value for item in test.success)


def test_a_file_that_is_no_model_is_refused_and_nothing_is_lost(empty_home, tmp_path) -> None:
    (tmp_path / "words.h5").write_text("no model")
    test = screen("build")
    field(test.button_group, "from.way").set_value("file").run()
    field(test.text_input, "from.path").set_value(str(tmp_path / "words.h5")).run()
    assert any("cannot be read" in text for text in complaints(test))
    assert field(test.text_input, "from.path").value == str(tmp_path / "words.h5")


def test_own_model_and_own_images_to_a_target_latency_in_the_page_are_the_recipe_it_shows(
    empty_home, model_file, images
) -> None:
    test = studio("build")

    def choose(items: str, key: str, value: object) -> None:
        field(getattr(test, items), key).set_value(value).run()

    choose("button_group", "from.way", "file")
    choose("text_input", "from.path", str(model_file))
    choose("selectbox", "data.source", OTHER)
    choose("text_input", "data.path", f"folder:{images}")
    plan = test.session_state[draft.KEY]
    field(test.button, f"{plan.values['steps'][0]['uid']}.remove").click().run()
    field(test.button, "build.add.prune").click().run()
    choose("selectbox", ".method", "channel_norm")
    choose("selectbox", "channel_norm.target", "latency")
    choose("number_input", "channel_norm.latency_ms", 0.01)
    assert not complaints(test)
    shown = next(item.value for item in test.code if "pipelines submit" in item.value)
    recipe = Recipe.parse(shown.partition("<<'YAML'\n")[2].partition("\nYAML")[0])
    assert recipe.start == f"file:{model_file}"
    assert recipe.data.source == f"folder:{images}"
    first = recipe.steps[0].settings
    assert (recipe.steps[0].step, first.method, first.target, first.latency_ms) == (
        "prune", "channel_norm", "latency", 0.01,
    )  # fmt: skip
    field(test.button, "build.start").click().run()
    (run,) = Registry(Home.open(empty_home)).list()
    assert Recipe.of(run.recipe).sha256 == recipe.sha256
    assert run.model_name == "mine.keras"
