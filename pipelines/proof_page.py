"""The report of a comparison as one page that needs nothing else: no script, no font, no network."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

FOLDER = Path(__file__).with_name("templates")
WIDTH, MARGIN = 220, 8  # of a drawn interval, in pixels


def page(document: dict[str, Any]) -> str:
    """HTML of the report of `pipelines.proof.proof`; every text from it is escaped."""
    rows = document["rows"]
    accuracies = _axis([value for row in rows for value in (row["low"], row["high"])])
    ratios = _axis([1.0, *(row[key] for row in rows for key in ("ratio_low", "ratio_high") if row[key] is not None)])
    return _template().render(
        document=document,
        rows=rows,
        baseline=next((row for row in rows if row["id"] == document["baseline"]), None),
        labels={row["id"]: row["label"] for row in rows},
        recipes={run["id"]: yaml.safe_dump(run["recipe"], sort_keys=False, allow_unicode=True)
                 for run in document["runs"]},
        accuracy=lambda row: _drawn(row["top1"], row["low"], row["high"], accuracies),
        ratio=lambda row: _drawn(row["ratio"], row["ratio_low"], row["ratio_high"], ratios),
        width=WIDTH,
        one=_place(1.0, ratios),
    )  # fmt: skip


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("proof.html")


def _axis(values: list[float]) -> tuple[float, float]:
    """The ends of an axis that holds all values, never of no length."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _place(value: float, axis: tuple[float, float]) -> float:
    return round(MARGIN + (value - axis[0]) / (axis[1] - axis[0]) * (WIDTH - 2 * MARGIN), 1)


def _drawn(value: float, low: float, high: float, axis: tuple[float, float]) -> dict[str, float]:
    return {"at": _place(value, axis), "from": _place(low, axis), "to": _place(high, axis)}
