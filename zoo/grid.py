"""The whole zoo on one grid: every family at its published widths, usual resolutions and variants, counted.

Small inputs come twice where it makes a difference, with the fitted strides and with the paper's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from zoo.architectures import ARCHITECTURES, architecture
from zoo.blocks.rounding import ALL_STRIDES, TINY, below
from zoo.declaration import SMALL_INPUT, Architecture
from zoo.designs import AXES, Design, design
from zoo.limits import Limits

# Where a paper has no width multiplier: narrower networks that this project offers, marked as such.
EXTENSION_WIDTHS = (0.25, 0.5, 0.75)


def grid(
    names: Sequence[str] | None = None, *, classes: int = 1000, channels: int = 3, extensions: bool = False
) -> tuple[Design, ...]:
    """Every design of the named families (all of them without `names`), counted at `classes` and `channels`.

    `extensions` adds widths to families whose paper has none. A combination that the family itself refuses is left
    out. Raises: ValueError for an unknown name, or classes or channels that are not offered.
    """
    chosen = tuple(ARCHITECTURES) if names is None else tuple(dict.fromkeys(names))
    return tuple(one for name in chosen for one in _of_family(name, classes, channels, extensions))


def keep(
    designs: Iterable[Design],
    limits: Limits | None = None,
    *,
    resolutions: Sequence[int | tuple[int, int]] = (),
    usual_only: bool = False,
    plain_only: bool = False,
) -> list[Design]:
    """The designs within `limits`, at one of `resolutions` (any when empty) or at their family's own, and with plain
    operators only.
    """
    return [
        one
        for one in designs
        if (limits is None or limits.allow(one))
        and (not resolutions or one.resolution in resolutions)
        and (one.usual_resolution or not usual_only)
        and not (plain_only and one.special)
    ]


@lru_cache(maxsize=256)
def _of_family(name: str, classes: int, channels: int, extensions: bool) -> tuple[Design, ...]:
    family = architecture(name)
    design(name, width=family.default_width, classes=classes, channels=channels)  # wrong ones are the caller's mistake
    found: dict[Any, Design] = {}
    for request in requests(family, extensions):
        try:
            one = design(name, classes=classes, channels=channels, **request)
        except ValueError:
            continue
        found.setdefault((one.width, one.resolution, tuple(one.options.items())), one)
    return tuple(found.values())


def requests(family: Architecture, extensions: bool = False) -> Iterator[dict[str, Any]]:
    """What the grid asks of a family: variants x widths x usual resolutions, then the designs published besides."""
    for options in variants_of(family):
        beyond = EXTENSION_WIDTHS if extensions and family.other_widths_are_extension(options) else ()
        widths = sorted({*family.published_widths(options), *beyond})
        for width, side in itertools.product(widths, resolutions_of(family, options)):
            for strides in strides_at(family, side, options):
                yield {"width": width, "resolution": side, **options, **strides}
    for row in family.published:
        yield {"width": row.width, "resolution": row.resolution, **row.options}


def variants_of(family: Architecture, fixed: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Every combination of the options in `AXES` that `fixed` leaves open, with `fixed` in each."""
    given = dict(fixed or {})
    open_ = [option for option in map(family.option, AXES) if option and option.choices and option.name not in given]
    combined = itertools.product(*(option.choices or () for option in open_))
    return [{**given, **dict(zip((option.name for option in open_), values, strict=True))} for values in combined]


def strides_at(
    family: Architecture, side: int | tuple[int, int], options: Mapping[str, Any]
) -> tuple[dict[str, Any], ...]:
    """The ways to treat a small input that make a difference at `side`; just one where `options` names it.

    Below 64 pixels the paper's strides leave a map of one cell or two, so only the fitted ones are offered.
    """
    if family.option(SMALL_INPUT.name) is None or SMALL_INPUT.name in options:
        return ({},)
    if not below(side, ALL_STRIDES) or below(side, TINY):
        return ({},)
    return tuple({SMALL_INPUT.name: choice} for choice in SMALL_INPUT.choices or ())


def resolutions_of(family: Architecture, options: Mapping[str, Any]) -> tuple[int, ...]:
    """The usual resolutions of a variant: the family's, or where a variant has one of its own, that and those below."""
    usual = family.usual_resolution(options)
    sides = family.resolutions
    if usual != family.default_resolution:
        sides = (*(side for side in sides if side < usual), usual)
    return tuple(side for side in sides if side >= family.minimum_side)
