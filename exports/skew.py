"""Ways in which apps feed a right file wrongly, each made on purpose, so that it can be known by what it does.

A file never complains about wrong numbers: it answers, only worse. Every `Feed` is one mistake that people make
between a picture and a tensor; the mistakes of resizing are made where pictures are resized, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exports.contract import Contract
from exports.run_file import run_raw

Pixels = np.ndarray


@dataclass(frozen=True)
class Feed:
    """One mistake. `values` gives the numbers an app computes from pixels 0..255, or `order` the pixels it lays out.

    `fits` tells for which files it is a mistake, and can be told from the right feed.
    """

    name: str
    title: str
    advice: str
    fits: Callable[[Contract], bool]
    values: Callable[[np.ndarray], np.ndarray] | None = None
    order: Callable[[Pixels], Pixels] | None = None


def _wants(low: float, high: float) -> Callable[[Contract], bool]:
    def fits(contract: Contract) -> bool:
        image = contract.input
        return not np.allclose((image.pixel_offset, 255 * image.pixel_scale + image.pixel_offset), (low, high))

    return fits


def _in_colour(contract: Contract) -> bool:
    return contract.input.channels == 3


FEEDS: Mapping[str, Feed] = {
    feed.name: feed
    for feed in (
        Feed("range_0_255", "pixels 0..255 for 0..1", "divide the pixels by 255", _wants(0, 255),
             values=lambda pixels: pixels),
        Feed("range_0_1", "pixels 0..1 for 0..255", "leave the pixels undivided, 0..255", _wants(0, 1),
             values=lambda pixels: pixels / 255),
        Feed("range_-1_1", "pixels -1..1", "leave out the step to -1..1", _wants(-1, 1),
             values=lambda pixels: pixels / 127.5 - 1),
        Feed("bgr", "BGR for RGB", "turn the colours into the order red, green, blue", _in_colour,
             order=lambda pixels: pixels[..., ::-1]),
        Feed("planar", "channels first (NCHW) for channels last", "lay the pixels out as height, width, channels",
             _in_colour, order=lambda pixels: pixels.transpose(0, 3, 1, 2).reshape(pixels.shape)),
        Feed("unshifted", "bytes 0..255 put into int8 as they are", "subtract 128 from the bytes for an int8 input",
             lambda contract: contract.input.dtype == "int8"),
    )
}  # fmt: skip


def fed(path: Path | str, contract: Contract, pixels: Pixels, feed: Feed | None = None) -> np.ndarray:
    """Logits `(n, classes)` of the file for uint8 pixels `(n, height, width, channels)`, rightly fed or by `feed`."""
    return contract.logits_from_raw(run_raw(path, contract, lambda part: _raw(contract, part, feed), pixels))


def _raw(contract: Contract, pixels: Pixels, feed: Feed | None) -> np.ndarray:
    image = contract.input
    if feed is None:
        return contract.raw_from_pixels(pixels)
    if feed.order is not None:
        return contract.raw_from_pixels(np.ascontiguousarray(feed.order(pixels)))
    if feed.values is None:
        return np.ascontiguousarray(pixels).view(np.int8)
    steps = feed.values(np.arange(256, dtype=np.float64))
    if image.scale is not None:
        limits = np.iinfo(image.dtype)
        steps = np.clip(np.rint(steps / image.scale) + (image.zero_point or 0), limits.min, limits.max)
    return steps.astype(image.dtype)[pixels]
