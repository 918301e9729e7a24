"""The designs that the batteries build: one small one per family and variant, a sweep, and the published ones."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable
from typing import Any

import pytest

import zoo

NAMES = list(zoo.ARCHITECTURES)
# Families whose default has hundreds of layers: the same blocks, fewer of them.
SHALLOW: dict[str, dict[str, Any]] = {
    "nasnet": {"cells": 1},
    "densenet": {"variant": "cifar40"},
    "condensenet": {"variant": "cifar50"},
    "resnext": {"variant": "cifar29"},
}


def others_slow(cases: Iterable[Any], quick: Container[Any]) -> list[Any]:
    """The cases as parameters; those that are not among the `quick` ones are for `make test-slow`."""
    return [case if case in quick else pytest.param(case, marks=pytest.mark.slow) for case in cases]


def small(name: str, **options: Any) -> dict[str, Any]:
    """A request that builds within seconds: narrow, few pixels, three classes, one channel, not too deep."""
    side = max(32, zoo.architecture(name).minimum_side)
    chosen = options if "variant" in options else {**SHALLOW.get(name, {}), **options}
    return {"width": 0.25, "resolution": side, "classes": 3, "channels": 1, **chosen}


def variants(name: str) -> list[dict[str, Any]]:
    """The options of every variant; one empty set where a family has none."""
    return [{"variant": variant} for variant in zoo.architecture(name).variants] or [{}]


def sweep(name: str) -> list[dict[str, Any]]:
    """Three widths, two resolutions (one below 64 pixels) and two class counts."""
    side = max(32, zoo.architecture(name).minimum_side)
    widths, sides, classes = (0.3, 0.75, 1.0), (side, (96, 128)), (2, 10)
    return [
        {"width": width, "resolution": side, "classes": count, "channels": 3 if count == 10 else 1}
        for width, side, count in itertools.product(widths, sides, classes)
    ]


EVERY_VARIANT = [(name, options) for name in NAMES for options in variants(name)]
EVERY_SWEEP = [(name, request) for name in NAMES for request in sweep(name)]
