"""How long one image takes, file against file, measured so that a busy machine does not decide the answer.

All files are loaded first and warmed up; then they take turns, in alternating order. A sample repeats the call until it
lasts at least a millisecond, below which the clock and the call itself are what one measures. A neighbour on the core
comes and goes within a round, so a sample is compared with what the other files took in the same turn, and a file's
time in a round is the usual turn times its median share. With the median of its own samples instead, a file against
itself spread by 0.44 % where neighbours were busy, now by 0.27 %. Ratios are taken within a round.

Files of like speed are called equally often in a sample. The first call after another file's is slow, for the caches
hold the other, and weighs the more the fewer calls there are: one call a sample came out 3 % slower than eight of the
same file. With counts of their own, a file was called different from itself in 8 of 123 processes.

In 100 processes the same file came out at 0.990 to 1.008 of itself: differences below 1 % are not told apart.
"""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np

from exports.contract import Contract
from exports.run_file import kernel_set, open_runner
from exports.statistics import median_interval

WARM_UPS = 20
WARM_UP_S = 0.1
SAMPLE_S = 0.001
LONG_SAMPLE_S = 0.01  # of files up to ten times as slow as the fastest
LEAST_ROUNDS = 8
SAMPLES_PER_ROUND = 21
STEADY = 0.05
RESOLUTION = 0.01

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LatencyRow:
    """One file. Milliseconds per image with the 95 % interval of the median; `ratio` = its time / the first file's.

    `round_ms` are the times of the rounds, so that any two files of one report can be compared later.
    `stable` is False when the middle half of the ratios spreads over more than 5 %. `verdict` is one of `first`,
    `faster`, `slower`, `not distinguishable`, `unstable`.
    """

    path: str
    format: str
    kernels: str
    median_ms: float
    interval: tuple[float, float]
    ratio: float
    ratio_interval: tuple[float, float]
    ratio_iqr: float
    stable: bool
    verdict: str
    round_ms: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class LatencyReport:
    """All files side by side. `samples` is how many each file gave per round; `machine` names what was measured."""

    rows: tuple[LatencyRow, ...]
    machine: dict[str, Any]
    rounds: int
    samples: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def measure(
    paths_with_contracts: Sequence[tuple[Path | str, Contract]], *, rounds: int = 10, threads: int = 1,
    kernels: str = "xnnpack", progress: Progress | None = None,
) -> LatencyReport:
    """Measure TFLite and ONNX files side by side; the first one is what the others are compared with.

    `progress(done, total)` is called after each round. The caller sees to it that nothing else of ours runs.

    Raises:
        ValueError: no file, a file that is not run (Keras, bundle), or fewer than 8 rounds.
    """
    if not paths_with_contracts:
        raise ValueError("no file was given to measure; give at least one")
    if rounds < LEAST_ROUNDS:
        raise ValueError(f"{rounds} rounds are too few for an interval; use at least {LEAST_ROUNDS}")
    if threads < 1:
        raise ValueError(f"{threads} threads cannot run anything; 1 is the usual choice")
    calls = [_call(Path(path), contract, threads, kernels) for path, contract in paths_with_contracts]
    repeats = _repeats([_warm(call) for call in calls])
    taken: list[list[float]] = []
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        for done in range(1, rounds + 1):
            taken.append(_round(calls, repeats, done))
            if progress is not None:
                progress(done, rounds)
    finally:
        if was_collecting:
            gc.enable()
    rows = [
        latency_row(
            str(path), contract.format, kernel_set(contract, kernels), [one[at] for one in taken],
            [one[0] for one in taken], first=at == 0,
        )
        for at, (path, contract) in enumerate(paths_with_contracts)
    ]  # fmt: skip
    return LatencyReport(tuple(rows), machine(threads), rounds, SAMPLES_PER_ROUND)


def _call(path: Path, contract: Contract, threads: int, kernels: str) -> Callable[[], object]:
    if contract.family not in {"tflite", "onnx"}:
        raise ValueError(f"{path.name} is a {contract.format} file; latency is measured on tflite and onnx files")
    runner = open_runner(path, contract, kernels=kernels, threads=threads)
    shape = (1, contract.input.height, contract.input.width, contract.input.channels)
    raw = contract.raw_from_pixels(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    return lambda: runner(raw)


def _warm(call: Callable[[], object]) -> float:
    """Run until warm; returns the seconds of a call."""
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < WARM_UPS or time.perf_counter() - started < WARM_UP_S:
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return median(times[WARM_UPS // 2 :])


def _repeats(seconds: Sequence[float]) -> list[int]:
    """How often each file is called in a sample: all as often as the fastest needs, the slow ones less."""
    most = int(np.ceil(SAMPLE_S / min(seconds)))
    return [max(1, min(most, int(LONG_SAMPLE_S / one))) for one in seconds]


def _round(calls: list[Callable[[], object]], repeats: list[int], number: int) -> list[float]:
    """The seconds per call of each file over one round, the order turned at every sample."""
    samples: list[list[float]] = [[] for _ in calls]
    for turn in range(SAMPLES_PER_ROUND):
        order = range(len(calls)) if (turn + number) % 2 else range(len(calls) - 1, -1, -1)
        for at in order:
            call, count = calls[at], repeats[at]
            before = time.perf_counter_ns()
            for _ in range(count):
                call()
            samples[at].append((time.perf_counter_ns() - before) / count / 1e9)
    return round_seconds(samples)


def round_seconds(samples: Sequence[Sequence[float]]) -> list[float]:
    """Each file's seconds, of its samples turn by turn: the median turn, times the file's median share of its turns."""
    logs = np.log(np.asarray(samples))
    turns = logs.mean(0)
    return [float(one) for one in np.exp(np.median(turns) + np.median(logs - turns, axis=1))]


def latency_row(
    path: str, format_id: str, kernels: str, seconds: list[float], first_seconds: list[float], *, first: bool
) -> LatencyRow:
    """What the times of the rounds, a file's and the first file's, say of it."""
    ratios = [ours / theirs for ours, theirs in zip(seconds, first_seconds, strict=True)]
    ratio = median(ratios)
    low, high = median_interval(ratios)
    # The first file is always 1 against itself; its steadiness shows in its own times.
    spread = [one / median(seconds) for one in seconds] if first else [one / ratio for one in ratios]
    lower, _, upper = quantiles(spread, n=4)
    stable = upper - lower <= STEADY
    times = median_interval(seconds)
    return LatencyRow(
        path=path, format=format_id, kernels=kernels, median_ms=median(seconds) * 1e3,
        interval=(times[0] * 1e3, times[1] * 1e3), ratio=ratio, ratio_interval=(low, high),
        ratio_iqr=upper - lower, stable=stable,
        verdict="first" if first else verdict(ratio, (low, high), stable), round_ms=tuple(one * 1e3 for one in seconds),
    )


def verdict(ratio: float, interval: tuple[float, float], stable: bool) -> str:
    """What may be said of a ratio: `faster`, `slower`, `not distinguishable`, or `unstable`."""
    if interval[0] <= 1.0 <= interval[1] or abs(ratio - 1.0) < RESOLUTION:
        return "not distinguishable"
    if not stable:
        return "unstable"
    return "faster" if ratio < 1.0 else "slower"


def machine(threads: int = 1) -> dict[str, Any]:
    """The machine in words: a latency says nothing without it."""
    return {
        "where": "host CPU",
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "load_1min": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "ai_edge_litert": importlib.metadata.version("ai-edge-litert"),
        "onnxruntime": importlib.metadata.version("onnxruntime"),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
