"""What a person asks of the zoo, checked: width, resolution, classes, channels, form."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

FORMS = ("train", "deploy")
# Below 8 pixels nothing is left of an image that is divided by 8. The upper limits only keep a slip of the finger from
# asking for terabytes: no published network comes near them.
MIN_SIDE, MAX_SIDE = 8, 4096
MAX_WIDTH = 16.0
MAX_CLASSES = 100_000


@dataclass(frozen=True)
class Request:
    """Checked arguments; `shape` is the input, (height, width, channels)."""

    width: float
    shape: tuple[int, int, int]
    classes: int
    form: str

    @classmethod
    def of(cls, *, width: Any, resolution: Any, classes: Any, channels: Any, form: Any) -> Request:
        """The request with every argument checked. Raises: ValueError naming the argument and what would work."""
        if channels not in (1, 3) or isinstance(channels, bool):
            raise ValueError(f"channels {channels!r} is not offered; use 1 (grey) or 3 (RGB)")
        if form not in FORMS:
            raise ValueError(f"form {form!r} is not known; use train or deploy")
        height, across = _sides(resolution)
        return cls(_width(width), (height, across, int(channels)), _classes(classes), form)


def _width(width: Any) -> float:
    number = isinstance(width, Real) and not isinstance(width, bool)
    # Compared as it is, because a whole number may be too large for a float.
    if not number or not 0 < width <= MAX_WIDTH:
        raise ValueError(f"width {width!r} is not a number above 0 and up to {MAX_WIDTH:g}; 1.0 is the paper's network")
    return float(width)


def _classes(classes: Any) -> int:
    if not _whole(classes) or not 2 <= int(classes) <= MAX_CLASSES:
        raise ValueError(f"classes {classes!r} is not a whole number from 2 to {MAX_CLASSES}")
    return int(classes)


def _sides(resolution: Any) -> tuple[int, int]:
    sides = tuple(resolution) if isinstance(resolution, list | tuple) else (resolution, resolution)
    if len(sides) != 2 or not all(_whole(side) for side in sides):
        raise ValueError(
            f"resolution {resolution!r} is not a whole number of pixels, nor a pair of them (height, width); "
            "32, 96 or 224 are usual"
        )
    if not all(MIN_SIDE <= int(side) <= MAX_SIDE for side in sides):
        raise ValueError(f"resolution {resolution!r} is outside {MIN_SIDE} to {MAX_SIDE} pixels a side")
    return int(sides[0]), int(sides[1])


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
