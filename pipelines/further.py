"""Further work on a finished run: the recipe that writes more files of its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.recipes import Recipe
from pipelines.runs import Registry, StepRecord
from pipelines.steps.export import INT8_AWARE_FORMATS


def last_float_model(registry: Registry, run: str) -> StepRecord:
    """The last step of `run` that left a float model. Raises: ValueError when the run is unknown or has none."""
    registry.get(run)
    steps = [step for step in registry.steps(run) if step.model_sha256 and not step.report.get("int8_aware")]
    if not steps:
        raise ValueError(f"run {run} has no trained float model")
    return steps[-1]


def export_recipe(
    registry: Registry, run: str, formats: Sequence[str], *, measure: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Gives the recipe that takes the last model of `run` which can become all of `formats`, and writes them.

    `settings` of the export step say how int8 is calibrated, so they ask for a float model.

    Raises ValueError when the run is unknown, has no model, or a format is not known.
    """
    origin = registry.get(run)
    models = [record for record in registry.steps(run) if record.model_sha256]
    if not models:
        raise ValueError(f"run {run} has no trained model yet; export needs one")
    # An int8-aware model gives integer files only; all others come from the last float model before it.
    if settings or not set(formats) <= set(INT8_AWARE_FORMATS):
        models = [record for record in models if not record.report.get("int8_aware")]
    if not models:
        raise ValueError(
            f"run {run} has only an int8-aware model; it can be written as {', '.join(INT8_AWARE_FORMATS)}"
        )
    recipe = {key: value for key, value in origin.recipe.items() if key != "grid"}
    recipe["name"] = f"{origin.name[:60]}: {', '.join(formats)}"[:120]
    recipe["start"] = f"run:{run}/{models[-1].index + 1}"
    # The run's model is what published weights became; it is not begun from them again.
    recipe["model"] = {**recipe.get("model", {}), "weights": None, "classifier": False}
    export = {"export": {"formats": list(formats), **(settings or {})}}
    recipe["steps"] = [export, *([{"measure": {}}] if measure else [])]
    return Recipe.of(recipe).as_dict()
