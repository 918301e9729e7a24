"""How much of a channel a layer uses: the sum of its 2-D kernels' weights, against how alike these kernels are.

Source: Li et al., Exploiting Kernel Sparsity and Entropy (KSE), arXiv:1812.04368, section 3: equations 4 to 8. The
formulas of the paper; a constant vector has no smallest and largest, which the paper does not speak of.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import cdist

from zoo.channel_graph import ChannelGraph, Site


def entropy(kernels: np.ndarray, neighbours: int) -> float:
    """Entropy in bits of how far each kernel lies from its `neighbours` nearest; kernels are rows.

    All alike is the limit of equal distances, and so has the largest entropy, log2 of their number.
    """
    near = min(neighbours, len(kernels) - 1)
    if near < 1:
        return 0.0
    apart = cdist(kernels, kernels)
    np.fill_diagonal(apart, np.inf)
    sums = np.partition(apart, near - 1, axis=1)[:, :near].sum(axis=1)
    if sums.sum() <= 0:
        return float(np.log2(len(kernels)))
    shares = sums[sums > 0] / sums.sum()
    return float(-(shares * np.log2(shares)).sum())


def indicators(kernels: Sequence[np.ndarray], *, alpha: float, neighbours: int) -> np.ndarray:
    """v in [0, 1] for every channel of one layer; `kernels` holds for each of them its kernels as rows."""
    sparsity = _unit_range(np.array([np.abs(one).sum() for one in kernels]))
    entropies = _unit_range(np.array([entropy(one, neighbours) for one in kernels]))
    return _unit_range(np.sqrt(sparsity / (1 + alpha * entropies)))


def levels(worth: np.ndarray, count: int, *, granularity: int, tolerance: int) -> np.ndarray:
    """q, how many of its `count` kernels each channel of indicator v keeps: 0 for none, `count` for all."""
    place = np.floor(worth * granularity)
    some = np.ceil(count * 2.0 ** (place + 1 - tolerance - granularity))
    full = np.ceil(worth * granularity) == granularity
    return np.where(place == 0, 0, np.where(full, count, some)).astype(int)


def kernels_of(graph: ChannelGraph, site: Site) -> dict[int, np.ndarray]:
    """The kernels with which a maker reads each unit, as rows (filters, weights), by unit.

    A unit read in several places, as behind a flattening, has all of them in one row; in groups, every filter has its
    own group's.
    """
    weights = site.layer.get_weights()
    units = graph.inputs_of(site.name)
    if site.kind == "SeparableConv2D":
        depthwise, pointwise = weights[0], weights[1][0, 0]
        hidden = pointwise.reshape(len(units), -1, pointwise.shape[-1])
        kernel = np.einsum("hwcm,cmn->hwcn", depthwise, hidden)
    else:
        kernel = np.swapaxes(weights[0], 2, 3) if site.kind == "Conv2DTranspose" else weights[0]
    taps = kernel.reshape(-1, *kernel.shape[-2:]).transpose(1, 2, 0).astype(np.float64)  # (input, filters, weights)
    groups = site.layer.get_config().get("groups", 1)
    found = {}
    for unit in np.unique(units).tolist():
        places = np.flatnonzero(units == unit)
        if groups == 1:
            found[unit] = np.concatenate(taps[places], axis=1)
        else:
            columns = taps.shape[1] // groups
            group, row = places // taps.shape[0], places % taps.shape[0]
            parts = [taps[r, g * columns : (g + 1) * columns] for g, r in zip(group, row, strict=True)]
            found[unit] = np.concatenate(parts, axis=0)
    return found


def _unit_range(values: np.ndarray) -> np.ndarray:
    """Values moved and scaled into [0, 1]; equal ones tell nothing apart, and are 1, or 0 where they are 0."""
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-12 * max(abs(high), 1e-30):
        return (np.abs(values) > 0).astype(float)
    scaled: np.ndarray = (values - low) / (high - low)
    return scaled
