"""A few values for many weights: one-dimensional k-means on the rows of a matrix, and how sharing is told apart.

Source: Han et al., arXiv:1510.00149, section 3.1 (k-means on the weights of a trained layer) and 3.2 (how the centroids
begin). Nothing here trains; `pipelines/training/held.py` keeps the sharing while weights move.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STARTS = ("linear", "density", "random", "kmeans++")
ROUNDS = 300  # k-means in one dimension settles long before; a bound for what would go round in circles
ZERO = 0  # the segment of weights that are zero and stay so


@dataclass(frozen=True)
class Shared:
    """Which weights of a kernel share a value. `segments` has the kernel's shape: equal numbers, equal values.

    Segment 0 holds the zeros that stay zero; it may be empty. `values` is the kernel with the shared values put in.
    """

    segments: np.ndarray
    values: np.ndarray


def share(
    kernel: np.ndarray, clusters: int, *, start: str, per_channel: bool, keep_zeros: bool, draw: np.random.Generator
) -> Shared:
    """The kernel with at most `clusters` values, zero among them when zeros are kept; per output channel if wanted.

    Output channels are the last axis.
    """
    rows = kernel.reshape(-1, kernel.shape[-1]).T if per_channel else kernel.reshape(1, -1)
    rows = rows.astype(np.float64)
    free = rows != 0 if keep_zeros else np.ones(rows.shape, bool)
    count = clusters - 1 if keep_zeros else clusters
    centroids = settle(rows, free, begin(rows, free, count, start, draw))
    nearest_ones = nearest(rows, centroids)
    segments = np.where(free, 1 + nearest_ones + count * np.arange(len(rows))[:, None], ZERO)
    values = np.where(free, np.take_along_axis(centroids, nearest_ones, axis=1), 0.0).astype(kernel.dtype)
    if per_channel:
        segments, values = segments.T, values.T
    return Shared(segments.reshape(kernel.shape).astype(np.int32), values.reshape(kernel.shape))


def begin(rows: np.ndarray, free: np.ndarray, count: int, start: str, draw: np.random.Generator) -> np.ndarray:
    """The first centroids, (rows, count), sorted. `free` marks the entries that have a say.

    linear: evenly from the smallest to the largest. density: evenly over the ranks. random: entries drawn by lot.
    kmeans++: entries drawn by lot, far ones sooner (Arthur and Vassilvitskii, 2007).
    """
    counts = free.sum(axis=1)
    ordered = np.sort(np.where(free, rows, np.inf), axis=1)
    ordered[~np.isfinite(ordered)] = 0.0  # behind the last free entry; a row without any gets zeros
    each = np.arange(len(rows))
    low, high = ordered[:, 0], ordered[each, np.maximum(counts - 1, 0)]
    if start == "linear":
        return low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, count)[None, :]

    def ranked(shares: np.ndarray) -> np.ndarray:
        places = np.minimum((shares * counts[:, None]).astype(int), np.maximum(counts - 1, 0)[:, None])
        return np.take_along_axis(ordered, places, axis=1)

    if start == "density":
        return ranked(np.tile((np.arange(count) + 0.5) / count, (len(rows), 1)))
    if start == "random":
        return np.sort(ranked(draw.random((len(rows), count))), axis=1)
    inside = np.arange(rows.shape[1])[None, :] < counts[:, None]
    found = ranked(draw.random((len(rows), 1)))
    away = np.full(rows.shape, np.inf)
    while found.shape[1] < count:
        away = np.minimum(away, (ordered - found[:, -1:]) ** 2)
        mass = np.cumsum(np.where(inside, away, 0.0), axis=1)
        place = (mass < draw.random((len(rows), 1)) * mass[:, -1:]).sum(axis=1)
        place = np.minimum(place, np.maximum(counts - 1, 0))
        found = np.concatenate([found, ordered[each, place][:, None]], axis=1)
    return np.sort(found, axis=1)


def settle(rows: np.ndarray, free: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Centroids moved to the means of what is nearest to them until nothing changes; empty ones stay where they are."""
    count = centroids.shape[1]
    places = count * np.arange(len(rows))[:, None]
    for _ in range(ROUNDS):
        flat = (nearest(rows, centroids) + places)[free]
        members = np.bincount(flat, minlength=centroids.size)
        sums = np.bincount(flat, weights=rows[free], minlength=centroids.size)
        means = np.where(members > 0, sums / np.maximum(members, 1), centroids.ravel()).reshape(centroids.shape)
        means.sort(axis=1)
        if np.array_equal(means, centroids):
            break
        centroids = means
    return centroids


def nearest(rows: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """For every entry the place of the nearest of its row's sorted centroids."""
    found = np.zeros(rows.shape, np.int64)
    for middle in ((centroids[:, 1:] + centroids[:, :-1]) / 2).T:
        found += rows > middle[:, None]
    return found


def sharing_of(kernel: np.ndarray, *, keep_zeros: bool) -> np.ndarray | None:
    """The segments of a kernel that already shares values, over the whole or per output channel; None when it does not.

    Trained weights hardly ever repeat, so that values which occur twice on average, zeros aside, are shared ones. A
    kernel of one value all over was made so, and has nothing to share.
    """
    counted = kernel[kernel != 0]
    if not len(counted) or np.all(kernel == counted[0]):
        return None
    if 2 * len(np.unique(counted)) <= len(counted):
        _, places = np.unique(kernel, return_inverse=True)
        segments = places.reshape(kernel.shape) + 1
    else:
        rows = kernel.reshape(-1, kernel.shape[-1]).T
        kinds = [np.unique(row, return_inverse=True) for row in rows]
        if 2 * sum(np.count_nonzero(values) for values, _ in kinds) > len(counted):
            return None
        starts = np.cumsum([0, *(len(values) for values, _ in kinds)])[:-1]
        columns = [places.reshape(-1) + first + 1 for (_, places), first in zip(kinds, starts, strict=True)]
        segments = np.stack(columns, axis=1).reshape(kernel.shape)
    if keep_zeros:
        segments = np.where(kernel == 0, ZERO, segments)
    return segments.astype(np.int32)


def distinct(kernel: np.ndarray, axis: int = -1) -> tuple[int, int]:
    """How many different values a kernel has, and how many its richest channel along `axis` has."""
    rows = np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1)
    return len(np.unique(kernel)), max(len(np.unique(row)) for row in rows)
