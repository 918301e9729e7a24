"""How long a network will take on a machine whose kernels were timed: read from its sketch, before it is built.

Each routine has a regression over the logarithms of an operator's sizes, a Gaussian process around a linear trend, so
that it is smooth between what was timed. A kernel timed alone has its weights in the nearest cache, and nothing else
there. What that leaves out is learnt from whole networks, as two numbers: a factor of all kernels, and the time a
weight takes to come from farther away. Two numbers for the whole machine, so that families not seen profit too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from math import log
from typing import Any, NamedTuple

import numpy as np

from exports.kernel_files import Kernel

SIDES = (1, 2, 4, 7, 8, 14, 16, 28, 32, 56, 64, 112)
COUNTS = {
    "conv": 720, "depthwise": 260, "dense": 60, "add": 40, "gate": 40, "scale": 40, "concat": 60, "max_pool": 40,
    "average_pool": 40, "mean": 40, "relu": 30, "hard_swish": 30, "sigmoid": 30, "swish": 40, "pad": 40, "slice": 40,
    "shuffle": 40, "gather": 40,
}  # fmt: skip
STEPS = (1, 8, 8, 16, 32)  # of channels
MOST_MACS, MOST_CELLS, MOST_WEIGHTS = 1.2e8, 4e6, 3e6
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
            window, stride = int(draw.choice([1, 3, 3, 3, 5, 5, 7, 7])), 1 if draw.random() < 0.7 else 2
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
    """2 to 1,280, evenly over the logarithm; most are multiples of 8, 16 or 32, as most networks have them."""
    found, step = round(float(np.exp(draw.uniform(log(2), log(1280))))), int(draw.choice(STEPS))
    return max(step, found // step * step)


def features(kernels: Sequence[Kernel]) -> np.ndarray:
    """What a kernel's time may depend on, a row each, on scales where equal steps mean equal factors."""
    plain = [
        (one.macs, one.read, one.written, one.weights, sum(one.inputs), min(one.inputs), len(one.inputs), one.outputs,
         one.side, one.window, one.stride, one.groups)
        for one in kernels
    ]  # fmt: skip
    macs, read, written, weights, inputs, least, parts, outputs, side, window, stride, groups = (
        np.array(plain, float).reshape(-1, 12).T
    )
    each, outputs = inputs / groups, outputs / groups
    # Kernels compute outputs in tiles of 16 or 32, whole ones.
    padded = [np.ceil(outputs / tile) * tile / outputs for tile in (16, 32)]
    sizes = [macs + 1, read, written, weights + 1, each, outputs, least, side, window**2, groups, *padded]
    return np.vstack([np.log(sizes), stride, each % 4 != 0, parts]).T


@dataclass(frozen=True)
class _Process:
    """One routine's regression of log milliseconds: a linear trend and a Gaussian process (Matern 3/2) around it."""

    mean: np.ndarray
    scale: np.ndarray
    trend: np.ndarray
    lengths: np.ndarray
    height: np.ndarray
    points: np.ndarray
    weights: np.ndarray

    @cached_property
    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        points = self.points / self.lengths
        return np.ascontiguousarray(-2.0 * points.T), (points**2).sum(1)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        x = (rows - self.mean) / self.scale
        near = _matern(x / self.lengths, *self._known, self.height)
        return self.trend[0] + x @ self.trend[1:] + near @ self.weights


def _matern(rows: np.ndarray, twice: np.ndarray, squares: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Covariances with points: `twice` is their transpose times -2, `squares` the squares of their lengths."""
    far = rows @ twice
    far += (rows**2).sum(1)[:, None]
    far += squares
    np.maximum(far, 0.0, out=far)
    far *= 3.0
    np.sqrt(far, out=far)
    near = np.exp(-far)  # all of it in place, which takes a third of the time that new arrays take
    far += 1.0
    near *= far
    return height * near


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
    """Predicts milliseconds. `call_ms` is what a call costs without any work; `slower` and `weight_ms` are what whole
    networks add to their kernels.
    """

    processes: dict[str, _Process]
    call_ms: float
    slower: float = 1.0
    weight_ms: float = 0.0

    def alone(self, kernels: Sequence[Kernel]) -> np.ndarray:
        """Milliseconds of each kernel when nothing else is computed."""
        places = {one: place for place, one in enumerate(dict.fromkeys(kernels))}  # networks repeat their kernels
        alike: dict[str, list[int]] = {}
        for one, place in places.items():
            alike.setdefault(routine_of(one), []).append(place)
        rows, ms = features(list(places)), np.empty(len(places))
        for routine, own in alike.items():
            ms[own] = np.exp(self.processes[routine](rows[own]))
        return ms[[places[one] for one in kernels]]

    def parts(self, kernels: Sequence[Kernel]) -> np.ndarray:
        """Milliseconds of each kernel inside a network."""
        return self.slower * self.alone(kernels) + self.weight_ms * np.array([one.weights for one in kernels], float)

    def predict(self, kernels: Sequence[Kernel]) -> float:
        """Milliseconds of a network of these kernels."""
        return self.in_network(float(self.alone(kernels).sum()), sum(one.weights for one in kernels))

    def in_network(self, alone_ms: float, weights: int) -> float:
        """Milliseconds of a network whose kernels take `alone_ms` alone."""
        return self.slower * alone_ms + self.weight_ms * weights + self.call_ms


def routine_of(kernel: Kernel) -> str:
    """What computes a kernel: its kind, but that runtimes compute convolutions in three ways."""
    if kernel.kind != "conv":
        return kernel.kind
    return "grouped" if kernel.groups > 1 else "pointwise" if kernel.window == 1 else "conv"


def learn(timed: Timed) -> LatencyModel:
    """The model of timed kernels, before any network was seen."""
    call_ms = 0.9 * min(ms for _, ms in timed)
    processes = {}
    for routine in dict.fromkeys(routine_of(kernel) for kernel, _ in timed):
        own = [(kernel, ms) for kernel, ms in timed if routine_of(kernel) == routine]
        rows = features([kernel for kernel, _ in own])
        values = np.log(np.maximum(np.array([ms for _, ms in own]) - call_ms, 5e-5))
        processes[routine] = _fitted(rows, values)
    return LatencyModel(processes, call_ms)


class Whole(NamedTuple):
    """A network that was timed: what its kernels take alone, its weights, and what it takes."""

    alone_ms: float
    weights: int
    ms: float


def whole_network(model: LatencyModel, kernels: Sequence[Kernel], ms: float) -> Whole:
    """A timed network of these kernels."""
    return Whole(float(model.alone(kernels).sum()), sum(one.weights for one in kernels), ms)


def with_networks(model: LatencyModel, networks: Sequence[Whole]) -> LatencyModel:
    """The model with what networks add to their kernels: least squares of the relative errors, nothing below 0."""
    from scipy.optimize import lsq_linear

    alone, weights, ms = np.array(networks, float).T
    rows = np.column_stack([alone / ms, weights / ms])
    size = np.maximum(rows.max(0), 1e-30)
    found = lsq_linear(rows / size, 1.0 - model.call_ms / ms, bounds=(0.0, np.inf)).x / size
    return replace(model, slower=float(found[0]), weight_ms=float(found[1]))


def as_plain(model: LatencyModel) -> dict[str, Any]:
    """JSON-ready values."""
    return {
        "call_ms": model.call_ms,
        "slower": model.slower,
        "weight_ms": model.weight_ms,
        "processes": {
            routine: {field.name: np.asarray(getattr(one, field.name)).tolist() for field in fields(one)}
            for routine, one in model.processes.items()
        },
    }


def from_plain(plain: dict[str, Any]) -> LatencyModel:
    """The model that `as_plain` wrote. Raises: KeyError or TypeError for anything else."""
    processes = {
        routine: _Process(**{name: np.asarray(value) for name, value in one.items()})
        for routine, one in plain["processes"].items()
    }
    return LatencyModel(processes, *(float(plain[name]) for name in ("call_ms", "slower", "weight_ms")))
