"""Turns a recipe into recorded runs: one, or one group for a grid."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

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

    Raises ValueError for a recipe without steps, or whose weights cannot be had.
    """
    if not recipe.steps:
        raise ValueError("the recipe has no steps; a first one would be `- train: {epochs: 20}`")
    plans = recipe.expand()
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
