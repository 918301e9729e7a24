"""Convolution of signs by XNOR and popcount: what a one-bit engine computes, in whole numbers, with NumPy.

A sum of products of signs is the number of places where two signs agree minus the number where they differ. Cells of a
padding are no sign at all and are masked out. Source: Rastegari et al., arXiv:1603.05279, section 3.3.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

WORD = 64  # bits that one XNOR and one popcount take in


def dense(signs: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Signs `(n, k)` times a kernel of signs `(k, filters)`: int32 `(n, filters)`."""
    return _agreements(signs > 0, np.ones_like(signs, bool), kernel > 0)


def convolution(signs: np.ndarray, kernel: np.ndarray, config: dict[str, Any]) -> np.ndarray:
    """Signs `(n, height, width, channels)` by a kernel of signs `(rows, columns, channels / groups, filters)`.

    `config` is the layer's: strides, padding, dilation_rate, groups. Gives int32 `(n, out rows, out columns, filters)`.
    """
    rows, columns, depth, filters = kernel.shape
    groups = config.get("groups", 1)
    bits, valid = signs > 0, np.ones((1, *signs.shape[1:3], 1), bool)
    bits = _windows(bits, (rows, columns), config)
    valid = np.broadcast_to(_windows(valid, (rows, columns), config), (1, *bits.shape[1:5], depth))
    count, high, wide = bits.shape[:3]
    mask = np.broadcast_to(valid, (count, high, wide, rows, columns, depth)).reshape(count * high * wide, -1)
    parts = []
    for group in range(groups):
        own = bits[..., group * depth : (group + 1) * depth].reshape(count * high * wide, -1)
        each = filters // groups
        weights = kernel[..., group * each : (group + 1) * each].reshape(-1, each) > 0
        parts.append(_agreements(own, mask, weights))
    return np.concatenate(parts, axis=1).reshape(count, high, wide, filters)


def words(inputs: int, outputs: int) -> int:
    """XNOR and popcount steps of `outputs` sums over `inputs` signs each, in words of 64 bits."""
    return ceil(inputs / WORD) * outputs


def packed_bytes(kernel: np.ndarray, *, scaled: bool) -> int:
    """Bytes of a kernel of signs with a bit per weight, and of a float32 per filter when filters have magnitudes."""
    return ceil(kernel.size / 8) + (4 * kernel.shape[-1] if scaled else 0)


def _agreements(bits: np.ndarray, mask: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Bits and mask `(n, k)`, weights `(k, filters)`: agreeing minus differing places among those of the mask."""
    packed, valid = np.packbits(bits, axis=1), np.packbits(mask, axis=1)
    filters = np.packbits(weights, axis=0).T
    total = np.bitwise_count(valid).sum(axis=1, dtype=np.int32)
    found = np.empty((len(bits), len(filters)), np.int32)
    for place, weight in enumerate(filters):
        agree = np.bitwise_count(~(packed ^ weight) & valid).sum(axis=1, dtype=np.int32)
        found[:, place] = 2 * agree - total
    return found


def _windows(maps: np.ndarray, size: tuple[int, int], config: dict[str, Any]) -> np.ndarray:
    """The cells under the kernel at every place: (n, out rows, out columns, rows, columns, channels)."""
    strides, dilation = config.get("strides", (1, 1)), config.get("dilation_rate", (1, 1))
    reach = [(side - 1) * step + 1 for side, step in zip(size, dilation, strict=True)]
    if config.get("padding", "valid") == "same":
        around = []
        for side, step, wide in zip(maps.shape[1:3], strides, reach, strict=True):
            total = max((ceil(side / step) - 1) * step + wide - side, 0)
            around.append((total // 2, total - total // 2))
        maps = np.pad(maps, [(0, 0), *around, (0, 0)])
    found = sliding_window_view(maps, reach, axis=(1, 2))
    found = found[:, :: strides[0], :: strides[1], :, :: dilation[0], :: dilation[1]]
    return np.moveaxis(found, 3, -1)
