"""What an architecture says about itself: one `Architecture` per file in `zoo/architectures/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from zoo.layers import Tensor
from zoo.lookup import unknown_name


@dataclass(frozen=True)
class Option:
    """One setting beyond the two multipliers: its default and what it may be (a choice, or a range)."""

    name: str
    default: Any
    help: str
    choices: tuple[Any, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None

    def check(self, value: Any) -> Any:
        """`value` when it is allowed, as the type of the default. Raises: ValueError saying what would be."""
        if self.choices is not None:
            if value not in self.choices:
                raise ValueError(
                    f"{self.name} {value!r} is not offered; choose one of {', '.join(map(str, self.choices))}"
                )
            return value
        low = -inf if self.minimum is None else self.minimum
        high = inf if self.maximum is None else self.maximum
        wanted = f"a number from {low:g} to {high:g}"
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"{self.name} {value!r} is not {wanted}")
        return type(self.default)(value)


def dropout_option(default: float, source: str) -> Option:
    """The dropout in front of the classifier, which every architecture offers."""
    return Option(
        "dropout",
        default,
        f"Share of features zeroed in front of the classifier while training ({source})",
        minimum=0.0,
        maximum=0.9,
    )


@dataclass(frozen=True)
class Architecture:
    """A network family. `features(image, width, form, **own options)` lays the backbone on a tensor or a sketch node.

    `widths` are the published ones; any other width that the family's rounding rule allows works as well.
    `head_options` of the options go to the head, the others to `features`.
    """

    name: str
    title: str
    source: str
    summary: str
    features: Callable[..., Tensor]
    widths: tuple[float, ...]
    options: tuple[Option, ...] = ()
    default_width: float = 1.0
    default_resolution: int = 224
    resolutions: tuple[int, ...] = (96, 128, 160, 192, 224)
    task: str = "classification"
    head_options: tuple[str, ...] = ("dropout",)

    def settle(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Checked options with defaults filled in: (those of the backbone, those of the head).

        Raises: ValueError for an option the family does not have, or a value it does not offer.
        """
        known = {option.name: option for option in self.options}
        for name in options:
            if name not in known:
                raise unknown_name(f"option of {self.name}", name, known)
        settled = {name: option.check(options.get(name, option.default)) for name, option in known.items()}
        backbone = {name: value for name, value in settled.items() if name not in self.head_options}
        return backbone, {name: value for name, value in settled.items() if name in self.head_options}
