"""Which units of a layer go together at the least cost, when the cost of a set is a quadratic form.

With b_i = 1 for a unit that stays, the loss changes by about (b-1)'u + (b-1)'S(b-1). Because b_i^2 = b_i the linear
terms fit into the diagonal, and what is left is: minimise b'Ab with a given number of ones.
Source: Peng et al., Collaborative Channel Pruning, PMLR 97:5113, section 3. They relax b; here greedy choices from both
ends and exchanges of pairs, which need no positive definite A.
"""

from __future__ import annotations

import numpy as np


def folded(slope: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """A with b'Ab = (b-1)'u + (b-1)'S(b-1) up to a constant, for b of zeros and ones; S symmetric."""
    return curvature + np.diag(slope - 2 * curvature.sum(axis=1))


def change(slope: np.ndarray, curvature: np.ndarray, stays: np.ndarray) -> float:
    """What the loss is predicted to change by when only the units `stays` are left."""
    gone = -(~stays).astype(float)
    return float(gone @ slope + gone @ curvature @ gone)


def best_kept(matrix: np.ndarray, count: int) -> np.ndarray:
    """For every unit whether it stays: `count` do, and no exchange of one for another would lower b'Ab."""
    starts = [_built_up(matrix, count), _taken_down(matrix, count)]
    found = [_exchanged(matrix, start) for start in starts]
    return min(found, key=lambda stays: float(stays @ matrix @ stays))


def _built_up(matrix: np.ndarray, count: int) -> np.ndarray:
    stays, slopes = np.zeros(len(matrix), bool), np.zeros(len(matrix))
    for _ in range(count):
        one = int(np.where(stays, np.inf, 2 * slopes + np.diag(matrix)).argmin())
        stays[one] = True
        slopes += matrix[one]
    return stays


def _taken_down(matrix: np.ndarray, count: int) -> np.ndarray:
    stays, slopes = np.ones(len(matrix), bool), matrix.sum(axis=1)
    for _ in range(len(matrix) - count):
        one = int(np.where(stays, np.diag(matrix) - 2 * slopes, np.inf).argmin())
        stays[one] = False
        slopes -= matrix[one]
    return stays


def _exchanged(matrix: np.ndarray, stays: np.ndarray) -> np.ndarray:
    stays, own = stays.copy(), np.diag(matrix)
    least = 1e-12 * max(float(np.abs(matrix).max(initial=0.0)), 1e-30)
    slopes = matrix @ stays
    for _ in range(4 * len(matrix)):
        ins, outs = np.flatnonzero(~stays), np.flatnonzero(stays)
        if not len(ins) or not len(outs):
            break
        gains = (own + 2 * slopes)[ins][:, None] + (own - 2 * slopes)[outs][None, :] - 2 * matrix[np.ix_(ins, outs)]
        best = int(gains.argmin())
        if gains.flat[best] >= -least:
            break
        enters, leaves = ins[best // len(outs)], outs[best % len(outs)]
        stays[enters], stays[leaves] = True, False
        slopes += matrix[enters] - matrix[leaves]
    return stays
