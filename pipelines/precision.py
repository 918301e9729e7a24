"""Bits for every layer under a budget: what each layer would cost is measured, then the budget is spent where it helps.

Noise of single layers adds up (`exports.precisions`), so a choice for all of them is judged by a sum; the file it gives
is then written and measured like any other. Accuracies are those on validation images, ranges come from training
images; test images are left to `measure`.

Source: greedy lowering by least loss for what is saved, the usual baseline of HAQ (Wang et al., arXiv:1811.08886).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic

from exports import Rounding, try_precisions, write
from exports.mixed_bits import BITS, INT8
from pipelines.further import copied_model, going_on, last_float_model
from pipelines.jobs import alone_on_machine
from pipelines.judge import File, Judge, Row
from pipelines.recipes import Recipe
from pipelines.runs import Registry
from pipelines.settings import Settings, setting
from pipelines.steps.export import calibration_images

WAIT_S = 600.0  # for a machine on which nothing else of ours computes
ATTEMPTS = 6  # files written until one keeps its budget of bytes
BASE = "int8"


class PrecisionSettings(Settings):
    """Which bits layers may have, what is paid with, and how much of it there is."""

    budget: Literal["bytes", "bit_operations"] = setting(
        "bytes", help="bytes of the file, or multiply-adds times bits of weights times bits of activations"
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
        help="greedy: least loss for what is saved, at once; haq: an agent learns for minutes, and what chance and "
        "greedy came to is said beside it",
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


@dataclass(frozen=True)
class Option:
    """Bits that a layer can have: what they cost and the noise they bring."""

    bits: str
    cost: float
    noise: float


Options = Mapping[str, Sequence[Option]]


class Unreachable(ValueError):
    """A limit below the sum of the cheapest options, which is `least`."""

    def __init__(self, least: float) -> None:
        super().__init__(f"even the cheapest bits of all layers cost {least:,.0f}")
        self.least = least


def cheapest(options: Options, limit: float) -> dict[str, Option]:
    """An option for every layer with little noise in sum, and a sum of costs of at most `limit`.

    From the least noise on, the step with the least noise for what it saves is taken until the limit is kept; then
    single changes and changes in pairs are made while they lessen the noise.

    Raises: Unreachable when even the cheapest options cost more.
    """
    least = sum(min(one.cost for one in able) for able in options.values())
    if least > limit:
        raise Unreachable(least)
    taken = {layer: min(able, key=lambda one: (one.noise, one.cost)) for layer, able in options.items()}
    cost = sum(one.cost for one in taken.values())
    while cost > limit:
        steps = [(layer, one) for layer, able in options.items() for one in able if one.cost < taken[layer].cost]
        layer, one = min(steps, key=lambda step: _price(taken[step[0]], step[1]))
        cost += one.cost - taken[layer].cost
        taken[layer] = one
    while better := _better(options, taken, limit - cost):
        cost += sum(one.cost - taken[layer].cost for layer, one in better.items())
        taken |= better
    return taken


def _price(old: Option, new: Option) -> float:
    """Noise that comes for a unit of cost that goes; what lessens both comes first."""
    return (new.noise - old.noise) / (old.cost - new.cost)


def _better(options: Options, taken: Mapping[str, Option], spare: float) -> dict[str, Option]:
    """The change of one layer or of two that lessens the noise most and fits; empty when there is none."""
    changes = [
        (layer, one, one.noise - taken[layer].noise, one.cost - taken[layer].cost)
        for layer, able in options.items()
        for one in able
        if one is not taken[layer]
    ]
    best: dict[str, Option] = {}
    gain = -1e-12
    for layer, one, noise, cost in changes:
        if noise < gain and cost <= spare:
            best, gain = {layer: one}, noise
    for first, second in combinations(changes, 2):
        if first[0] != second[0] and first[2] + second[2] < gain and first[3] + second[3] <= spare:
            best, gain = {first[0]: first[1], second[0]: second[1]}, first[2] + second[2]
    return best


def options_of(layers: Sequence[Mapping[str, Any]], settings: PrecisionSettings) -> dict[str, list[Option]]:
    """Per layer what the settings allow and its operator can have; plain int8 where that is nothing.

    In bytes a cost is the growth of the int8 file, in bit operations the whole of the layer's.
    """
    found = {}
    for layer in layers:
        able = [bits for bits in layer["bits"] if bits in settings.choices] or [INT8]
        found[layer["name"]] = [
            Option(bits, _cost(layer, bits, settings.budget), layer["bits"][bits]["noise"]) for bits in able
        ]
    return found


def _cost(layer: Mapping[str, Any], bits: str, budget: str) -> float:
    weights, activations = BITS[bits]
    return float(layer["bits"][bits]["bytes"] if budget == "bytes" else layer["macs"] * weights * activations)


def search_precision(registry: Registry, run: str, settings: PrecisionSettings) -> dict[str, Any]:
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
        found = try_precisions(model, calibration, images[: settings.noise_images], settings.choices,
                               rounding=Rounding(settings.ranges))  # fmt: skip
        everywhere = [(layer["name"], INT8) for layer in found["layers"]]
        base = written(BASE, "tflite_mixed", everywhere)
        rows: list[Row] = [{"name": BASE, "title": "int8 in every layer", "share": 1.0, **judge.row(base, base)}]
        whole = _whole(found, settings.budget)
        before = found["int8_bytes"] if settings.budget == "bytes" else None
        options = options_of(found["layers"], settings)
        for share in settings.shares:
            row: Row = {"name": f"share_{share:g}", "title": f"{share:.0%} of the {_word(settings.budget)} of int8",
                        "share": share, "limit": share * whole}  # fmt: skip
            try:
                choose = partial(cheapest, options)
                if settings.search == "haq":
                    choose = partial(_agent, options, found["layers"], settings, origin.seed, row)
                taken, file = _within(choose, row["limit"], before, written, row["name"])
            except Unreachable as error:
                least = error.least + (before or 0)
                rows.append({**row, "error": f"the least that can be reached is {least / whole:.0%} ({least:,.0f})"})
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


def _within(
    choose: Callable[[float], dict[str, Option]], limit: float, int8_bytes: int | None, written: Any, name: str
) -> tuple[dict[str, Option], File]:
    """A choice whose file keeps the limit: conversions at borders make a file a little larger than its parts say.

    Without `int8_bytes` the limit is not one of bytes, and the parts are exact.
    """
    if int8_bytes is None:
        taken = choose(limit)
        return taken, written(name, "tflite_mixed", _pairs(taken))
    aim = limit - int8_bytes
    for _ in range(ATTEMPTS):
        taken = choose(aim)
        file = written(name, "tflite_mixed", _pairs(taken))
        over = file[0].stat().st_size - limit
        if over <= 0:
            return taken, file
        aim -= over
    raise Unreachable(limit + over - int8_bytes)


def _agent(
    options: Options, layers: Sequence[Mapping[str, Any]], settings: PrecisionSettings, seed: int, row: Row,
    limit: float,
) -> dict[str, Option]:
    """The agent's choice; `row` learns how its episodes went, and what chance and the greedy choice came to."""
    from pipelines import haq

    found = haq.search(options, layers, limit, episodes=settings.episodes, seed=seed)
    greedy = haq.decibels(sum(one.noise for one in cheapest(options, limit).values()))
    row["search"] = {"rewards": list(found.rewards), "random": found.control, "greedy": greedy}
    return found.taken


def _pairs(taken: Mapping[str, Option]) -> list[tuple[str, str]]:
    return [(layer, one.bits) for layer, one in taken.items()]


def _whole(found: Mapping[str, Any], budget: str) -> float:
    """What plain int8 costs."""
    if budget == "bytes":
        return float(found["int8_bytes"])
    return bit_operations(found["layers"], {layer["name"]: INT8 for layer in found["layers"]})


def bit_operations(layers: Sequence[Mapping[str, Any]], bits: Mapping[str, str]) -> float:
    """Multiply-adds times bits of weights times bits of activations, over the layers with weights (HAQ's BOPs)."""
    return float(sum(layer["macs"] * BITS[bits[layer["name"]]][0] * BITS[bits[layer["name"]]][1] for layer in layers))


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
