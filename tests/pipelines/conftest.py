from pathlib import Path

import pytest

from tests.pipelines.small import digits


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data-cache")


@pytest.fixture(scope="session")
def small_digits(cache_folder):
    return digits(cache_folder)


JUDGED = {
    "name": "judged <script>alert(1)</script>",
    "data": {"source": "digits", "resolution": 8},
    "model": {"name": "resnet", "options": {"variant": "cifar20"}, "width": 0.5},
    "steps": [
        {"train": {"epochs": 4, "batch": 32}},
        {"export": {"formats": ["tflite_float32", "tflite_int8"]}},
        {"measure": {"rounds": 8}},
    ],
}


@pytest.fixture(scope="session")
def judged_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one finished run whose two files were judged and timed. Tests must not change it."""
    from pipelines.jobs import InlineExecutor
    from pipelines.recipes import Recipe
    from pipelines.runs import Home, Registry

    home = Home.open(tmp_path_factory.mktemp("judged") / "home")
    registry = Registry(home)
    recipe = Recipe.of(JUDGED)
    run = registry.create(recipe.as_dict(), name=recipe.name, seed=0, queue=False, sha256=recipe.sha256)
    assert InlineExecutor(home).submit(run) == "done", registry.get(run).error
    folder = home.folder
    home.close()
    return folder
