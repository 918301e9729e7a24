"""What an architecture says about itself: one `Architecture` per file in `zoo/architectures/`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import inf
from typing import Any

from zoo.arithmetic import Shape
from zoo.heads.classification import classification_head
from zoo.layers import Tensor, shape_of
from zoo.lookup import nearest, unknown_name


@dataclass(frozen=True)
class Option:
    """One setting beyond the two multipliers: its default and what it may be (a choice, a range, or true and false)."""

    name: str
    default: Any
    help: str
    choices: tuple[Any, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None

    def check(self, value: Any) -> Any:
        """`value` when it is allowed, as the type of the default. Raises: ValueError saying what would be."""
        if self.choices is not None:
            # A variant called 1.1 or 50 comes as a number from a YAML file or the command line.
            named = [choice for choice in self.choices if str(choice) == str(value)]
            if not named:
                # Numbers that look alike are not near each other: 16 is no slip of the finger for 1.
                near = nearest(value, [choice for choice in self.choices if isinstance(choice, str)])
                meant = f"did you mean {' or '.join(near)}? " if near else ""
                raise ValueError(
                    f"{self.name} {value!r} is not offered; {meant}choose one of {', '.join(map(str, self.choices))}"
                )
            return named[0]
        if isinstance(self.default, bool):
            if not isinstance(value, bool):
                raise ValueError(f"{self.name} {value!r} is not offered; it is true or false")
            return value
        low = -inf if self.minimum is None else self.minimum
        high = inf if self.maximum is None else self.maximum
        whole = isinstance(self.default, int)
        wanted = f"a {'whole ' if whole else ''}number from {low:g} to {high:g}"
        allowed = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not allowed or not low <= value <= high:
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


# What `zoo/blocks/rounding.py` does to the strides of families that divide the side by 32.
SMALL_INPUT = Option(
    "small_input",
    "fitted",
    "Strides below 128 pixels. fitted leaves out the first stride of 2, below 64 pixels the first two: maps stay "
    "large, at about 4 and up to 16 times the multiply-adds. paper keeps them all, as published",
    choices=("fitted", "paper"),
)


@dataclass(frozen=True)
class Published:
    """Figures printed elsewhere for one design: a label with its source, never a bound for a test.

    `mega_macs` and `mega_params` are in millions as printed; `top1` in per cent, on ImageNet unless `note` says
    otherwise.
    """

    width: float = 1.0
    resolution: int = 224
    mega_macs: float | None = None
    mega_params: float | None = None
    top1: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Architecture:
    """A network family: `features` lays the backbone on a tensor or a sketch node, `head` turns its map into logits.

    `features(image, width, form, ...)` and `head(features, classes, ...)` are further given those of `width`, `form`
    and the options that their signatures name. An option called `variant` chooses between tables of the paper.

    `widths` are the published ones (any other that the rounding rule allows works as well); where the paper has no
    width multiplier, `width_is_extension` is true and every width but these is this project's own. `variant_widths`
    holds the variants that are published at other widths, and without a multiplier. `variant_resolutions` holds the
    variants whose usual resolution is another one. `weights_follow_resolution` marks the families that flatten a map
    or have another kernel for small images, so that their weights do not fit every resolution.
    """

    name: str
    title: str
    source: str
    summary: str
    features: Callable[..., Tensor]
    widths: tuple[float, ...]
    options: tuple[Option, ...] = ()
    head: Callable[..., Tensor] = classification_head
    width_is_extension: bool = False
    variant_widths: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    default_width: float = 1.0
    default_resolution: int = 224
    resolutions: tuple[int, ...] = (96, 128, 160, 192, 224)
    variant_resolutions: Mapping[str, int] = field(default_factory=dict)
    minimum_side: int = 8
    weights_follow_resolution: bool = False
    published: tuple[Published, ...] = ()
    task: str = "classification"

    def option(self, name: str) -> Option | None:
        """The option called `name`, None when the family has none of that name."""
        return next((option for option in self.options if option.name == name), None)

    @property
    def variants(self) -> tuple[Any, ...]:
        """The choices of the option `variant`; empty when there is one table only."""
        option = self.option("variant")
        return (option.choices or ()) if option else ()

    def usual_resolution(self, options: Mapping[str, Any]) -> int:
        """The side in pixels that the paper uses for this variant."""
        return self.variant_resolutions.get(self._variant(options), self.default_resolution)

    def published_widths(self, options: Mapping[str, Any]) -> tuple[float, ...]:
        """The widths at which this variant is published."""
        return self.variant_widths.get(self._variant(options), self.widths)

    def other_widths_are_extension(self, options: Mapping[str, Any]) -> bool:
        """Whether this variant has no multiplier in its paper, so that unpublished widths are this project's own."""
        return self.width_is_extension or self._variant(options) in self.variant_widths

    def in_paper(self, width: float, options: Mapping[str, Any]) -> bool:
        """Whether this variant has this width in its paper, by a table or by a multiplier."""
        return width in self.published_widths(options) or not self.other_widths_are_extension(options)

    def settle(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Checked options with defaults filled in.

        Raises: ValueError for an option the family does not have, or a value it does not offer.
        """
        known = {option.name: option for option in self.options}
        for name in options:
            if name not in known:
                raise unknown_name(f"option of {self.name}", name, known)
        return {name: option.check(options.get(name, option.default)) for name, option in known.items()}

    def _variant(self, options: Mapping[str, Any]) -> Any:
        """The variant that `options` name, the default without; None when there is one table only."""
        option = self.option("variant")
        return option.check(options.get("variant", option.default)) if option else None

    def lay(self, image: Tensor, classes: int, width: float, form: str, options: Mapping[str, Any]) -> Tensor:
        """Logits of `classes` from `image`, a Keras tensor or a sketch node; `options` as `settle` gives them.

        Raises: ValueError when the image is too small for this family.
        """
        shape: Shape = shape_of(image)
        if min(shape[:2]) < self.minimum_side:
            raise ValueError(
                f"{self.name} needs at least {self.minimum_side} pixels a side; received {shape[0]}x{shape[1]}"
            )
        given = {**options, "form": form, "width": width}
        map_ = self.features(image, **_named(self.features, given))
        return self.head(map_, classes, **_named(self.head, given))


def _named(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in _parameters(function) if name in given}


@cache
def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)
