"""How long a network will take on a machine whose kernels were timed: read from its sketch, before it is built.

Each kind of operator has a regression over the logarithms of its sizes, a Gaussian process around a linear trend, so
that it is smooth between what was timed and says how unsure it is. What a process of its own does to an operator (warm
caches, nothing else to hold) is put right by one factor for each kind, learnt from whole networks.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import log
from statistics import median
from typing import Any

import numpy as np

from exports.kernel_files import Kernel

SIDES = (1, 2, 4, 7, 8, 14, 16, 28, 32, 56, 64, 112)
COUNTS = {
    "conv": 420, "depthwise": 160, "dense": 60, "add": 40, "gate": 40, "scale": 40, "concat": 60, "max_pool": 40,
    "average_pool": 40, "mean": 40, "relu": 30, "hard_swish": 30, "sigmoid": 30, "pad": 40, "slice": 40, "shuffle": 40,
    "gather": 40,
}  # fmt: skip
MOST_MACS, MOST_CELLS, MOST_WEIGHTS = 1.2e8, 4e6, 3e6
SAMPLE_S, SAMPLES = 0.001, 5
MOST_STEPS = 25  # of the search for a regression's lengths; more changes the third figure of an error

Timed = list[tuple[Kernel, float]]


def sample_kernels(seed: int = 0) -> list[Kernel]:
    """Kernels of every kind over the sizes that small vision networks have, drawn without looking at any network."""
    draw = np.random.default_rng(seed)
    return [_drawn(kind, draw) for kind, count in COUNTS.items() for _ in range(count)]


def _drawn(kind: str, draw: np.random.Generator) -> Kernel:
    while True:
        side = int(draw.choice(SIDES))
        channels, outputs = _channels(draw), _channels(draw)
        window = stride = groups = 1
        inputs: tuple[int, ...] = (channels,)
        if kind == "conv":
            window = int(draw.choice([1, 1, 1, 1, 3, 3, 5, 7]))
            stride = 1 if draw.random() < 0.8 else 2
            if window > 1 and draw.random() < 0.15:
                inputs = (int(draw.choice([1, 3])),)
            elif draw.random() < 0.2:
                groups = int(draw.choice([2, 3, 4, 8]))
                inputs, outputs = (max(1, channels // groups) * groups,), max(1, outputs // groups) * groups
        elif kind == "dense":
            side, inputs = 1, (int(np.exp(draw.uniform(log(16), log(4096)))),)
        else:
            outputs = channels
        if kind == "depthwise":
            window, stride = int(draw.choice([1, 3, 3, 3, 5, 5, 7])), 1 if draw.random() < 0.7 else 2
        elif kind in ("max_pool", "average_pool"):
            window, stride = int(draw.choice([2, 3])), int(draw.choice([1, 2]))
        elif kind == "add":
            inputs = (channels, channels)
        elif kind == "concat":
            inputs = tuple(_channels(draw) for _ in range(int(draw.choice([2, 2, 2, 4]))))
            outputs = sum(inputs)
        elif kind == "mean":
            side, stride = 1, max(2, side)
        elif kind == "pad":
            side = max(4, side)
        elif kind in ("slice", "gather"):
            outputs = max(1, int(channels * draw.uniform(0.3, 1)))
        elif kind == "shuffle":
            groups = int(draw.choice([2, 3, 4, 8]))
            inputs, outputs = (max(2, channels // groups) * groups,), max(2, channels // groups) * groups
        kernel = Kernel(kind, side, inputs, outputs, window, stride, groups)
        if kernel.macs <= MOST_MACS and kernel.read + kernel.written <= MOST_CELLS and kernel.weights <= MOST_WEIGHTS:
            return kernel


def _channels(draw: np.random.Generator) -> int:
    """4 to 1,280, evenly over the logarithm; most are multiples of 8, as most networks have them."""
    found = round(float(np.exp(draw.uniform(log(4), log(1280)))))
    return max(8, found // 8 * 8) if draw.random() < 0.75 else found


def time_files(
    files: Sequence[Callable[[], bytes]], *, passes: int = 3, progress: Callable[[int, int], None] | None = None
) -> list[float]:
    """Milliseconds of a call of each .tflite, one thread, XNNPACK.

    The least of several passes over all, so that a disturbance hits one pass of a file and not all of them.
    `progress(done, total)` is called after each file.
    """
    best = [float("inf")] * len(files)
    for turn in range(passes):
        for at, write in enumerate(files):
            best[at] = min(best[at], _time(write()))
            if progress is not None:
                progress(turn * len(files) + at + 1, passes * len(files))
    return best


def _time(content: bytes) -> float:
    from ai_edge_litert.interpreter import Interpreter

    net = Interpreter(model_content=content, num_threads=1)
    net.allocate_tensors()
    for one in net.get_input_details():
        net.set_tensor(one["index"], np.full(one["shape"], 8 if one["dtype"] == np.int8 else 0.5, one["dtype"]))
    call = net.invoke
    call()
    before = time.perf_counter()
    call()
    repeats = max(1, int(SAMPLE_S / max(time.perf_counter() - before, 1e-7)))
    found = []
    for _ in range(SAMPLES):
        before = time.perf_counter()
        for _ in range(repeats):
            call()
        found.append((time.perf_counter() - before) / repeats)
    return 1e3 * median(found)


def features(kernel: Kernel) -> list[float]:
    """What a kernel's time may depend on, on scales where equal steps mean equal factors."""
    each, outputs = sum(kernel.inputs) / kernel.groups, kernel.outputs / kernel.groups
    padded = -(-outputs // 16) * 16 / outputs
    return [
        log(kernel.macs + 1), log(kernel.read), log(kernel.written), log(kernel.weights + 1), log(each), log(outputs),
        log(kernel.side), 2 * log(kernel.window), float(kernel.stride), log(kernel.groups), log(padded),
        float(each % 4 != 0), float(len(kernel.inputs)),
    ]  # fmt: skip


@dataclass(frozen=True)
class _Process:
    """One kind's regression of log milliseconds: a linear trend and a Gaussian process (Matern 3/2) around it."""

    mean: np.ndarray
    scale: np.ndarray
    trend: np.ndarray
    lengths: np.ndarray
    height: np.ndarray
    points: np.ndarray
    weights: np.ndarray

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        x = (rows - self.mean) / self.scale
        near = _matern(x / self.lengths, self.points / self.lengths, self.height)
        return np.column_stack([np.ones(len(x)), x]) @ self.trend + near @ self.weights


def _matern(one: np.ndarray, other: np.ndarray, height: np.ndarray) -> np.ndarray:
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2.0 * one @ other.T
    far = np.sqrt(3.0 * np.maximum(squares, 0.0))
    return height * (1.0 + far) * np.exp(-far)


def _fitted(rows: np.ndarray, values: np.ndarray) -> _Process:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    mean, scale = rows.mean(0), rows.std(0)
    scale[scale < 1e-9] = 1.0
    x = (rows - mean) / scale
    a = np.column_stack([np.ones(len(x)), x])
    trend = np.linalg.solve(a.T @ a + 1e-2 * np.eye(a.shape[1]), a.T @ values)
    prior = ConstantKernel(0.1) * Matern(np.full(x.shape[1], 2.0), (0.2, 100.0), nu=1.5) + WhiteKernel(0.01, (1e-4, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a size that does not matter has no length
        found = GaussianProcessRegressor(prior, optimizer=_few_steps, random_state=0).fit(x, values - a @ trend)
    kernel = found.kernel_.k1
    return _Process(
        mean, scale, trend, np.asarray(kernel.k2.length_scale, float), np.asarray(kernel.k1.constant_value),
        x, np.asarray(found.alpha_, float),
    )  # fmt: skip


def _few_steps(cost: Callable[..., Any], start: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, float]:
    from scipy.optimize import minimize

    found = minimize(cost, start, method="L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": MOST_STEPS})
    return found.x, float(found.fun)


@dataclass(frozen=True)
class LatencyModel:
    """Predicts milliseconds. `call_ms` is what a call costs without any work; `factors` belong to whole networks."""

    processes: dict[str, _Process]
    call_ms: float
    factors: dict[str, float]

    def parts(self, kernels: Sequence[Kernel]) -> np.ndarray:
        """Milliseconds of each kernel inside a network."""
        found = np.zeros(len(kernels))
        for kind in {one.kind for one in kernels}:
            places = [at for at, one in enumerate(kernels) if one.kind == kind]
            rows = np.array([features(kernels[at]) for at in places])
            found[places] = np.exp(self.processes[kind](rows)) * self.factors.get(kind, 1.0)
        return found

    def predict(self, kernels: Sequence[Kernel]) -> float:
        """Milliseconds of a network of these kernels."""
        return float(self.parts(kernels).sum()) + self.call_ms


def learn(timed: Timed) -> LatencyModel:
    """The model of timed kernels, without factors."""
    call_ms = 0.9 * min(ms for _, ms in timed)
    processes = {}
    for kind in dict.fromkeys(kernel.kind for kernel, _ in timed):
        own = [(kernel, ms) for kernel, ms in timed if kernel.kind == kind]
        rows = np.array([features(kernel) for kernel, _ in own])
        values = np.log(np.maximum(np.array([ms for _, ms in own]) - call_ms, 5e-5))
        processes[kind] = _fitted(rows, values)
    return LatencyModel(processes, call_ms, {})


def with_factors(model: LatencyModel, whole: Sequence[tuple[Sequence[Kernel], float]]) -> LatencyModel:
    """The model with a factor for each kind that matters in networks whose milliseconds were measured.

    Least squares of the relative errors, factors from 0.2 to 5, held near 1 where the networks do not say otherwise.
    """
    from scipy.optimize import lsq_linear

    bare = replace(model, factors={})
    kinds = sorted({kernel.kind for kernels, _ in whole for kernel in kernels})
    rows = np.zeros((len(whole), len(kinds)))
    for at, (kernels, _) in enumerate(whole):
        for kernel, ms in zip(kernels, bare.parts(kernels), strict=True):
            rows[at, kinds.index(kernel.kind)] += ms
    measured = np.array([ms for _, ms in whole])
    pull = 0.1 * np.eye(len(kinds))
    a = np.vstack([rows / measured[:, None], pull])
    b = np.concatenate([1.0 - model.call_ms / measured, pull.sum(1)])
    found = lsq_linear(a, b, bounds=(0.2, 5.0)).x
    return replace(model, factors=dict(zip(kinds, found.tolist(), strict=True)))


def as_plain(model: LatencyModel) -> dict[str, Any]:
    """JSON-ready values."""
    return {
        "call_ms": model.call_ms,
        "factors": model.factors,
        "processes": {
            kind: {name: np.asarray(value).tolist() for name, value in vars(one).items()}
            for kind, one in model.processes.items()
        },
    }


def from_plain(plain: dict[str, Any]) -> LatencyModel:
    """The model that `as_plain` wrote. Raises: KeyError or TypeError for anything else."""
    processes = {
        kind: _Process(**{name: np.asarray(value) for name, value in one.items()})
        for kind, one in plain["processes"].items()
    }
    return LatencyModel(processes, float(plain["call_ms"]), dict(plain["factors"]))
