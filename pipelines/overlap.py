"""Filters that say the same: how much each overlaps with the others of its layer, which go, and what comes instead.

Source: Prakash et al., arXiv:1811.07275, the metric of inter-filter orthogonality and the re-initialisation of its
algorithm 1. Filters are rows, (filters, weights of one); nothing here trains.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

DEPENDENT = 1e-6  # a row that is less than this off what the rows before it span adds no direction


def overlap(filters: np.ndarray) -> np.ndarray:
    """For every row the mean of its cosines, without sign, with all rows but itself: 0 when it is orthogonal to them.

    Every row is normalised by itself; the paper's sum is divided by the number of rows so that layers can be compared.
    """
    units = filters / np.maximum(np.linalg.norm(filters, axis=1, keepdims=True), 1e-30)
    between = np.abs(units @ units.T - np.eye(len(units)))
    return np.asarray(between.sum(axis=1) / len(units))


def most_overlapping(scores: Mapping[str, np.ndarray], share: float, most: float) -> dict[str, np.ndarray]:
    """By layer the places of the filters with the highest scores of the whole network, in order.

    `share` is that of all filters; no layer gives up more than `most` of its own, so that none falls silent.
    """
    ranked = sorted(
        ((-value, name, place) for name, values in scores.items() for place, value in enumerate(values.tolist()))
    )
    left = int(share * len(ranked))
    room = {name: int(most * len(values)) for name, values in scores.items()}
    found: dict[str, list[int]] = {name: [] for name in scores}
    for _, name, place in ranked:
        if left and room[name]:
            found[name].append(place)
            left, room[name] = left - 1, room[name] - 1
    return {name: np.array(sorted(places), int) for name, places in found.items() if places}


def orthogonal_rows(
    gone: np.ndarray, survivors: np.ndarray, deviation: float, draw: np.random.Generator
) -> tuple[np.ndarray, int]:
    """As many new rows as `gone` has, orthogonal to those, to `survivors` and to each other while there is room.

    Where the rows span everything the rest is drawn at random. All have the length of a row of random weights with the
    standard deviation `deviation`. Gives the rows and how many of them are orthogonal.
    """
    from scipy.linalg import qr

    rows = np.concatenate([gone, survivors]).astype(np.float64)
    count, width = gone.shape
    basis, triangle, _ = qr(rows.T, mode="economic", pivoting=True)
    sizes = np.abs(np.diag(triangle))
    span = basis[:, : int((sizes > DEPENDENT * max(sizes[0], 1e-30)).sum())]
    new = draw.normal(size=(width, count))
    free = min(count, width - span.shape[1])
    for _ in range(2):  # once more, for what rounding left over the first time
        new[:, :free] -= span @ (span.T @ new[:, :free])
    new[:, :free] = np.linalg.qr(new[:, :free])[0]
    new /= np.linalg.norm(new, axis=0)
    return (new * deviation * np.sqrt(width)).T, free
