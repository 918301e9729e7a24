"""What a command of the command line declares."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

from pipelines.yaml_text import read
from zoo.declaration import Architecture

# What decides on a network too but is no option of an architecture, where a command has a flag for it.
FLAGS = ("width", "resolution", "classes", "channels", "form", "element_bytes")


@dataclass(frozen=True)
class Command:
    """`run(arguments) -> document` does the work, `show(document) -> text` is what a person reads."""

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], dict[str, Any]]
    show: Callable[[dict[str, Any]], str]


def table(rows: list[dict[str, Any]], columns: dict[str, str]) -> str:
    """Aligns rows under headings; `columns` maps keys to headings. Numbers go right."""
    cells = [[_cell(row.get(key)) for key in columns] for row in rows]
    heads = list(columns.values())
    widths = [max([len(head), *(len(line[place]) for line in cells)]) for place, head in enumerate(heads)]
    right = [all(_is_number(row.get(key)) for row in rows) for key in columns]

    def line(values: list[str]) -> str:
        parts = [
            value.rjust(width) if number else value.ljust(width)
            for value, width, number in zip(values, widths, right, strict=True)
        ]
        return "  ".join(parts).rstrip()

    return "\n".join([line(heads), line(["-" * width for width in widths]), *(line(values) for values in cells)])


def warned(text: str, document: dict[str, Any]) -> str:
    """The text for a person, and under it the warning of the document where it has one."""
    return f"{text}\nwarning: {document['warning']}" if document.get("warning") else text


def options(pairs: list[str] | None) -> dict[str, Any]:
    """Reads `--set key=value` pairs; values are YAML scalars or lists.

    Raises: ValueError for a pair without `=`, a value that is no YAML, a key given twice.
    """
    found: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ValueError(f"--set {pair!r}: write key=value, such as --set dropout=0.2")
        key = key.strip()
        if key in found:
            raise ValueError(f"--set {pair!r}: {key} is given twice; it was {found[key]!r} before, give it once")
        try:
            found[key] = read(value, "it")
        except ValueError as error:
            raise ValueError(
                f"--set {pair!r}: {value!r} cannot be read as a value; write a number, a word, true or false, or a "
                f"list such as [1, 2] ({error})"
            ) from None
    return found


def options_of(family: Architecture, asked: argparse.Namespace) -> dict[str, Any]:
    """The options that `--set` gives the family, checked.

    Raises: ValueError for an option that the family does not have, naming the flag where there is one instead, or a
    value that it does not offer.
    """
    given = options(asked.set)
    for key, value in given.items():
        if key in FLAGS and key in asked and family.option(key) is None:
            offered = ", ".join(option.name for option in family.options)
            raise ValueError(
                f"{key} {value!r} is not an option of {family.name} but a flag: write --{key.replace('_', '-')}; "
                f"--set takes {offered}"
            )
    settled = family.settle(given)
    return {key: settled[key] for key in given}


def resolution(text: str) -> int | tuple[int, int]:
    """Reads `96` or `96x128` (height x width)."""
    parts = text.lower().split("x")
    if len(parts) > 2 or any(not part.isdecimal() for part in parts):
        raise ValueError(f"resolution {text!r}: write whole pixels such as 96, or height x width such as 96x128")
    sides = [int(part) for part in parts]
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def count(text: str, what: str) -> float:
    """Reads a number above 0 such as `250`, `20e6`, `20M`, `1.5 G` or `300k`; `what` names it in the error."""
    bare = text.strip()
    factor = {"k": 1e3, "m": 1e6, "g": 1e9}.get(bare[-1:].lower(), 1.0)
    try:
        found = float(bare[:-1] if factor > 1 else bare) * factor
    except ValueError:
        found = 0.0
    if not 0 < found < inf:
        raise ValueError(f"{what} {text!r} is not a number above 0; write it as 20M, 20e6, 300k or 20000000")
    return found


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
