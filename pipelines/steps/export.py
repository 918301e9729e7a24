"""The export step: writes files in a child process, judges each on validation images, and offers or refuses it."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic

from exports.formats import FORMATS, format_named
from exports.mixed_bits import parse_precision
from exports.rounding import Rounding
from exports.statistics import wilson
from pipelines.data import Dataset
from pipelines.settings import Settings, setting
from pipelines.steps.step import Artifact, Result, State, Step, Surroundings, brief, recorded

INT8_AWARE_FORMATS = ("tflite_int8", "tflite_uint8", "edgetpu", "onnx_int8", "bundle", "c_array", "keras")
REHEARSAL_IMAGES = 8
GATE_IMAGES = 2000  # validation images a gate looks at; more changes its verdict by less than its own interval


class ExportSettings(Settings):
    """Which files to write and what they are calibrated and judged on."""

    formats: tuple[str, ...] = setting(
        ("tflite_int8",), min_length=1, help="File formats, see `python -m pipelines methods`"
    )
    calibration_images: int = setting(
        200, ge=1, le=4096, unit="images", help="Training images that set the int8 ranges; 100 to 500 are usual"
    )
    calibration_draw: Literal["even", "random"] = setting(
        "even", help="even: as many images of every class; random: as they come"
    )
    calibration_seed: int | None = setting(
        None, ge=0, le=2**31 - 1, help="Draws other calibration images; empty: the run's seed"
    )
    ranges: Literal["min_max", "percentile", "mse"] = setting(
        "min_max",
        help="How int8 ranges follow from the values seen: their ends, a percentile, or the least squared error",
    )
    percentile: float = setting(
        99.99, ge=90, le=100, unit="%", help="With ranges percentile: the share of values that the range must hold"
    )
    correct_bias: bool = setting(
        False, help="Moves the biases of the int8 file so that every channel has the mean of the float file's"
    )
    keep_float: str = setting(
        "", help="With tflite_mixed: layers that stay float, names with * and ?, separated by commas: stem_*, logits"
    )
    precision: str = setting(
        "",
        help="With tflite_mixed: bits of weights and activations by layer, names with * and ?: stage4_*: w4a8, "
        "stem_*: w8a16, logits: float; all others are w8a8",
    )

    @pydantic.model_validator(mode="after")
    def _mixed_says_what_stays(self) -> ExportSettings:
        given = [name for name, value in (("keep_float", self.kept), ("precision", self.bits)) if value]
        if ("tflite_mixed" in self.formats) != bool(given):
            raise ValueError(
                f"tflite_mixed belongs together with keep_float = {self.keep_float!r} or precision = "
                f"{self.precision!r}: name the layers that are not plain int8"
            )
        if len(given) > 1:
            raise ValueError("give either keep_float or precision; write layer: float in precision to keep one float")
        if self.bits and self.correct_bias:
            raise ValueError("correct_bias is not possible together with precision; leave one of them out")
        return self

    @property
    def kept(self) -> tuple[str, ...]:
        """The patterns of `keep_float`."""
        return tuple(part.strip() for part in self.keep_float.split(",") if part.strip())

    @property
    def bits(self) -> tuple[tuple[str, str], ...]:
        """The pairs of pattern and bits of `precision`. Raises: ValueError for a part that cannot be read."""
        return parse_precision(self.precision)

    @property
    def even(self) -> bool:
        """Whether every class gives as many calibration images."""
        return self.calibration_draw == "even"

    @property
    def rounding(self) -> Rounding:
        """How int8 follows from those images."""
        return Rounding(self.ranges, self.percentile, self.correct_bias, self.kept, self.bits)

    def seed(self, of_run: int) -> int:
        """The seed that draws the calibration images."""
        return of_run if self.calibration_seed is None else self.calibration_seed

    @pydantic.field_validator("formats")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            format_named(name)
        return tuple(dict.fromkeys(value))


def rehearse(state: State, settings: ExportSettings, around: Surroundings) -> None:
    """Writes the file whose layers are named, `tflite_mixed`. Raises ValueError when a name or its bits do not fit."""
    from exports import ExportFailed, save_model, write

    if "tflite_mixed" not in settings.formats or state.model is None:
        return
    images = calibration_images(around.data, min(settings.calibration_images, REHEARSAL_IMAGES), around.seed)
    named = Rounding(keep=settings.kept, precision=settings.bits)
    around.watch.progress(0, 1, "looking for the layers that have bits of their own")
    with tempfile.TemporaryDirectory(prefix="litesmith-") as scratch, suppress(ExportFailed):
        folder = Path(scratch)
        save_model(state.model, folder / "model.keras")
        write(folder / "model.keras", "tflite_mixed", folder, name="rehearsal", labels=around.data.classes,
              calibration=images, rounding=named)  # fmt: skip


def run(state: State, settings: ExportSettings, around: Surroundings) -> Result:
    """Leaves the model as it is; adds the files that passed, and a record of those that did not."""
    from exports import gate, weight_facts, write_many
    from pipelines.training.loop import predictor

    if not state.trained:
        raise ValueError("export needs a trained model: put train or distil before it")
    assert state.model_path is not None
    assert state.model_sha256 is not None
    data, watch = around.data, around.watch
    validation = data.splits["validation"]
    images, labels = validation.images[:GATE_IMAGES], validation.labels[:GATE_IMAGES]
    parent_logits = predictor(state.model)(images)
    folder = watch.folder / "files"
    folder.mkdir(parents=True, exist_ok=True)
    watch.progress(0, len(settings.formats), "converting in a child process")
    written = write_many(
        state.model_path,
        settings.formats,
        folder,
        name=f"{around.step_index:02d}_{state.made_by.replace(':', '_')}",
        labels=data.classes,
        calibration=calibration_images(data, settings.calibration_images, settings.seed(around.seed), settings.even),
        rounding=settings.rounding,
        resize=data.resize.partition(",")[0],  # the kernel; that it stretches is said in the data notes
        channel_order="grey" if data.channels == 1 else "RGB",
        int8_aware=state.int8_aware,
    )
    rows: list[dict[str, Any]] = []
    warnings = _guesswork(parent_logits, labels, len(data.classes))
    for failure in written.failures:
        rows.append({"format": failure.format, "passed": False, "error": failure.cause})
        warnings.append(f"{failure.format} could not be written: {failure.cause}")
    for place, outcome in enumerate(written.artifacts):
        format_id = outcome.format
        watch.check()
        watch.progress(place, len(written.artifacts), f"checking {format_id}")
        report = gate(outcome.path, outcome.contract, images, parent_logits, labels)
        record = recorded(outcome, report)
        artifact_id = around.handle.add_artifact(around.step_index, record)
        row = brief(artifact_id, record, outcome.bytes)
        if report.passed and FORMATS[format_id].family == "tflite":
            # What pruning and clustering left in the very file: zeros and different values, kernel by kernel.
            row["weights"] = [one.as_dict() for one in weight_facts(outcome.path.read_bytes())]
        rows.append(row)
        if not report.passed:
            warnings.append(f"{format_id} was refused: {report.cause}")
        elif FORMATS[format_id].family in ("tflite", "onnx"):
            path = around.handle.home.store.path_of(outcome.sha256)
            label = f"{state.made_by} {format_id}"
            around.artifacts.append(Artifact(artifact_id, format_id, path, outcome.contract, state.model_sha256, label))
    watch.progress(1, 1, "files checked")
    return Result(
        state, {"artifacts": rows}, {"passed": float(sum(bool(row["passed"]) for row in rows))}, tuple(warnings)
    )


def _guesswork(logits: np.ndarray, labels: np.ndarray, classes: int) -> list[str]:
    """A warning when the model is no better than chance: a file that equals it passes its gate all the same."""
    correct = int((logits.argmax(1) == labels).sum())
    if wilson(correct, len(labels))[0] > 1 / classes:
        return []
    return [
        f"the model is right on {correct} of {len(labels)} validation images, which chance among {classes} classes may "
        "reach: its files pass because they equal it, not because it is good; train it longer"
    ]


def calibration_images(data: Dataset, count: int, seed: int, even: bool = True) -> np.ndarray:
    """Draws training images, evenly over the classes or as they come; uint8 `(n, height, width, channels)`."""
    return np.asarray(data.splits["train"].images[calibration_places(data, count, seed, even)])


def calibration_places(data: Dataset, count: int, seed: int, even: bool = True) -> np.ndarray:
    """The places of those images in the training split, in rising order."""
    train = data.splits["train"]
    random = np.random.default_rng(seed)
    order = random.permutation(len(train.labels))
    if not even:
        return np.sort(order[:count])
    # The k-th image of each class comes before any (k+1)-th: a stable sort of the ranks within the classes.
    rank = np.empty(len(order), np.int64)
    for label in range(len(data.classes)):
        places = np.flatnonzero(train.labels[order] == label)
        rank[places] = np.arange(len(places))
    return np.sort(order[np.argsort(rank, kind="stable")][:count])


STEP = Step(
    name="export",
    title="Export",
    summary="Writes files for devices, checks each on validation images, and offers only those that pass.",
    settings=ExportSettings,
    methods=None,
    run=run,
    rehearse=rehearse,
)
