"""Makes a home with one finished run of a very small network, in a second or two of training. Run as a script."""

from __future__ import annotations

import sys

from pipelines.jobs import InlineExecutor
from pipelines.recipes import Recipe
from pipelines.runs import Home, Registry

RECIPE = {
    "name": "tiny run",
    "data": {"source": "digits", "resolution": 8},
    "model": {"name": "mobilenet_v1", "width": 0.1},
    "steps": [
        {"train": {"epochs": 1}},
        {"export": {"formats": ["tflite_float32", "tflite_int8"]}},
        {"measure": {"rounds": 8}},
    ],
}


def main(folder: str) -> None:
    home = Home.open(folder)
    registry = Registry(home)
    recipe = Recipe.of(RECIPE)
    run = registry.create(recipe.as_dict(), name=recipe.name, seed=0, queue=False, sha256=recipe.sha256)
    state = InlineExecutor(home).submit(run)
    if state != "done":
        raise SystemExit(f"the run is {state}: {registry.get(run).error}\n{registry.log(run)}")
    home.close()


if __name__ == "__main__":
    main(sys.argv[1])
