"""The largest design of a family that keeps within limits, found by bisection over the width.

Costs grow with the width, step by step as channels round, so at every resolution the widest network that fits is found
with about nine counts. They need not grow with the resolution (small inputs may get smaller strides), so every
resolution is searched by itself. **Largest** means most multiply-adds among those that fit, most params among equals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from zoo.architectures import architecture
from zoo.declaration import Architecture
from zoo.designs import Design, design
from zoo.grid import resolutions_of, strides_at, variants_of
from zoo.limits import Limits

# Widths are searched in hundredths, the step of a person's slider; wider than 4 no published network comes.
NARROWEST, WIDEST, PER_WIDTH = 5, 400, 100


@dataclass(frozen=True)
class Fit:
    """The answer: `best` and, largest first, the largest of every variant and resolution; none of them when nothing
    fits.

    `narrowest` holds the smallest network of every variant and resolution, fewest multiply-adds first: what the family
    needs at least.
    """

    name: str
    limits: Limits
    rows: tuple[Design, ...]
    narrowest: tuple[Design, ...]

    @property
    def best(self) -> Design | None:
        """The largest design that fits; None when nothing does."""
        return self.rows[0] if self.rows else None

    @property
    def least(self) -> dict[str, int]:
        """For every limit the least that any searched network needs."""
        return {name: min(getattr(one, name) for one in self.narrowest) for name in self.limits.named}

    def as_dict(self) -> dict[str, Any]:
        """The answer as plain values, ready for JSON."""
        return {
            "name": self.name,
            "limits": asdict(self.limits),
            "best": self.best.as_dict() if self.best else None,
            "rows": [one.as_dict() for one in self.rows],
            "smallest": self.narrowest[0].as_dict(),
            "least": self.least,
        }


def largest(
    name: str,
    limits: Limits,
    *,
    resolutions: Sequence[int | tuple[int, int]] | None = None,
    classes: int = 1000,
    channels: int = 3,
    **options: Any,
) -> Fit:
    """The largest design of the family within `limits`, at its usual resolutions or those named.

    All variants are searched unless `options` names one. Raises: ValueError for a name, resolution or option that is
    not offered.
    """
    family = architecture(name)
    family.settle(options)
    if not limits.named:
        raise ValueError("no limit given; say at least one of macs, int8 bytes and activation bytes")
    found: list[Design] = []
    narrowest: list[Design] = []
    refused: dict[Any, ValueError] = {}
    offered = set()
    for chosen in variants_of(family, options):
        sides = resolutions or resolutions_of(family, chosen)
        for side, strides in ((one, strides) for one in sides for strides in strides_at(family, one, chosen)):
            asked = {"resolution": side, "classes": classes, "channels": channels, **chosen, **strides}
            try:
                first = _narrowest(name, asked)
            except ValueError as error:  # a variant may be offered with some of the options or resolutions only
                refused[side] = error
                continue
            offered.add(side)
            narrowest.append(_at(name, first, asked))
            widest = _widest(name, first, asked, limits)
            if widest is not None:
                found.append(_rounded(family, widest, asked))
    for side, reason in refused.items():
        if side not in offered and (resolutions or not offered):
            raise reason
    return Fit(
        name,
        limits,
        tuple(sorted(found, key=lambda one: (-one.macs, -one.params))),
        tuple(sorted(narrowest, key=lambda one: (one.macs, one.params))),
    )


def _at(name: str, step: int, asked: dict[str, Any]) -> Design:
    return design(name, width=step / PER_WIDTH, **asked)


def _narrowest(name: str, asked: dict[str, Any]) -> int:
    """The first step of the width that the family offers. Raises: ValueError when it offers none."""
    for step in range(NARROWEST, PER_WIDTH):
        try:
            _at(name, step, asked)
        except ValueError:
            continue
        return step
    _at(name, PER_WIDTH, asked)  # says what is wrong
    return PER_WIDTH


def _widest(name: str, first: int, asked: dict[str, Any], limits: Limits) -> int | None:
    """The last step of the width that fits, None when the first does not."""
    if not limits.allow(_at(name, first, asked)):
        return None
    fits, breaks = first, WIDEST + 1
    while breaks - fits > 1:
        middle = (fits + breaks) // 2
        if limits.allow(_at(name, middle, asked)):
            fits = middle
        else:
            breaks = middle
    return fits


def _rounded(family: Architecture, step: int, asked: dict[str, Any]) -> Design:
    """The network of this step by its roundest width: a published one, or one in twentieths, if that is the same."""
    widest = _at(family.name, step, asked)
    published = max((width for width in family.published_widths(asked) if width <= widest.width), default=None)
    for width in (published, step // 5 * 5 / PER_WIDTH):
        if width:
            rounder = design(family.name, width=width, **asked)
            if _counts(rounder) == _counts(widest):
                return rounder
    return widest


def _counts(one: Design) -> tuple[int, ...]:
    return one.params, one.macs, one.memory_access_bytes, one.peak_activation_bytes
