"""Further work on a finished run: the recipe that writes more files of its model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.recipes import Recipe
from pipelines.runs import Registry


def export_recipe(registry: Registry, run: str, formats: Sequence[str], *, measure: bool = True) -> dict[str, Any]:
    """Gives the recipe that takes the model of `run` and writes `formats`.

    Raises ValueError when the run is unknown, has no model, or a format is not known.
    """
    origin = registry.get(run)
    if not any(record.model_sha256 for record in registry.steps(run)):
        raise ValueError(f"run {run} has no trained model yet; export needs one")
    recipe = {key: value for key, value in origin.recipe.items() if key != "grid"}
    recipe["name"] = f"{origin.name[:60]}: {', '.join(formats)}"[:120]
    recipe["start"] = f"run:{run}"
    recipe["steps"] = [{"export": {"formats": list(formats)}}, *([{"measure": {}}] if measure else [])]
    return Recipe.of(recipe).as_dict()
