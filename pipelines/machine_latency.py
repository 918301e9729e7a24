"""Predicted milliseconds on this machine: calibrated once, kept in the home, read by pages and commands.

A calibration times single kernels of every kind and then whole networks of many families, both written without
TensorFlow, and learns from them (`exports/latency_model.py`). How far it is off it says from families left out in turn.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
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
    Whole,
    as_plain,
    from_plain,
    learn,
    sample_kernels,
    whole_network,
    with_networks,
)
from exports.network_files import network_file
from exports.sketch_kernels import kernels_of
from exports.statistics import median_interval
from exports.steady_timing import time_files
from pipelines.jobs import alone_on_machine
from pipelines.runs import Home
from pipelines.telling import Progress
from zoo.sketches import Sketch

FILE, FORMAT = "machine_latency.json", 3  # 3: times without a neighbour on the core
DTYPES = ("float32", "int8")
TURNS = 3  # of every network in a pass: they are few, and all else is judged by them
ROUNDS = 9  # of the timing of a single network
DISTURBED = 0.1  # a median error beyond it; idle it was 2.8 to 8.5 %
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


# About eight of each family, at even steps of work from a few million multiply-adds to 300 million. Of a DenseNet, in
# which work says little of time, six that grow in work and in memory access alike: others take times too near to rank.
NETWORKS: tuple[Network, ...] = tuple(
    chain(
        _of("mobilenet_v1", (0.25, 128), (0.25, 160), (0.35, 144), (0.5, 128), (0.35, 112), (0.5, 192), (0.75, 176),
            (0.75, 208)),
        _of("mobilenet_v2", (0.25, 128), (0.35, 128), (0.35, 160), (0.5, 144), (0.5, 192), (0.75, 176), (0.75, 208),
            (1.0, 208)),
        _of("mobilenet_v3", (0.35, 128), (0.5, 160), (1.0, 160), variant="small"),
        _of("mobilenet_v3", (0.5, 160), (0.75, 160), (0.75, 208), (1.0, 208), (1.25, 192)),
        _of("shufflenet_v1", (0.25, 160), (0.35, 160), (0.5, 144), (0.5, 208), (0.75, 176), (1.5, 128), (1.25, 192),
            (1.5, 112)),
        _of("shufflenet_v2", (0.25, 128), (0.5, 128), (0.35, 176), (0.5, 208), (1.0, 144), (1.25, 160), (1.25, 192),
            (1.5, 208)),
        _of("squeezenet", (0.25, 112), (0.25, 128), (0.25, 144), (0.35, 160), (0.35, 176), (0.5, 176), (1.25, 112)),
        _of("mnasnet", (0.25, 128), (0.25, 160), (0.5, 128), (0.35, 208), (0.5, 192), (1.0, 144), (0.75, 208),
            (1.25, 160)),
        _of("efficientnet", (0.25, 128), (0.25, 160), (0.35, 160), (0.5, 144), (0.5, 176), (1.0, 128), (0.75, 192),
            (1.25, 144)),
        _of("ghostnet", (0.25, 128), (0.25, 176), (0.35, 192), (0.5, 192), (0.75, 176), (1.25, 144), (1.5, 160),
            (1.5, 208)),
        _of("resnet", (0.25, 112), (0.25, 128), (0.35, 112), (0.35, 128), (0.35, 144), (0.5, 128), (0.5, 144),
            (0.75, 112), variant="18"),
        _of("proxylessnas", (0.25, 128), (0.25, 160), (0.5, 128), (0.35, 192), (0.75, 144), (0.75, 176), (1.0, 160),
            (1.0, 208)),
        _of("densenet", (0.25, 24), (0.25, 32), (0.25, 40), (0.5, 32), (0.5, 40), (0.5, 48), variant="cifar40",
            classes=10),
    )
)  # fmt: skip



class Prediction(NamedTuple):
    """Milliseconds of one image in a .tflite, one thread, XNNPACK, while nothing else shares the core, with the
    band that holds nine in ten networks.
    """

    ms: float
    low: float
    high: float


class Learnt(NamedTuple):
    """What was learnt of one type of numbers. `spread` is the factor up and down that holds `COVERED` of what was left
    out; half of that was off by less than `median_error`, a share.
    """

    model: LatencyModel
    spread: float
    median_error: float


def advice(errors: Iterable[float]) -> str:
    """What to do about median errors that say the machine was not idle; nothing where they do not."""
    worst = max(errors)
    if worst <= DISTURBED:
        return ""
    return (
        f"A median error of {100 * worst:.0f} % says that something else ran meanwhile; "
        "calibrate anew when nothing does."
    )


@dataclass(frozen=True)
class MachineLatency:
    """What was learnt of a machine, by type of numbers."""

    learnt: dict[str, Learnt]
    about: dict[str, Any]

    def predict(self, sketch: Sketch, dtype: str = "float32") -> Prediction:
        """Reads the sketch and nothing else."""
        found = self.learnt[dtype]
        ms = found.model.predict([kernel for _, kernel in kernels_of(sketch)])
        return Prediction(ms, ms / found.spread, ms * found.spread)

    def by_operation(self, sketch: Sketch, dtype: str = "float32") -> dict[str, float]:
        """Milliseconds by the name of the operation; what a runtime folds away is not named. The call itself is left
        out.
        """
        named = kernels_of(sketch)
        parts = self.learnt[dtype].model.parts([kernel for _, kernel in named])
        found: dict[str, float] = {}
        for (name, _), ms in zip(named, parts.tolist(), strict=True):
            found[name] = found.get(name, 0.0) + ms
        return found


def calibrate(
    home: Home, *, progress: Progress, passes: int = 2, kernels: Sequence[Kernel] | None = None,
    networks: Sequence[Network] = NETWORKS,
) -> dict[str, Any]:
    """Times kernels and networks while nothing else of ours computes, keeps what was learnt, and says how good it is.

    Raises: ValueError where something of ours keeps computing.
    """
    kernels = sample_kernels() if kernels is None else kernels
    sketches = [one.sketch() for one in networks]
    begun = time.perf_counter()
    learnt: dict[str, dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    for dtype in DTYPES:
        with alone_on_machine(home, timeout_s=600):
            # In one list: what disturbs the machine for a while disturbs both.
            files = [partial(kernel_file, one, dtype) for one in kernels]
            files += [partial(network_file, one, dtype) for one in sketches] * TURNS
            ms = time_files(files, passes=passes, progress=partial(_told, progress, f"timing {dtype}"))
        kernel_ms, network_ms = ms[: len(kernels)], np.reshape(ms[len(kernels) :], (TURNS, -1)).min(0).tolist()
        progress(1, 1, f"learning {dtype}")
        bare = learn(list(zip(kernels, kernel_ms, strict=True)))
        whole = [
            whole_network(bare, [kernel for _, kernel in kernels_of(one)], ms)
            for one, ms in zip(sketches, network_ms, strict=True)
        ]
        off = left_out(bare, whole, networks)
        errors = np.array([row["error"] for row in off])
        rows += [{"dtype": dtype, **row} for row in off]
        learnt[dtype] = {
            "model": as_plain(with_networks(bare, whole)),
            "spread": float(np.exp(np.quantile(np.abs(np.log1p(errors)), COVERED))),
            "median_error": float(np.median(np.abs(errors))),
        }
    about = {
        "machine": machine(),
        "calibrated": datetime.now(UTC).isoformat(timespec="seconds"),
        "kernels": len(kernels),
        "networks": len(networks),
        "seconds": round(time.perf_counter() - begun, 1),
        "errors": {
            dtype: {"median": one["median_error"], "nine_in_ten": one["spread"] - 1} for dtype, one in learnt.items()
        },
        "left_out": rows,
    }
    stored = home.folder / FILE
    unfinished = stored.with_suffix(".new")
    unfinished.write_text(json.dumps({"format": FORMAT, "about": about, "learnt": learnt}))
    unfinished.replace(stored)
    return {**about, "stored": str(stored)}


def left_out(bare: LatencyModel, whole: Sequence[Whole], networks: Sequence[Network]) -> list[dict[str, Any]]:
    """Every network as it is predicted when no network of its family was timed; `error` is a share of the time."""
    rows: list[dict[str, Any]] = []
    for family in dict.fromkeys(one.name for one in networks):
        seen = with_networks(bare, [own for own, one in zip(whole, networks, strict=True) if one.name != family])
        for own, one in zip(whole, networks, strict=True):
            if one.name == family:
                predicted = seen.in_network(own.alone_ms, own.weights)
                rows.append(
                    {**one._asdict(), "ms": own.ms, "predicted_ms": predicted, "error": predicted / own.ms - 1}
                )
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
        learnt = {
            dtype: Learnt(from_plain(one["model"]), float(one["spread"]), float(one["median_error"]))
            for dtype, one in ((dtype, found["learnt"][dtype]) for dtype in DTYPES)
        }
        return MachineLatency(learnt, found["about"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _stale(known: dict[str, Any]) -> bool:
    now = machine()
    return any(known.get(key) != now[key] for key in STALE)


def timed(home: Home, sketch: Sketch) -> dict[str, Any]:
    """Milliseconds of a network that is not built yet, measured now: of files with its operators and random weights.

    Raises: ValueError where such a file cannot be written, or something of ours keeps computing.
    """
    contents = {dtype: network_file(sketch, dtype) for dtype in DTYPES}
    with alone_on_machine(home, timeout_s=60):
        found = {
            dtype: time_files([partial(bytes, content)] * ROUNDS, passes=1) for dtype, content in contents.items()
        }
    return {
        **{dtype: {"ms": median(ms), "interval": list(median_interval(ms))} for dtype, ms in found.items()},
        "rounds": ROUNDS,
        "machine": machine(),
    }
