"""Predicted milliseconds on this machine: calibrated once, kept in the home, read by pages and commands.

A calibration times single kernels of every kind and then whole networks of many families, both written without
TensorFlow, and learns from them (`exports/latency_model.py`). How far it is off it says from families left out in turn.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

import zoo
from exports.kernel_files import Kernel, kernel_file
from exports.latency import machine
from exports.latency_model import (
    LatencyModel,
    as_plain,
    from_plain,
    learn,
    sample_kernels,
    time_files,
    with_factors,
)
from exports.network_files import network_file
from exports.sketch_kernels import kernels_of
from exports.statistics import median_interval
from pipelines.jobs import alone_on_machine
from pipelines.runs import Home
from zoo.sketches import Sketch

FILE, FORMAT = "machine_latency.json", 1
ROUNDS = 9  # of the timing of a single network
COVERED = 0.9  # of the networks of families left out lie within the band
STALE = ("cpu", "ai_edge_litert")  # a prediction learnt with another of these is not given


class Network(NamedTuple):
    """A design that is timed whole."""

    name: str
    width: float
    resolution: int
    options: dict[str, Any]
    classes: int

    def sketch(self) -> Sketch:
        return zoo.sketch(
            self.name, width=self.width, resolution=self.resolution, classes=self.classes, channels=3, form="deploy",
            **self.options,
        )  # fmt: skip


def _of(name: str, *sizes: tuple[float, int], classes: int = 1000, **options: Any) -> list[Network]:
    return [Network(name, width, side, options, classes) for width, side in sizes]


NETWORKS: tuple[Network, ...] = tuple(
    chain(
        _of("mobilenet_v1", (0.25, 96), (0.5, 128), (0.5, 224), (1.0, 128)),
        _of("mobilenet_v2", (0.35, 96), (0.5, 160), (1.0, 96), (1.0, 192)),
        _of("mobilenet_v3", (0.5, 128), (1.0, 128), (1.0, 224)),
        _of("mobilenet_v3", (0.75, 160), variant="large"),
        _of("shufflenet_v1", (0.5, 128), (0.5, 224), (1.0, 128)),
        _of("shufflenet_v2", (0.5, 128), (1.0, 128), (1.0, 224), (1.5, 128)),
        _of("squeezenet", (0.5, 128), (1.0, 96), (0.5, 192)),
        _of("mnasnet", (0.5, 128), (1.0, 128), (0.75, 192)),
        _of("efficientnet", (0.5, 128), (1.0, 96), (1.0, 128)),
        _of("ghostnet", (0.5, 128), (1.0, 128), (1.0, 224)),
        _of("resnet", (0.5, 32), (1.0, 32), (1.5, 32), variant="cifar20", classes=10),
        _of("resnet", (0.25, 128), (0.5, 96), variant="18"),
        _of("proxylessnas", (0.5, 128), (1.0, 128), (1.0, 192)),
        _of("densenet", (0.5, 32), (1.0, 32), variant="cifar40", classes=10),
    )
)

Progress = Callable[[int, int, str], None]


class Prediction(NamedTuple):
    """Milliseconds of one image in a float32 .tflite, one thread, XNNPACK, with the band of nine in ten networks."""

    ms: float
    low: float
    high: float


@dataclass(frozen=True)
class MachineLatency:
    """What was learnt of a machine. `spread` is the factor up and down that holds `COVERED` of what was left out."""

    model: LatencyModel
    spread: float
    about: dict[str, Any]

    def predict(self, sketch: Sketch) -> Prediction:
        """Reads the sketch and nothing else."""
        ms = self.model.predict([kernel for _, kernel in kernels_of(sketch)])
        return Prediction(ms, ms / self.spread, ms * self.spread)

    def by_operation(self, sketch: Sketch) -> dict[str, float]:
        """Milliseconds by the name of the operation; what a runtime folds away is not named. The call itself is left
        out.
        """
        named = kernels_of(sketch)
        found: dict[str, float] = {}
        for (name, _), ms in zip(named, self.model.parts([kernel for _, kernel in named]).tolist(), strict=True):
            found[name] = found.get(name, 0.0) + ms
        return found


def calibrate(
    home: Home, *, progress: Progress, passes: int = 3, kernels: Sequence[Kernel] | None = None,
    networks: Sequence[Network] = NETWORKS,
) -> dict[str, Any]:
    """Times kernels and networks while nothing else of ours computes, keeps what was learnt, and says how good it is.

    Raises: ValueError where something of ours keeps computing.
    """
    kernels = sample_kernels() if kernels is None else kernels
    sketches = [one.sketch() for one in networks]
    begun = time.perf_counter()
    with alone_on_machine(home, timeout_s=600):
        kernel_ms = time_files(
            [partial(kernel_file, one) for one in kernels], passes=passes, progress=partial(_told, progress, "kernels")
        )
        network_ms = time_files(
            [partial(network_file, one) for one in sketches], passes=passes,
            progress=partial(_told, progress, "networks"),
        )  # fmt: skip
    progress(1, 1, "learning")
    bare = learn(list(zip(kernels, kernel_ms, strict=True)))
    whole = [([kernel for _, kernel in kernels_of(one)], ms) for one, ms in zip(sketches, network_ms, strict=True)]
    rows = left_out(bare, whole, networks)
    errors = np.array([row["error"] for row in rows])
    about = {
        "machine": machine(),
        "calibrated": datetime.now(UTC).isoformat(timespec="seconds"),
        "kernels": len(kernels),
        "networks": len(networks),
        "seconds": round(time.perf_counter() - begun, 1),
        "median_error": float(np.median(np.abs(errors))),
        "most_errors": float(np.quantile(np.abs(errors), COVERED)),
        "left_out": rows,
    }
    spread = float(np.exp(np.quantile(np.abs(np.log1p(errors)), COVERED)))
    found = MachineLatency(with_factors(bare, whole), spread, about)
    text = json.dumps({"format": FORMAT, "spread": spread, "about": about, "model": as_plain(found.model)})
    stored = home.folder / FILE
    unfinished = stored.with_suffix(".new")
    unfinished.write_text(text)
    unfinished.replace(stored)
    return {**about, "stored": str(stored)}


def left_out(
    bare: LatencyModel, whole: Sequence[tuple[Sequence[Kernel], float]], networks: Sequence[Network]
) -> list[dict[str, Any]]:
    """Every network as it is predicted when no network of its family was timed; `error` is a share of the time."""
    rows: list[dict[str, Any]] = []
    for family in dict.fromkeys(one.name for one in networks):
        seen = with_factors(bare, [pair for pair, one in zip(whole, networks, strict=True) if one.name != family])
        for (parts, ms), one in zip(whole, networks, strict=True):
            if one.name == family:
                predicted = seen.predict(parts)
                rows.append({**one._asdict(), "ms": ms, "predicted_ms": predicted, "error": predicted / ms - 1})
    return rows


def _told(progress: Progress, what: str, done: int, total: int) -> None:
    progress(done, total, what)


def kept(folder: Path) -> MachineLatency | None:
    """What the home in `folder` knows of this machine; None where it knows nothing, or of another processor or
    runtime, or in another version's format: a prediction for something else is worse than none.
    """
    try:
        found = json.loads((folder / FILE).read_text())
        if found["format"] != FORMAT or _stale(found["about"]["machine"]):
            return None
        return MachineLatency(from_plain(found["model"]), float(found["spread"]), found["about"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _stale(known: dict[str, Any]) -> bool:
    now = machine()
    return any(known.get(key) != now[key] for key in STALE)


def timed(home: Home, sketch: Sketch) -> dict[str, Any]:
    """Milliseconds of a network that is not built yet, measured now: of a file with its operators and random weights.

    Raises: ValueError where such a file cannot be written, or something of ours keeps computing.
    """
    content = network_file(sketch)
    with alone_on_machine(home, timeout_s=60):
        found = [time_files([lambda: content], passes=1)[0] for _ in range(ROUNDS)]
    return {"ms": median(found), "interval": list(median_interval(found)), "rounds": ROUNDS, "machine": machine()}
