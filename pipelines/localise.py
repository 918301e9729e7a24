"""What int8 costs a written file, asked for by its id: finds its float twin, or writes one, and validation images."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from exports import Calibration, Contract, localise
from pipelines.data import Dataset
from pipelines.further import copied_model
from pipelines.runs import ArtifactRecord, Registry, StepRecord
from pipelines.steps.export import ExportSettings, calibration_places

TWIN = "tflite_float32"


def localise_artifact(registry: Registry, artifact_id: str, *, images: int) -> dict[str, Any]:
    """Noise by layer, faults and which images they were found with, for an int8 file of this home.

    Raises: ValueError when there is no such file, or it has no int8 ranges to look at.
    """
    from pipelines.execute import open_data
    from pipelines.recipes import Recipe

    found = registry.artifacts(id=artifact_id)
    if not found:
        raise ValueError(f"there is no artifact {artifact_id!r} in this home; `show RUN` lists a run's artifacts")
    item = found[0]
    run = registry.get(item.run)
    step = next(one for one in registry.steps(item.run) if one.index == item.step)
    data = open_data(Recipe.of(run.recipe), registry.home)
    contract = Contract.from_dict(item.contract or {})
    validation = data.splits["validation"]
    with tempfile.TemporaryDirectory(prefix="litesmith-twin-") as folder:
        path, twin = _twin(registry, item, step, data, Path(folder))
        document = localise(
            path, twin, registry.home.store.path_of(item.sha256), contract, np.asarray(validation.images[:images]),
            calibration=_calibration(step, data, run.seed),
        )  # fmt: skip
    return {"artifact": item.id, "run": item.run, "format": item.format, **document}


def _twin(
    registry: Registry, item: ArtifactRecord, step: StepRecord, data: Dataset, folder: Path
) -> tuple[Path, Contract]:
    """The float32 file of the same model: one of the run's, or a new one that is not kept."""
    from exports import write

    models = {one.index: one.model_sha256 for one in registry.steps(item.run)}
    for other in registry.artifacts(item.run):
        if other.format == TWIN and other.passed and models.get(other.step) == step.model_sha256:
            return registry.home.store.path_of(other.sha256), Contract.from_dict(other.contract or {})
    if step.report.get("int8_aware"):
        return registry.home.store.path_of(item.sha256), Contract.from_dict(item.contract or {})  # refused there
    model = copied_model(registry.home, str(step.model_sha256), folder)
    written = write(model, TWIN, folder, name="twin", labels=data.classes)
    return written.path, written.contract


def _calibration(step: StepRecord, data: Dataset, seed: int) -> Calibration:
    settings = ExportSettings(**step.settings)
    places = calibration_places(data, settings.calibration_images, settings.seed(seed), settings.even)
    counts = np.bincount(data.splits["train"].labels[places], minlength=len(data.classes))
    return Calibration(len(places), float(counts.max() / max(1, len(places))))
