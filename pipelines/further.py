"""Further work on a finished run: the recipe that writes more files of its model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.recipes import Recipe
from pipelines.runs import Home, Registry, StepRecord
from pipelines.steps.export import INT8_AWARE_FORMATS


def last_float_model(registry: Registry, run: str) -> StepRecord:
    """The last step of `run` that left a float model. Raises: ValueError when the run is unknown or has none."""
    registry.get(run)
    steps = [step for step in registry.steps(run) if step.model_sha256 and not step.report.get("int8_aware")]
    if not steps:
        raise ValueError(f"run {run} has no trained float model")
    return steps[-1]


def copied_model(home: Home, sha256: str, folder: Path) -> Path:
    """A stored float model as a file with a suffix in `folder`: writers want one, and the store's names have none."""
    path = folder / "model.keras"
    shutil.copyfile(home.store.path_of(sha256), path)
    return path


def going_on(
    registry: Registry, run: str, step: int, name: str, steps: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The recipe that takes `run`'s model after `step` (from 1) through other `steps`, on the same images."""
    origin = registry.get(run)
    recipe = {key: value for key, value in origin.recipe.items() if key != "grid"}
    recipe["name"] = f"{origin.name[:60]}: {name}"[:120]
    recipe["start"] = f"run:{run}/{step}"
    # The run's model is what published weights became; it is not begun from them again.
    recipe["model"] = {**recipe.get("model", {}), "weights": None, "classifier": False}
    recipe["steps"] = [dict(one) for one in steps]
    return Recipe.of(recipe).as_dict()


def recipe_of_row(registry: Registry, document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The recipe of one file that a trial wrote: from the same float model, with what it needs.

    `document` names `run` and `step`, its `rows` have `name`, `title` and, where the file came about, `steps`.

    Raises ValueError for a name without such a row.
    """
    rows = {row["name"]: row for row in document["rows"] if "steps" in row}
    if name not in rows:
        raise ValueError(f"{name!r} was not tried or failed; there are {', '.join(rows)}")
    return going_on(registry, document["run"], document["step"], rows[name]["title"], rows[name]["steps"])


def export_recipe(
    registry: Registry, run: str, formats: Sequence[str], *, measure: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Gives the recipe that takes the last model of `run` which can become all of `formats`, and writes them.

    `settings` of the export step say how int8 is calibrated, so they ask for a float model.

    Raises ValueError when the run is unknown, has no model, or a format is not known.
    """
    registry.get(run)
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
    export = {"export": {"formats": list(formats), **(settings or {})}}
    steps: list[dict[str, Any]] = [export, *([{"measure": {}}] if measure else [])]
    return going_on(registry, run, models[-1].index + 1, ", ".join(formats), steps)
