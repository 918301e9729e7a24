"""Turns a recipe into recorded runs: one, or one group for a grid."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from exports.keras_import import check_named
from pipelines.data import find_source
from pipelines.recipes import Recipe
from pipelines.runs import Registry
from pipelines.weights import within_reach


@dataclass(frozen=True)
class Started:
    """The runs a recipe became; `group` is None for a single run."""

    runs: tuple[str, ...]
    group: str | None


def record(registry: Registry, recipe: Recipe, *, queue: bool) -> Started:
    """Records one run per combination of the recipe's grid.

    Raises ValueError for a recipe without steps, or when what it names is not here or cannot be had.
    """
    if not recipe.steps:
        raise ValueError("the recipe has no steps; a first one would be `- train: {epochs: 20}`")
    plans = recipe.expand()
    within_sight(recipe)
    for plan in plans:
        within_reach(plan.model, plan.data, registry.home.cache)
    group = f"{recipe.name} {secrets.token_hex(2)}" if len(plans) > 1 else None
    runs = tuple(
        registry.create(
            plan.as_dict(),
            name=plan.name,
            seed=plan.seed,
            group=group,
            parent=recipe.start_run,
            queue=queue,
            sha256=plan.sha256,
        )
        for plan in plans
    )
    return Started(runs, group)


def clone(registry: Registry, run: str) -> str:
    """Records a new run of `run`'s recipe and returns its id; it does not start by itself.

    Raises ValueError for an unknown run, or when what its recipe names is no longer here.
    """
    within_sight(Recipe.of(registry.get(run).recipe))
    return registry.clone(run)


def within_sight(recipe: Recipe) -> None:
    """Looks whether the images and the model file that a recipe names are here; nothing is opened.

    Raises ValueError naming what is not.
    """
    try:
        find_source(recipe.data.source)
    except ValueError as error:
        raise ValueError(f"data.source: {error}") from None
    file = recipe.start_file
    if file is not None and not file.exists():
        raise ValueError(f"start = {recipe.start!r}: there is no file {file}; name a model file of this machine")
    if file is not None:
        check_named(file)
