"""The adopt step: takes a finished .tflite or .onnx file from elsewhere among the files of a run, to be compared.

Nothing is known of the model it was made from, so it is not held against one: it must run, and what it answers is
measured on the same test images as every other file.
"""

from __future__ import annotations

from os.path import expanduser
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic

from exports.adopted import with_range
from exports.file_sketch import SUFFIXES
from exports.keras_config import RANGES
from exports.statistics import mcnemar, wilson
from pipelines.data import Dataset
from pipelines.settings import Settings, setting
from pipelines.steps.step import Artifact, Result, State, Step, Surroundings, brief, recorded

IMAGES = 500  # validation images that the declared range of pixels is tried on, beside the other ranges


class AdoptSettings(Settings):
    """Which file, and what it does not say of itself."""

    file: str = setting(
        "", help="A finished classifier, .tflite or .onnx, whose scores follow the order of the classes"
    )
    input_range: Literal["0..1", "-1..1", "0..255"] = setting("0..1", help="The range of pixels it was trained on")

    @pydantic.field_validator("file")
    @classmethod
    def _whole_path(cls, value: str) -> str:
        if not value.strip():
            return ""  # a form begins so; the recipe refuses it
        path = Path(expanduser(value.strip()))
        if path.suffix not in SUFFIXES:
            raise ValueError(f"a finished file ends in {' or '.join(SUFFIXES)}")
        # A job runs in another folder than the one in which the path was typed.
        return str(path.absolute())


def run(state: State, settings: AdoptSettings, around: Surroundings) -> Result:
    """Leaves the model as it is; adds the file with a contract, or fails with what is wrong with it."""
    from exports import adopt, opens

    path = Path(settings.file)
    around.watch.progress(0, 1, f"reading {path.name}")
    data = around.data
    taken = adopt(
        path,
        around.watch.folder / "files",
        name=f"{around.step_index:02d}_adopted",
        labels=tuple(data.classes),
        input_range=settings.input_range,
        resize=data.resize.partition(",")[0],
    )
    contract = taken.contract
    image = contract.input
    wanted = (*data.resolution, data.channels)
    if (image.height, image.width, image.channels) != wanted:
        raise ValueError(
            f"{path.name} takes {image.height}x{image.width}x{image.channels}, the images are "
            f"{'x'.join(map(str, wanted))}: set data.resolution and data.channels to the file's"
        )
    validation = data.splits["validation"]
    report = opens(taken.path, contract, validation.images[:64], selftest=True)
    record = {**recorded(taken, report), "name": path.name}
    artifact_id = around.handle.add_artifact(around.step_index, record)
    if not report.passed:
        raise ValueError(f"{path.name} does not run here: {report.cause}")
    stored = around.handle.home.store.path_of(contract.sha256)
    around.artifacts.append(Artifact(artifact_id, contract.format, stored, contract, "", f"adopted {path.stem}"))
    found = _ranges(stored, contract, data, settings.input_range)
    around.watch.progress(1, 1, f"{path.name} read")
    row = brief(artifact_id, record, taken.bytes)
    return Result(
        state,
        {"artifacts": [row], "file": path.name, "input_range": settings.input_range, "ranges": found["top1"]},
        {"passed": 1.0},
        found["warnings"],
    )


def _ranges(path: Path, contract: Any, data: Dataset, declared: str) -> dict[str, Any]:
    """Validation top-1 under every range of pixels, and a warning where another fits better than the declared one."""
    from exports import predict

    validation = data.splits["validation"]
    images, labels = validation.images[:IMAGES], validation.labels[:IMAGES]
    right: dict[str, np.ndarray] = {}
    for name in RANGES:
        right[name] = predict(path, with_range(contract, name), images).argmax(1) == labels
    best = max(right, key=lambda name: (int(right[name].sum()), name == declared))
    warnings = []
    if best != declared and mcnemar(right[declared], right[best]).p_value < 0.01:
        warnings.append(
            f"with input_range {best} it is right on {int(right[best].sum())} of {len(labels)} validation images, with "
            f"{declared} on {int(right[declared].sum())}: was it trained on pixels {best}?"
        )
    elif wilson(int(right[declared].sum()), len(labels))[0] <= 1 / len(data.classes):
        warnings.append(
            f"it is right on {int(right[declared].sum())} of {len(labels)} validation images, which chance may reach: "
            "are the classes in the order of its scores, and are the pixels meant another way?"
        )
    return {"top1": {name: float(one.mean()) for name, one in right.items()}, "warnings": tuple(warnings)}


STEP = Step(
    name="adopt",
    title="Take in a file",
    summary="Takes a finished .tflite or .onnx file from elsewhere among the files, to measure it beside them.",
    settings=AdoptSettings,
    methods=None,
    run=run,
)
