"""Forms made from settings classes: one function, every step, method and data source.

A value that does not fit stays in its field and the reason stands under it; nothing typed is thrown away. So the
number fields carry no limits of their own (Streamlit would keep such a value to itself).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic
import streamlit as st

from app import words
from pipelines.settings import Field, Settings, fields_of

FIRST = 4  # fields of a base class that stand in front: epochs, batch, optimizer, learning rate
AUGMENTATION = "Augmentation: "


@dataclass(frozen=True)
class Filled:
    """What stands in a form: the values as typed, and what is wrong with them (empty when nothing is)."""

    values: dict[str, Any]
    mistakes: dict[str, str]


def settings_form(
    settings: type[Settings],
    values: Mapping[str, Any],
    key: str,
    *,
    choices: Mapping[str, Sequence[Any]] | None = None,
    names: Mapping[Any, str] | None = None,
    skip: Sequence[str] = (),
) -> Filled:
    """Draws the fields of `settings` filled with `values` and reads them back.

    `choices` gives a field that is free text in the class the names it may have here; `names` says how such a
    choice is shown.
    """
    found = [field for field in fields_of(settings) if field.name not in skip]
    front, augmentation, further = _grouped(settings, found)
    typed = {name: value for name, value in values.items() if name in skip}
    notes: dict[str, Any] = {}

    def draw(fields: Sequence[Field]) -> None:
        lists = [field for field in fields if field.type is tuple]  # they need the whole width
        numbers = [field for field in fields if field.type is not tuple]
        places = [st.container() for _ in lists]
        columns = st.columns(2, gap="medium")
        for place, field in [
            *zip(places, lists, strict=True),
            *((columns[at % 2], one) for at, one in enumerate(numbers)),
        ]:
            with place:
                offered = (choices or {}).get(field.name)
                typed[field.name] = _field(
                    field, values.get(field.name, field.default), f"{key}.{field.name}", offered, names or {}
                )
                if field.help:
                    st.caption(field.help)
                notes[field.name] = st.empty()

    draw(front)
    if augmentation:
        with st.expander("Augmentation", icon=":material/auto_fix_high:"):
            draw(augmentation)
    if further:
        with st.expander("More settings", icon=":material/tune:"):
            draw(further)
    mistakes = mistakes_in(settings, typed)
    for name, message in mistakes.items():
        place = notes.get(name)
        (place.error if place is not None else st.error)(message, icon=":material/error:")
    return Filled(typed, mistakes)


def mistakes_in(settings: type[Settings], values: Mapping[str, Any]) -> dict[str, str]:
    """Field -> what is wrong with its value, with the value received; empty when the settings can be made."""
    try:
        settings.model_validate(dict(values))
    except pydantic.ValidationError as error:
        found: dict[str, str] = {}
        for problem in error.errors():
            name = str(problem["loc"][0]) if problem["loc"] else ""
            message = problem["msg"].removeprefix("Value error, ")
            found.setdefault(name, f"{problem['input']!r}: {message[:1].lower()}{message[1:]}")
        return found
    return {}


def _grouped(settings: type[Settings], found: Sequence[Field]) -> tuple[list[Field], list[Field], list[Field]]:
    """(in front, augmentation, further): a class's own fields and the first few it inherits stand in front."""
    inherited: set[str] = set()
    # A method's class is wrapped once to add the field `method`; what it declares itself is one step up then.
    base = settings.__mro__[1] if "method" in settings.model_fields else settings
    for ancestor in base.__mro__[1:]:
        inherited |= set(getattr(ancestor, "model_fields", {}))
    own = [field for field in found if field.name not in inherited and field.name != "method"]
    general = [field for field in found if field.name in inherited and not field.help.startswith(AUGMENTATION)]
    augmentation = [field for field in found if field.help.startswith(AUGMENTATION) and field.name in inherited]
    if not inherited and len(own) > 8:  # a class that stands alone and is long: the same rule over its own fields
        augmentation = [field for field in own if field.help.startswith(AUGMENTATION)]
        general = [field for field in own if not field.help.startswith(AUGMENTATION)]
        own = []
    pulled = [field for field in general if field.name in settings.front]
    general = [field for field in general if field not in pulled]
    return general[:FIRST] + pulled + own, augmentation, general[FIRST:]


def _label(field: Field) -> str:
    label = words.label_of(field.name.removesuffix(f"_{field.unit.partition(' ')[0]}"))
    # "Epochs (epochs)" says nothing twice.
    return label if not field.unit or label.lower().endswith(field.unit) else f"{label} ({field.unit})"


def _limits(field: Field) -> str | None:
    above = "above" if field.exclusive else "from"
    parts = [
        f"{above} {field.minimum:g}" if field.minimum is not None else "",
        f"up to {field.maximum:g}" if field.maximum is not None else "",
    ]
    text = " ".join(part for part in parts if part)
    return f"Allowed: {text}" if text else None


def _field(field: Field, value: Any, key: str, offered: Sequence[Any] | None, names: Mapping[Any, str]) -> Any:
    label, tip = _label(field), _limits(field)
    shown = lambda choice: names.get(choice, str(choice))  # noqa: E731
    if field.type is tuple:
        if offered:
            kept = [item for item in value or () if item in offered]
            return list(st.multiselect(label, list(offered), default=kept, format_func=shown, key=key, help=tip))
        text = st.text_input(
            label, ", ".join(f"{item}" for item in value or ()), key=key, help=tip, placeholder="separated by commas"
        )
        return numbers_in(text)
    options = list(offered or field.choices)
    if options:
        if value is not None and value not in options:
            options.append(value)
        place = options.index(value) if value in options else 0
        return st.selectbox(label, options, index=place, format_func=shown, key=key, help=tip)
    if field.type is bool:
        return st.toggle(label, bool(value), key=key, help=tip)
    if field.type is int and not field.optional:
        return st.number_input(label, value=_whole(value), step=1, key=key, help=tip)
    if field.type is int:
        return st.number_input(label, value=_whole(value), step=1, key=key, help=tip, placeholder="empty")
    if field.type is float:
        return st.number_input(
            label, value=None if value is None else float(value), step=_step(value), format="%g", key=key, help=tip
        )
    return st.text_input(label, "" if value is None else str(value), key=key, help=tip)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _step(value: Any) -> float:
    """A step that suits the size of a number: 0.002 moves by 0.0005, 0.5 by 0.05."""
    if not isinstance(value, int | float) or value == 0:
        return 0.05
    return next(
        (step for limit, step in ((0.001, 1e-5), (0.01, 5e-4), (0.1, 0.01), (1.0, 0.05)) if abs(value) < limit), 0.1
    )


def numbers_in(text: str) -> list[Any]:
    """`0.35, 0.5` -> [0.35, 0.5]; what is no number stays text, so that the settings can say so."""
    found: list[Any] = []
    for part in text.replace(";", ",").split(","):
        if part.strip():
            found.append(number_in(part))
    return found


def number_in(text: str) -> Any:
    """`96` -> 96, `0.5` -> 0.5, other text as it is."""
    text = text.strip()
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def resolution_in(text: str) -> Any:
    """`96` -> 96, `96x128` -> [96, 128], empty -> None; other text as it is."""
    text = text.strip().lower().replace("×", "x")
    if not text:
        return None
    sides = [number_in(part) for part in text.split("x")]
    if len(sides) == 1:
        return sides[0]
    return text if any(isinstance(side, str) for side in sides) else sides


def resolution_text(value: Any) -> str:
    """The reverse of `resolution_in`."""
    if value is None:
        return ""
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
