"""Flags made from a settings class, one per field with its help, default, unit and choices; and flags from values."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.settings import Settings, fields_of


def settings_arguments(parser: argparse.ArgumentParser, settings: type[Settings], *, skip: Sequence[str] = ()) -> None:
    """Adds a flag for every field but those of `skip`; numbers in a list are given one after the other."""
    for field in fields_of(settings):
        if field.name in skip:
            continue
        unit = f" {field.unit}" if field.unit else ""
        default = "" if field.default in (None, ()) else f" (default {_plain(field.default)}{unit})"
        text, flag = f"{field.help}{default}".replace("%", "%%"), f"--{field.name.replace('_', '-')}"
        if field.type is tuple:
            kind = type(field.default[0]) if field.default else str
            parser.add_argument(flag, type=kind, nargs="*", help=text)
        elif field.type is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
        else:
            parser.add_argument(flag, type=field.type, choices=field.choices or None, help=text)


def settings_given(asked: argparse.Namespace, settings: type[Settings], *, skip: Sequence[str] = ()) -> dict[str, Any]:
    """The values that were given, by field."""
    names = [field.name for field in fields_of(settings) if field.name not in skip]
    return {name: getattr(asked, name) for name in names if getattr(asked, name) is not None}


def settings_words(settings: type[Settings], values: Mapping[str, Any]) -> list[str]:
    """The words of a command line that give these values; a field at its default needs none.

    Raises: ValueError as the settings do.
    """
    made, found = settings(**values), []
    for field in fields_of(settings):
        value, flag = getattr(made, field.name), f"--{field.name.replace('_', '-')}"
        if value is None or value == field.default:
            continue
        if field.type is bool:
            found.append(flag if value else f"--no-{flag[2:]}")
        else:
            found += [flag, *(f"{one}" for one in (value if field.type is tuple else (value,)))]
    return found


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else repr(value)
