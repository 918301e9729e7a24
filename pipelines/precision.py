"""Bits for every layer under a budget: what each layer would cost is measured, then the budget is spent where it helps.

Noise of single layers adds up (`exports.precisions`), so a choice for all of them is judged by a sum; the file it gives
is then written and measured like any other. Accuracies are those on validation images, ranges come from training
images; test images are left to `measure`.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic

from exports import Rounding, measure, try_precisions, write
from exports.latency import RESOLUTION
from exports.mixed_bits import BITS, INT8
from pipelines import haq
from pipelines.bit_budget import Currency, Option, Options, Unreachable, bit_operations, cheapest, options_of
from pipelines.further import copied_model, going_on, last_float_model
from pipelines.jobs import alone_on_machine
from pipelines.judge import ROUNDS, File, Judge, Row
from pipelines.recipes import Recipe
from pipelines.runs import Registry
from pipelines.settings import Settings, setting
from pipelines.steps.export import calibration_images
from pipelines.telling import Progress, silent

WAIT_S = 600.0  # for a machine on which nothing else of ours computes
ATTEMPTS = 6  # files written until one keeps its budget of bytes
BASE = "int8"


class PrecisionSettings(Settings):
    """Which bits layers may have, what is paid with, and how much of it there is."""

    budget: Currency = setting(
        "bytes",
        help="bytes of the file, bit_operations (multiply-adds times bits of weights times bits of activations), or "
        "milliseconds on this machine, for which every layer's choices are timed",
    )
    shares: tuple[float, ...] = setting(
        (0.9, 0.8, 0.7), min_length=1, unit="of plain int8", help="A file is made for each; above 1 buys accuracy"
    )
    choices: tuple[str, ...] = setting(
        ("w4a8", "w8a8"),
        min_length=1,
        help="Bits of weights and activations a layer may have: w4a8, w8a8, w8a16, w4a16, float. 16 bits and float "
        "lessen the noise and are slower",
    )
    search: Literal["greedy", "haq"] = setting(
        "greedy",
        help="greedy: least loss for what is saved, at once; haq: an agent learns for minutes (over five seeds not "
        "shown to beat chance here, always behind greedy), and what both came to is said beside it",
    )
    episodes: int = setting(300, ge=30, le=5000, unit="episodes", help="With haq: how many choices the agent tries")
    images: int = setting(2000, ge=10, le=100_000, unit="images", help="Validation images that judge, at most")
    noise_images: int = setting(128, ge=8, le=4096, unit="images", help="Of these, so many measure the layers' noise")
    calibration_images: int = setting(200, ge=1, le=4096, unit="images", help="Training images that set the ranges")
    ranges: Literal["min_max", "percentile", "mse"] = setting("min_max", help="How ranges follow from the values seen")

    @pydantic.field_validator("choices")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [one for one in value if one not in BITS]:
            raise ValueError(f"bits {', '.join(unknown)} are not known; choose from {', '.join(BITS)}")
        return tuple(dict.fromkeys(value))

    @pydantic.field_validator("shares")
    @classmethod
    def _possible(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if wrong := [one for one in value if not 0.1 <= one <= 16]:
            raise ValueError(f"share {wrong[0]:g} of the int8 budget: give 0.1 to 16; 0.9, 0.75 and 0.6 are a start")
        return tuple(sorted(set(value), reverse=True))


def search_precision(
    registry: Registry, run: str, settings: PrecisionSettings, progress: Progress = silent
) -> dict[str, Any]:
    """Files of the last float model of `run`, one for each share of the budget, beside float and plain int8.

    Raises: ValueError when the run has no float model; a share that cannot be reached is a row that says so.
    """
    from pipelines.execute import open_data

    step, origin = last_float_model(registry, run), registry.get(run)
    data = open_data(Recipe.of(origin.recipe), registry.home)
    validation = data.splits["validation"]
    count = min(settings.images, len(validation.labels))
    images, labels = np.asarray(validation.images[:count]), np.asarray(validation.labels[:count])
    calibration = calibration_images(data, settings.calibration_images, origin.seed)
    with tempfile.TemporaryDirectory(prefix="litesmith-precision-") as folder:
        model = copied_model(registry.home, str(step.model_sha256), Path(folder))

        def written(name: str, form: str, precision: Sequence[tuple[str, str]] = ()) -> File:
            rounding = Rounding(settings.ranges, precision=tuple(precision))
            one = write(model, form, Path(folder) / name, name=name, labels=data.classes, calibration=calibration,
                        rounding=rounding)  # fmt: skip
            return one.path, one.contract

        plain = written("float", "tflite_float32")
        judge = Judge(plain, images, labels, partial(alone_on_machine, registry.home, timeout_s=WAIT_S))
        timed = settings.budget == "milliseconds"
        found = try_precisions(model, calibration, images[: settings.noise_images], settings.choices,
                               rounding=Rounding(settings.ranges), keep=Path(folder) if timed else None,
                               told=partial(_layers_told, progress))  # fmt: skip
        everywhere = [(layer["name"], INT8) for layer in found["layers"]]
        base = written(BASE, "tflite_mixed", everywhere)
        if timed:
            with judge.alone():
                found["int8_milliseconds"] = _time_layers(found["layers"], base, Path(folder))
        rows: list[Row] = [{"name": BASE, "title": "int8 in every layer", "share": 1.0, **judge.row(base, base)}]
        purse = _purse(found, settings.budget, base, judge)
        options = options_of(found["layers"], settings.choices, settings.budget)
        for share in settings.shares:
            row: Row = {"name": f"share_{share:g}", "title": f"{share:.0%} of the {_word(settings.budget)} of int8",
                        "share": share, "limit": share * purse.whole}  # fmt: skip
            progress(0, 1, f"writing {row['title']}")
            try:
                choose = partial(cheapest, options)
                if settings.search == "haq":
                    choose = partial(_agent, options, found["layers"], settings, origin.seed, row, progress)
                taken, file = _within(choose, row["limit"], purse, written, row["name"])
            except Unreachable as error:
                least = error.least + purse.fixed
                amount = f"{least:.3f}" if timed else f"{least:,.0f}"
                rows.append({**row, "error": f"the least that can be reached is {least / purse.whole:.0%} ({amount})"})
                continue
            bits = {layer: one.bits for layer, one in taken.items()}
            rows.append(
                {**row, "bits": bits, "noise": sum(one.noise for one in taken.values()),
                 "bit_operations": bit_operations(found["layers"], bits), **judge.row(file, base),
                 "steps": _steps(bits, settings.calibration_images, settings.ranges)}
            )  # fmt: skip
    return {
        "run": run,
        "step": step.index + 1,
        "budget": settings.budget,
        "validation_images": count,
        "noise_images": min(settings.noise_images, count),
        "calibration_images": settings.calibration_images,
        "ranges": settings.ranges,
        "float": judge.float_row,
        "int8_noise": found["int8_noise"],
        "layers": found["layers"],
        "rows": rows,
    }


def _layers_told(progress: Progress, reports: Sequence[Row]) -> None:
    layers = next((one["layers"] for one in reports if one["stage"] == "int8"), 0)
    if layers:
        done = sum(one["stage"] == "layer" for one in reports)
        progress(done, layers, "measuring what each layer would cost")


@dataclass(frozen=True)
class _Purse:
    """`whole` is what plain int8 costs, `fixed` what of it the options leave out, `spent` what a written file costs.

    Without `spent` the sum of the options is exact; a file may cost the share `slack` more than its limit.
    """

    whole: float
    fixed: float = 0.0
    spent: Callable[[File], float] | None = None
    slack: float = 0.0


def _purse(found: Mapping[str, Any], budget: Currency, base: File, judge: Judge) -> _Purse:
    if budget == "bytes":
        return _Purse(found["int8_bytes"], found["int8_bytes"], lambda file: float(file[0].stat().st_size))
    if budget == "milliseconds":
        whole = found["int8_milliseconds"]
        return _Purse(whole, whole, lambda file: whole * judge.ratio(file, base).ratio, RESOLUTION)
    return _Purse(bit_operations(found["layers"], {layer["name"]: INT8 for layer in found["layers"]}))


def _time_layers(layers: Sequence[dict[str, Any]], base: File, folder: Path) -> float:
    """Notes by how many milliseconds the int8 file `base` slows when one layer alone has other bits; gives its own.

    A difference that the rounds do not bear out is none: noise must not look like a gain.
    """
    times = []
    for layer in layers:
        others = {bits: row for bits, row in layer["bits"].items() if bits != INT8}
        files = [base, *((folder / row.pop("file"), base[1]) for row in others.values())]
        first, *changed = measure(files, rounds=ROUNDS).rows
        times.append(first.median_ms)
        layer["bits"][INT8]["milliseconds"] = 0.0
        for row, timed in zip(others.values(), changed, strict=True):
            told = timed.verdict != "not distinguishable"
            row["milliseconds"] = (timed.ratio - 1) * first.median_ms if told else 0.0
    return float(np.median(times))


def _within(
    choose: Callable[[float], dict[str, Option]], limit: float, purse: _Purse, written: Any, name: str
) -> tuple[dict[str, Option], File]:
    """A choice whose file keeps the limit: conversions at borders make a file cost a little more than its parts say."""
    aim = limit - purse.fixed
    for _ in range(ATTEMPTS):
        taken = choose(aim)
        file = written(name, "tflite_mixed", [(layer, one.bits) for layer, one in taken.items()])
        over = 0.0 if purse.spent is None else purse.spent(file) - limit
        if over <= purse.slack * limit:
            return taken, file
        aim -= over
    raise Unreachable(limit + over - purse.fixed)


def _agent(
    options: Options,
    layers: Sequence[Mapping[str, Any]],
    settings: PrecisionSettings,
    seed: int,
    row: Row,
    progress: Progress,
    limit: float,
) -> dict[str, Option]:
    """The agent's choice; `row` learns how its episodes went, and what chance and the greedy choice came to."""
    episodes = settings.episodes
    found = haq.search(
        options, layers, limit, episodes=episodes, seed=seed,
        told=lambda number: progress(number, episodes, f"{row['title']}: the agent's episodes"),
    )  # fmt: skip
    greedy = haq.decibels(sum(one.noise for one in cheapest(options, limit).values()))
    row["search"] = {"rewards": list(found.rewards), "random": found.control, "greedy": greedy}
    return found.taken


def learned(rows: Sequence[Row]) -> list[str]:
    """How the agent fared in every row that it searched, in decibels of signal over noise: more is better."""
    found = [(row["title"], row["search"]) for row in rows if "search" in row]
    return [
        f"{title}: the agent's best of {len(one['rewards'])} episodes had {max(one['rewards']):.1f} dB, the best of as "
        f"many at random {one['random']:.1f} dB, the greedy choice {one['greedy']:.1f} dB"
        for title, one in found
    ]


def _word(budget: str) -> str:
    return budget.replace("_", " ")


def precision_recipe(registry: Registry, document: Mapping[str, Any], bits: Mapping[str, str]) -> dict[str, Any]:
    """The recipe that writes the searched model with these bits, from layer name to bits, and measures the file."""
    steps = _steps(bits, document["calibration_images"], document["ranges"])
    others = Counter(one for one in bits.values() if one != INT8)
    name = ", ".join(f"{count} layers {one}" for one, count in others.items()) or "int8 in every layer"
    return going_on(registry, document["run"], document["step"], name, steps)


def _steps(bits: Mapping[str, str], calibration: int, ranges: str) -> list[dict[str, Any]]:
    """The steps of a recipe that writes this file. Layers are named in full: what follows cannot fit one too many."""
    others = {layer: one for layer, one in bits.items() if one != INT8} or dict(list(bits.items())[:1])
    export = {
        "formats": ["tflite_mixed"],
        "calibration_images": calibration,
        "ranges": ranges,
        "precision": ", ".join(f"{layer}: {one}" for layer, one in others.items()),
    }
    return [{"export": export}, {"measure": {}}]
