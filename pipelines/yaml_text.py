"""YAML as people write it in recipes and behind `--set`, read without its surprises.

Numbers are those of YAML 1.2: 1e-3 is one, 1:30 is a text and not 90 as in YAML 1.1, 010 is ten. A date is a text. No
aliases, which can grow without bound; no key twice; no tags, whose values are no plain ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

MAX_DEPTH = 20  # a recipe needs 5; Python's own stack ends near 1,000
INT, FLOAT, TIMESTAMP = (f"tag:yaml.org,2002:{name}" for name in ("int", "float", "timestamp"))
NUMBERS = (
    (INT, re.compile(r"^[-+]?[0-9]+$"), "-+0123456789"),
    (
        FLOAT,
        re.compile(
            r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        "-+.0123456789",
    ),
)


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise ValueError(f"{key.value} is there twice ({_place(key.start_mark)}); keep one of them")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    pass


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag not in (INT, FLOAT, TIMESTAMP)]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind in (_Loader, _Dumper):  # the dumper puts quotes around a text that would be read as a number
    for _tag, _pattern, _first in NUMBERS:
        _kind.add_implicit_resolver(_tag, _pattern, list(_first))


def _whole(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    # PyYAML's own takes a leading 0 for octal.
    return int(str(loader.construct_scalar(node)))


_Loader.add_constructor(INT, _whole)


def read(text: str, what: str) -> Any:
    """The plain values in `text`. Raises: ValueError that begins with `what`."""
    try:
        for depth, event in _depths(text):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("YAML aliases (*name) are not read; write the values out")
            if getattr(event, "tag", None) is not None:
                raise ValueError(f"YAML tags ({_place(event.start_mark)}) are not read; write the value alone")
            if depth > MAX_DEPTH:
                raise ValueError(
                    f"lists and mappings lie more than {MAX_DEPTH} deep in each other "
                    f"({_place(event.start_mark)}); a recipe needs 5"
                )
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(f"{what} is not valid YAML: {' '.join(str(error).split())}") from None
    except ValueError as error:
        raise ValueError(f"{what} cannot be used: {error}") from None


def write(values: Any) -> str:
    """YAML text that `read` gives back as equal values."""
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110))


def _depths(text: str) -> Iterator[tuple[int, yaml.Event]]:
    """The events of the parser, each with how many lists and mappings are open."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        yield depth, event


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"
