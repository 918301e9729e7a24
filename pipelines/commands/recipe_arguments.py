"""What `run`, `submit` and `estimate` share: a recipe by file or name, and changes to it by flag."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.commands.command import options
from pipelines.recipes import Recipe, ready_made


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help=f"a YAML file, or ready-made: {', '.join(ready_made())}")
    parser.add_argument("--seed", type=int, help="seed of weights, order and augmentation")
    parser.add_argument("--name", help="name of the run")
    parser.add_argument(
        "--set", action="append", metavar="KEY=VALUE",
        help="change the recipe: data.source=zip:my.zip, model.width=0.5, train.epochs=3 (or steps.2.epochs=3)",
    )  # fmt: skip


def recipe_from(asked: argparse.Namespace) -> Recipe:
    """Reads the recipe and applies the flags. ValueError names what does not fit."""
    recipe = Recipe.load(asked.recipe)
    values = recipe.as_dict()
    if asked.seed is not None:
        values["seed"] = asked.seed
    if asked.name:
        values["name"] = asked.name
    for key, value in options(asked.set).items():
        _change(values, key, value)
    return Recipe.of(values)


def _change(values: dict[str, Any], key: str, value: Any) -> None:
    parts = key.split(".")
    steps = values["steps"]
    if parts[0] == "steps" and len(parts) == 3 and parts[1].isdigit() and 1 <= int(parts[1]) <= len(steps):
        next(iter(steps[int(parts[1]) - 1].values()))[parts[2]] = value
        return
    named = [step[parts[0]] for step in steps if parts[0] in step]
    if len(parts) == 2 and named:
        for settings in named:
            settings[parts[1]] = value
        return
    if len(parts) == 2 and parts[0] in ("data", "model", "grid"):
        values.setdefault(parts[0], {})[parts[1]] = value
        return
    if len(parts) == 3 and parts[:2] == ["model", "options"]:
        values["model"]["options"][parts[2]] = value
        return
    if len(parts) == 1 and parts[0] in ("name", "seed", "description"):
        values[parts[0]] = value
        return
    known = sorted({name for step in steps for name in step})
    raise ValueError(
        f"--set {key}: not a place in this recipe; use data.KEY, model.KEY, model.options.KEY, grid.KEY, "
        f"steps.NUMBER.KEY or one of its steps: {', '.join(f'{name}.KEY' for name in known)}"
    )
