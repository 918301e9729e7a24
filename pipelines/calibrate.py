"""The calibration lab: how many images, drawn how, and which ranges an int8 file of a run's model needs.

Every calibration is repeated with other images; what is said of it is an interval over the repeats. Calibration images
come from the training split, accuracies from validation images; test images are left to `measure`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import numpy as np
import pydantic

from exports import Rounding, Trial, try_calibrations
from exports.rounding import RANGES
from exports.statistics import mean_interval
from pipelines.further import copied_model, last_float_model
from pipelines.runs import Registry
from pipelines.settings import Settings, setting
from pipelines.steps.export import calibration_places
from pipelines.telling import Progress, silent

Row = dict[str, Any]


class CalibrationSettings(Settings):
    """Which calibrations are tried, and on how many validation images they are judged."""

    sizes: tuple[int, ...] = setting((8, 25, 100, 400), min_length=1, unit="images", help="Calibration images to try")
    repeats: int = setting(3, ge=2, le=50, help="Draws of other images for each size; intervals are over these")
    draw: Literal["even", "random"] = setting("even", help="even: as many of every class; random: as they come")
    images: int = setting(1000, ge=10, le=100_000, unit="images", help="Validation images that judge, at most")
    margin: float = setting(
        0.5, ge=0, le=100, unit="points", help="A size is safe when it loses no more than this against the largest"
    )
    noise_times: float = setting(
        1.5, ge=1, le=100, help="... and when its noise is at most so many times that of the largest"
    )
    percentile: float = setting(99.99, ge=90, le=100, unit="%", help="Of the percentile ranges")

    @pydantic.field_validator("sizes")
    @classmethod
    def _positive(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if bad := [one for one in value if not 1 <= one <= 4096]:
            raise ValueError(f"sizes {bad} cannot be used; give 1 to 4096 images")
        return tuple(sorted(set(value)))


def calibration_lab(
    registry: Registry, run: str, settings: CalibrationSettings, progress: Progress = silent
) -> dict[str, Any]:
    """Tries every size with min-max ranges, the largest with all kinds of ranges, and says which is the smallest safe.

    Raises: ValueError when the run has no float model.
    """
    from pipelines.execute import open_data
    from pipelines.recipes import Recipe

    step = last_float_model(registry, run)
    data = open_data(Recipe.of(registry.get(run).recipe), registry.home)
    train, validation = data.splits["train"], data.splits["validation"]
    sizes = sorted({min(one, len(train.labels)) for one in settings.sizes})
    kinds = [(size, "min_max") for size in sizes] + [(sizes[-1], kind) for kind in RANGES if kind != "min_max"]
    plan = [(size, kind, seed) for size, kind in kinds for seed in range(settings.repeats)]
    drawn = {
        (size, seed): calibration_places(data, size, seed, settings.draw == "even")
        for size in sizes
        for seed in range(settings.repeats)
    }
    used = np.unique(np.concatenate(list(drawn.values())))
    trials = [
        Trial(tuple(np.searchsorted(used, drawn[size, seed]).tolist()), Rounding(kind, settings.percentile))  # type: ignore[arg-type]
        for size, kind, seed in plan
    ]
    count = min(settings.images, len(validation.labels))
    with tempfile.TemporaryDirectory(prefix="litesmith-lab-") as folder:
        model = copied_model(registry.home, str(step.model_sha256), Path(folder))
        found = try_calibrations(
            model, np.asarray(train.images[used]), trials, np.asarray(validation.images[:count]),
            np.asarray(validation.labels[:count]),
            told=lambda reports: progress(_tried(reports), len(trials), "writing and judging int8 files"),
        )  # fmt: skip
    rows = [
        {"images": size, "ranges": kind, "seed": seed, **row}
        for (size, kind, seed), row in zip(plan, found["rows"], strict=True)
    ]
    summary = [_summary(rows, size, kind, sizes[-1]) for size, kind in kinds]
    return {
        "run": run,
        "step": step.index + 1,
        "validation_images": count,
        "float_top1": found["float_top1"],
        **settings.model_dump(include={"repeats", "draw", "margin", "noise_times", "percentile"}),
        "rows": rows,
        "summary": summary,
        "smallest_safe": smallest_safe(summary, settings.margin, settings.noise_times),
        "best_ranges": min((one for one in summary if one["images"] == sizes[-1]), key=lambda one: one["noise"])[
            "ranges"
        ],
    }


def _tried(reports: Sequence[Row]) -> int:
    return sum(one["stage"] == "trial" for one in reports)


def _summary(rows: Sequence[Row], size: int, kind: str, largest: int) -> Row:
    mine = [row for row in rows if (row["images"], row["ranges"]) == (size, kind)]
    if broken := next((row["error"] for row in mine if "error" in row), None):
        raise ValueError(f"an int8 file could not be written with {size} images and ranges {kind}: {broken}")
    whole = {row["seed"]: row for row in rows if (row["images"], row["ranges"]) == (largest, "min_max")}
    low, high = (min(max(end, 0.0), 1.0) for end in mean_interval([row["top1"] for row in mine]))
    lost_low, lost_high = mean_interval([row["top1"] - whole[row["seed"]]["top1"] for row in mine])
    return {
        "images": size,
        "ranges": kind,
        "top1": fmean(row["top1"] for row in mine),
        "low": low,
        "high": high,
        "agreement": fmean(row["agreement"] for row in mine),
        "noise": fmean(row["noise"] for row in mine),
        "against_largest": fmean(row["top1"] - whole[row["seed"]]["top1"] for row in mine),
        "against_largest_low": lost_low,
        "against_largest_high": lost_high,
    }


def smallest_safe(summary: Sequence[Row], margin: float, noise_times: float) -> int | None:
    """The fewest images from which on no size loses more than `margin` points against the most, by its interval, and
    none has more than `noise_times` its noise."""
    sizes = sorted((one for one in summary if one["ranges"] == "min_max"), key=lambda one: -one["images"])
    found = None
    for row in sizes:
        if 100 * row["against_largest_low"] < -margin or row["noise"] > noise_times * sizes[0]["noise"]:
            break
        found = row["images"]
    return found
