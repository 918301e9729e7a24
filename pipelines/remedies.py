"""What helps an int8 file: remedies tried on a run's model one by one and together, each as a real file, and measured.

Accuracies are those on validation images, calibration images come from the training split; test images are left to
`measure`. Times are taken in turn with the plain int8 file's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from exports import Rounding, localise, write
from pipelines.data import Dataset
from pipelines.further import copied_model, last_float_model
from pipelines.jobs import alone_on_machine
from pipelines.judge import File, Judge, Row
from pipelines.method import Context
from pipelines.methods import METHODS
from pipelines.recipes import Recipe
from pipelines.runs import Registry
from pipelines.settings import Settings, setting
from pipelines.steps.export import calibration_images
from pipelines.telling import Progress, silent
from pipelines.training.watch import QuietWatch

PLAIN_IMAGES = 200
NOISE_IMAGES = 64
BASE = "none"
WAIT_S = 600.0  # for a machine on which nothing else of ours computes


class RemedySettings(Settings):
    """On how many images remedies are judged, and how many layers may stay float."""

    images: int = setting(2000, ge=10, le=100_000, unit="images", help="Validation images that judge, at most")
    calibration_images: int = setting(400, ge=1, le=4096, unit="images", help="Training images that set the ranges")
    keep: tuple[int, ...] = setting(
        (1, 3), unit="layers", help="Also tried: so many of the costliest layers stay float, or get 16-bit activations"
    )
    int8_aware_epochs: int = setting(
        0, ge=0, le=1000, unit="epochs",
        help="Also tried: so many epochs of int8-aware training on all training images; 0: not, since it takes long",
    )  # fmt: skip
    only: tuple[str, ...] = setting((), help="Names of the remedies to try; empty: all")

    @pydantic.field_validator("keep")
    @classmethod
    def _layers(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if bad := [one for one in value if one < 1]:
            raise ValueError(f"{', '.join(map(str, bad))} layers cannot stay float; give numbers from 1, or none")
        return value

    @pydantic.field_validator("only")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [one.name for one in first_remedies(1)]
        if unknown := [one for one in value if one not in names]:
            raise ValueError(f"{', '.join(unknown)} is no remedy; there are {', '.join(names[1:])}")
        return value


@dataclass(frozen=True)
class Remedy:
    """One way to a file: the quantise step that the model goes through first, its rounding, the format it becomes."""

    name: str
    title: str
    quantise: dict[str, Any] | None = None
    rounding: Rounding = field(default_factory=Rounding)
    images: int = PLAIN_IMAGES
    format: str = "tflite_int8"

    def steps(self) -> list[dict[str, Any]]:
        """The steps of a recipe that takes the remedy, from the float model on."""
        export: dict[str, Any] = {"formats": [self.format], "calibration_images": self.images}
        given = self.rounding
        if given.ranges != "min_max":
            export["ranges"] = given.ranges
        if given.correct_bias:
            export["correct_bias"] = True
        if given.keep:
            export["keep_float"] = ", ".join(given.keep)
        if given.precision:
            export["precision"] = ", ".join(f"{layer}: {bits}" for layer, bits in given.precision)
        first = [{"quantise": self.quantise}] if self.quantise is not None else []
        return [*first, {"export": export}, {"measure": {}}]


def first_remedies(images: int) -> list[Remedy]:
    """What is tried on every model; the first is the file without a remedy."""
    mse, bias = Rounding("mse"), Rounding(correct_bias=True)
    both = Rounding("mse", correct_bias=True)
    even = {"method": "equalisation"}
    return [
        Remedy(BASE, "plain int8"),
        Remedy("images", f"{images} calibration images", images=images),
        Remedy("mse", "ranges of least squared error", rounding=mse, images=images),
        Remedy("percentile", "ranges of 99.99 %", rounding=Rounding("percentile"), images=images),
        Remedy("bias_correction", "corrected biases", rounding=bias, images=images),
        Remedy("equalisation", "equalisation", quantise=even, images=images),
        Remedy("equalisation_open", "equalisation, ReLU6 opened", quantise={**even, "relu6": "open"},
               images=images),
        Remedy("together", "equalisation, least squared error, corrected biases", quantise=even, rounding=both,
               images=images),
        Remedy("ranges_and_biases", "least squared error, corrected biases", rounding=both, images=images),
    ]  # fmt: skip


def remedies_of_layers(places: Sequence[Mapping[str, Any]], counts: Sequence[int], images: int) -> list[Remedy]:
    """The costliest layers left float or given 16-bit activations, so many of them as each count says.

    `places` are those that the localiser gives. A sum or a gate can be computed in float; bits of its own only a layer
    with weights can have.
    """
    worst = sorted(places, key=lambda one: -(one["cost"] or 0.0))
    costly = [(one["layer"] or "logits", one["kernel"]) for one in worst if one["cost"]]
    layers = list(dict.fromkeys(layer for layer, _ in costly))
    weighty = list(dict.fromkeys(layer for layer, kernel in costly if kernel))
    found = []
    for count in counts:
        float_ = Rounding("mse", keep=tuple(layers[:count]))
        wide = Rounding("mse", precision=tuple((layer, "w8a16") for layer in weighty[:count]))
        for name, title, rounding in (("keep", "float", float_), ("int16", "with 16-bit activations", wide)):
            kept = len(rounding.keep) + len(rounding.precision)
            if kept:
                what = f"{kept} layer{'s' * (kept > 1)} {title}, least squared error"
                found.append(Remedy(f"{name}_{count}", what, rounding=rounding, images=images, format="tflite_mixed"))
    return found


def try_remedies(
    registry: Registry, run: str, settings: RemedySettings, progress: Progress = silent
) -> dict[str, Any]:
    """Tries every remedy on the last float model of `run`; the rows come in the order in which they were tried.

    Raises: ValueError when the run has no float model.
    """
    from pipelines.execute import load_stored_model, open_data
    from pipelines.training import session

    step, origin = last_float_model(registry, run), registry.get(run)
    data = open_data(Recipe.of(origin.recipe), registry.home)
    session.open_session(origin.seed)
    with tempfile.TemporaryDirectory(prefix="litesmith-remedies-") as folder:
        alone = partial(alone_on_machine, registry.home, timeout_s=WAIT_S)
        bench = _Bench(data, origin.seed, settings, Path(folder), alone, progress)
        bench.model_path = copied_model(registry.home, str(step.model_sha256), bench.folder)
        bench.model = load_stored_model(registry.home, str(step.model_sha256))
        rows = list(bench.rows())
        return {
            "run": run,
            "step": step.index + 1,
            "validation_images": len(bench.labels),
            "float": bench.judge.float_row,
            "drop_points": 100 * (bench.judge.float_row["top1"] - rows[0]["top1"]),
            "faults": bench.noise["faults"],
            "rows": rows,
        }


class _Bench:
    """Writes, judges and times one file after the other, each beside the float file and the plain int8 one."""

    def __init__(
        self, data: Dataset, seed: int, settings: RemedySettings, folder: Path,
        alone: Callable[[], AbstractContextManager[None]], progress: Progress,
    ) -> None:  # fmt: skip
        validation = data.splits["validation"]
        count = min(settings.images, len(validation.labels))
        self.data, self.seed, self.settings, self.folder = data, seed, settings, folder
        self.alone, self.progress = alone, progress
        self.images, self.labels = np.asarray(validation.images[:count]), np.asarray(validation.labels[:count])
        self.model: Any = None
        self.model_path = folder / "model.keras"
        self.changed: dict[str, Path] = {}  # models behind a quantise step
        self.noise: dict[str, Any] = {"faults": [], "places": []}

    def rows(self) -> Iterator[Row]:
        plain = self._write(Remedy("float", "float32", format="tflite_float32"), self.model_path)
        self.judge = Judge(plain, self.images, self.labels, self.alone)
        base: File | None = None
        wanted = (BASE, *self.settings.only)
        known = first_remedies(self.settings.calibration_images)
        chosen = [one for one in known if one.name in wanted or not self.settings.only]
        total = len(chosen) + 2 * len(self.settings.keep) + bool(self.settings.int8_aware_epochs)
        for number, remedy in enumerate(chosen):
            self.progress(number, total, remedy.title)
            row, file = self._tried(remedy, base)
            base = base or file
            yield row
            if remedy.name == BASE and file is not None:
                self.noise = localise(*plain, *file, self.images[:NOISE_IMAGES])
        of_layers = remedies_of_layers(self.noise["places"], self.settings.keep, self.settings.calibration_images)
        for number, remedy in enumerate([*of_layers, *self._training()], len(chosen)):
            self.progress(number, total, remedy.title)
            yield self._tried(remedy, base)[0]

    def _tried(self, remedy: Remedy, base: File | None) -> tuple[Row, File | None]:
        """The row of a remedy and its file, None where it cannot be written; its time is told beside `base`."""
        try:
            file = self._write(remedy, self._model_for(remedy))
        except ValueError as error:
            if remedy.name == BASE:
                raise  # nothing can be compared to it
            return {"name": remedy.name, "title": remedy.title, "error": str(error)}, None
        return self._row(remedy, file, base or file), file

    def _training(self) -> list[Remedy]:
        epochs = self.settings.int8_aware_epochs
        title = f"int8-aware training, {epochs} epoch{'s' * (epochs > 1)}"
        return [Remedy("int8_aware", title, quantise={"method": "int8_aware", "epochs": epochs})] if epochs else []

    def _model_for(self, remedy: Remedy) -> Path:
        if remedy.quantise is None:
            return self.model_path
        from exports import save_model

        key = str(sorted(remedy.quantise.items()))
        if key not in self.changed:
            settings = {name: value for name, value in remedy.quantise.items() if name != "method"}
            method = METHODS[remedy.quantise["method"]]
            watch = QuietWatch(self.folder / f"changing{len(self.changed)}")
            outcome = method.apply(self.model, method.settings(**settings), Context(self.data, self.seed, watch))
            path = self.folder / f"changed{len(self.changed)}{'.h5' if outcome.int8_aware else '.keras'}"
            save_model(outcome.model, path)
            self.changed[key] = path
        return self.changed[key]

    def _write(self, remedy: Remedy, model: Path) -> File:
        folder = self.folder / remedy.name
        written = write(
            model, remedy.format, folder, name=remedy.name, labels=self.data.classes, rounding=remedy.rounding,
            calibration=calibration_images(self.data, remedy.images, self.seed),
        )  # fmt: skip
        return written.path, written.contract

    def _row(self, remedy: Remedy, file: File, base: File) -> Row:
        kept = [*remedy.rounding.keep, *(layer for layer, _ in remedy.rounding.precision)]
        row = {"name": remedy.name, "title": remedy.title, "steps": remedy.steps(), "kept": kept}
        return {**row, **self.judge.row(file, base)}


def loss(drop_points: float) -> str:
    """What plain int8 loses against float32, in words; a file that scores better loses nothing."""
    return f"loses {drop_points:.2f} points" if drop_points > 0 else "loses nothing"


def regained(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], whole: float) -> float | None:
    """The share of the plain int8 file's drop that a remedy takes back; None when there is no drop."""
    drop = whole - rows[0]["top1"]
    return None if drop <= 0 or "top1" not in row else (row["top1"] - rows[0]["top1"]) / drop


