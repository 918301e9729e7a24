"""The rounding rules of width multipliers, and the rule for inputs smaller than the papers'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.arithmetic import Shape

ALL_STRIDES, TINY = 128, 64  # pixels: from the first on no stride is left out, below the second two are


def make_divisible(channels: float, divisor: int = 8, minimum: int | None = None) -> int:
    """The multiple of `divisor` nearest to `channels`, at least `minimum`, never more than 10 % below `channels`.

    Source: the MobileNet reference code; used from arXiv:1801.04381 on.
    """
    rounded = max(minimum or divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def scaled(channels: int, width: float, divisor: int = 8) -> int:
    """`channels` of the paper's table at `width`, rounded to the divisor (1 cuts off the fraction, as MobileNetV1
    does).

    Raises: ValueError when nothing is left.
    """
    result = int(channels * width) if divisor == 1 else make_divisible(channels * width, divisor)
    if result < 1:
        raise ValueError(f"width {width:g} leaves none of {channels} channels; use at least {1 / channels:g}")
    return result


def below(side: Any, limit: int) -> bool:
    """Whether the smaller end of `side`, pixels or (height, width), is below `limit`; False for what is no side."""
    sides = side if isinstance(side, list | tuple) else (side,)
    return all(isinstance(one, int) for one in sides) and min(sides, default=limit) < limit


def is_small(shape: Shape) -> bool:
    """True when the smaller side of an input, (height, width, channels), is below 64 pixels.

    There the networks from before the mobile ones take a form of their own, as their authors did for CIFAR.
    """
    return below(shape[:2], TINY)


def small_input_strides(strides: Sequence[int], shape: Shape, rule: str = "fitted") -> tuple[int, ...]:
    """The table's `strides` for an input of `shape`, (height, width, channels).

    The papers' networks divide the side by 32, which leaves little of a small image. `fitted`, a house rule, goes by
    the smaller side: from 128 on all strides stay; from 64 on the first stride 2 becomes 1 (16 in total); below, the
    first two do (8 in total). A pooling layer whose stride becomes 1 is left out by its architecture. Weights do not
    change, only map sizes. `paper` leaves all strides as they are.
    """
    side = min(shape[0], shape[1])
    spare = 0 if rule == "paper" or side >= ALL_STRIDES else 1 if side >= TINY else 2
    result = []
    for stride in strides:
        if stride == 2 and spare:
            spare -= 1
            stride = 1
        result.append(stride)
    return tuple(result)
