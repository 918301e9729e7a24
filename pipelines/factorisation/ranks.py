"""How many singular values of a matrix stay: an estimate of where the noise begins, or a share of the energy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil, exp, log, sqrt

import numpy as np


@dataclass(frozen=True)
class Spectrum:
    """The singular values of a matrix of `shape`, largest first."""

    values: np.ndarray
    shape: tuple[int, int]

    @classmethod
    def of(cls, matrix: np.ndarray) -> Spectrum:
        """The spectrum of a matrix."""
        return cls(np.linalg.svd(matrix, compute_uv=False), (matrix.shape[0], matrix.shape[1]))

    @property
    def full(self) -> int:
        """The largest rank such a matrix can have."""
        return min(self.shape)

    def energy(self, level: float) -> int:
        """The smallest rank whose squared singular values sum to `level` of all; 0 for a matrix of zeros."""
        # What rounding leaves of the sum must not ask for one more.
        return int(np.searchsorted(self._shares, level - 1e-12)) + 1 if self._shares[-1] > 0 else 0

    def evbmf(self) -> int:
        """The rank that stands out from noise, 0 when nothing does: see `evbmf`."""
        return evbmf(self.values, self.shape)

    @cached_property
    def _shares(self) -> np.ndarray:
        sums: np.ndarray = np.cumsum(self.values**2)
        return np.minimum(sums / sums[-1], 1.0) if sums[-1] > 0 else sums


def evbmf(values: np.ndarray, shape: tuple[int, int]) -> int:
    """The rank of a matrix under noise by empirical variational Bayes; the variance of the noise is estimated as well.

    Source: Nakajima, Tomioka, Sugiyama and Babacan, Perfect dimensionality recovery by variational Bayesian PCA, NIPS
    2012: its threshold, with the approximation 2.5129 sqrt(alpha), and its one-dimensional search for the variance.
    """
    from scipy.optimize import minimize_scalar

    short, long = sorted(shape)
    if not len(values) or values[0] <= 0:
        return 0
    # Exact zeros would make the logarithm below infinite; they stand for noise that is very small.
    values = np.maximum(values / values[0], 1e-8)
    alpha = short / long
    tau = 2.5129 * sqrt(alpha)
    edge = (1 + tau) * (1 + alpha / tau)
    tail = values[min(ceil(short / (1 + alpha)) - 1, short) :] ** 2
    low = max(float(tail[0]) / edge, float(tail.mean())) / long
    high = float((values**2).sum()) / (short * long)

    def free_energy(log_variance: float) -> float:
        x = values**2 / (long * exp(log_variance))
        signal = x[x > edge]
        b = signal - 1 - alpha
        t = (b + np.sqrt(b**2 - 4 * alpha)) / 2
        return float((x - np.log(x)).sum() + (np.log1p(t) + alpha * np.log1p(t / alpha) - t).sum())

    # The variance may be many powers of ten below its upper bound, so its logarithm is searched.
    found = minimize_scalar(free_energy, bounds=(log(low), log(high)), method="bounded")
    return int((values > sqrt(long * exp(float(found.x)) * edge)).sum())


def rounded(rank: float, full: int, multiple: int) -> int:
    """`rank` rounded up to a multiple, one multiple at least, no more than `full`."""
    return min(full, multiple * max(1, ceil(rank / multiple)))
