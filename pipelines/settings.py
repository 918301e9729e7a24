"""Settings: the frozen models that make forms, flags, recipes and tables out of one declaration.

A field carries its default, limits, unit and help. Nothing here knows what a step does.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

import pydantic
from annotated_types import Ge, Gt, Le, Lt
from pydantic_core import PydanticUndefined


class Settings(pydantic.BaseModel):
    """Base of all settings: frozen, and an unknown key fails with the nearest names.

    A value must be of its field's type: true is no 1, and '0.5' is a text. A whole number is a number.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)
    front: ClassVar[tuple[str, ...]] = ()  # fields that a form shows at once, though a method inherits them


def setting(default: Any = ..., *, help: str, unit: str = "", **limits: Any) -> Any:
    """A pydantic field with help and unit; `limits` are ge, gt, le, lt, max_length, min_length."""
    # YAML, JSON and flags give lists where the settings hold tuples; their items are still strict.
    strict = False if isinstance(default, tuple) else None
    return pydantic.Field(default, strict=strict, description=help, json_schema_extra={"unit": unit}, **limits)


@dataclass(frozen=True)
class Field:
    """What a form, a flag or a docs table needs to know of one setting."""

    name: str
    type: type
    optional: bool
    default: Any
    minimum: float | None
    maximum: float | None
    exclusive: bool
    choices: tuple[Any, ...]
    unit: str
    help: str


def fields_of(settings: type[Settings]) -> list[Field]:
    """Reads the fields of a settings class in the order they are written."""
    return [_field(name, info) for name, info in settings.model_fields.items()]


def make(settings: type[Settings], values: dict[str, Any], where: str) -> Any:
    """Builds settings from plain values.

    Raises ValueError that names the key, the value received and what would work.
    """
    try:
        return settings.model_validate(values)
    except pydantic.ValidationError as error:
        raise ValueError(explain(error, settings, where)) from None


def explain(error: pydantic.ValidationError, settings: type[pydantic.BaseModel], where: str) -> str:
    """One sentence per mistake, each with the place, the value received and what would work."""
    sentences = []
    for problem in error.errors():
        place = ".".join(str(part) for part in (where, *problem["loc"]) if part != "")
        if problem["type"] == "extra_forbidden":
            key = str(problem["loc"][-1])
            owner = _owner(settings, problem["loc"][:-1])
            known = list(owner.model_fields) if owner else []
            near = get_close_matches(key, known, 3, 0.5)
            offer = f"did you mean {' or '.join(near)}?" if near else f"known keys: {', '.join(known)}"
            sentences.append(f"{place} is not a setting; {offer}")
        elif problem["type"] == "missing":
            sentences.append(f"{place} is missing")
        else:
            sentences.append(f"{place} = {shown(problem['input'])}: {problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(sentences)


def shown(received: Any) -> str:
    """A value as an error message shows it, the rest of a long one left out."""
    text = repr(received)
    return text if len(text) < 80 else text[:77] + "..."


def _owner(settings: Any, path: tuple[Any, ...]) -> type[pydantic.BaseModel] | None:
    """Follows a path of field names to the settings class that refused a key."""
    for part in path:
        if isinstance(part, int):
            continue
        info = getattr(settings, "model_fields", {}).get(part)
        if info is None:
            return None
        settings = next(
            (kind for kind in (info.annotation, *_nested(info.annotation)) if hasattr(kind, "model_fields")), None
        )
    return settings


def _nested(annotation: Any) -> list[Any]:
    found = []
    for inner in get_args(annotation):
        found += [inner, *_nested(inner)]
    return found


def _field(name: str, info: pydantic.fields.FieldInfo) -> Field:
    annotation, optional = info.annotation, False
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [kind for kind in get_args(annotation) if kind is not type(None)]
        optional = len(inner) < len(get_args(annotation))
        annotation = inner[0]
    choices: tuple[Any, ...] = ()
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        annotation = type(choices[0])
    minimum: Any = None
    maximum: Any = None
    exclusive = False
    for limit in info.metadata:
        if isinstance(limit, Ge):
            minimum = limit.ge
        elif isinstance(limit, Gt):
            minimum, exclusive = limit.gt, True
        elif isinstance(limit, Le):
            maximum = limit.le
        elif isinstance(limit, Lt):
            maximum = limit.lt
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    return Field(
        name=name,
        type=get_origin(annotation) or annotation,  # type: ignore[arg-type]
        optional=optional,
        default=None if info.default is PydanticUndefined else info.default,
        minimum=minimum,
        maximum=maximum,
        exclusive=exclusive,
        choices=choices,
        unit=str(extra.get("unit", "")),
        help=info.description or "",
    )
