"""One design: an architecture with everything that decides its cost, and that cost as plain numbers.

The numbers are sums of the design's sketch as it is deployed, worked out once per process and kept, because grids, fit
queries and pages ask for the same ones again and again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from zoo.architectures import architecture
from zoo.assemble import sketch
from zoo.costs import sums_of
from zoo.declaration import SMALL_INPUT, Architecture, Published
from zoo.sketches import Sketch

# The options that choose between networks a paper prints side by side; all others keep their defaults in a grid.
AXES = ("variant", "groups")

# What runs everywhere, on every accelerator and with every delegate: no gate, no shuffle, no curved activation.
PLAIN_KINDS = {"input", "conv", "depthwise", "separable", "dense", "norm", "relu", "add", "concat", "pad"}
PLAIN_KINDS |= {"max_pool", "average_pool", "global_pool", "flatten", "reshape", "dropout"}


@dataclass(frozen=True)
class Design:
    """A network and its cost at batch 1. `options` holds only what differs from the defaults, or is an axis.

    `memory_access_bytes` and `peak_activation_bytes` are those of float32. `top1` is a figure printed elsewhere
    (`top1_note` says on what, ImageNet when empty) and was not measured here. `in_paper` is false where the width is
    this project's own extension. `special` names the kinds of operators beyond the plain ones. `latency_ms` is for
    those to fill who can predict it: milliseconds of the float32 file on their machine.
    """

    name: str
    title: str
    options: Mapping[str, Any] = field(hash=False)
    width: float
    resolution: int | tuple[int, int]
    classes: int
    channels: int
    params: int
    trainable_params: int
    macs: int
    memory_access_bytes: int
    peak_activation_bytes: int
    int8_peak_activation_bytes: int
    predicted_int8_bytes: int
    top1: float | None
    top1_note: str
    in_paper: bool
    usual_resolution: bool
    special: tuple[str, ...]
    latency_ms: float | None = None

    @property
    def chosen(self) -> str:
        """The options in words: `small`, `groups 3`; empty when there is nothing to choose."""
        return in_words(self.options)

    @property
    def label(self) -> str:
        """The design in one line."""
        side = "x".join(map(str, self.resolution)) if isinstance(self.resolution, tuple) else self.resolution
        named = f"{self.title} {self.chosen}" if self.options else self.title
        return f"{named} x {self.width:g} at {side} px"

    def as_dict(self) -> dict[str, Any]:
        """The design as plain values, ready for JSON."""
        row = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return row | {"options": dict(self.options), "special": list(self.special), "label": self.label}


def design(
    name: str,
    *,
    width: float = 1.0,
    resolution: int | tuple[int, int] | None = None,
    classes: int = 1000,
    channels: int = 3,
    **options: Any,
) -> Design:
    """The design with its cost, at the paper's resolution when none is named. Raises: ValueError as `zoo.build`."""
    family = architecture(name)
    settled = family.settle(options)
    side = family.usual_resolution(settled) if resolution is None else resolution
    if isinstance(side, list | tuple) and len(side) == 2:  # any other number of sides is refused below
        side = side[0] if side[0] == side[1] else (side[0], side[1])
    return _design(name, width, side, classes, channels, tuple(settled.items()))


@lru_cache(maxsize=16384)
def _design(
    name: str, width: Any, side: Any, classes: Any, channels: Any, options: tuple[tuple[str, Any], ...]
) -> Design:
    family = architecture(name)
    settled = dict(options)
    laid = sketch(name, width=width, resolution=side, classes=classes, channels=channels, **settled)
    sums = sums_of(laid)
    printed = published(family, width, side, settled)
    return Design(
        name=name,
        title=family.title,
        options={
            option.name: settled[option.name]
            for option in family.options
            if option.name in AXES or settled[option.name] != option.default
        },
        width=float(width),
        resolution=side,
        classes=classes,
        channels=channels,
        params=sums.params,
        trainable_params=sums.trainable_params,
        macs=sums.macs,
        memory_access_bytes=4 * sums.memory_access,
        peak_activation_bytes=4 * sums.peak_activation,
        int8_peak_activation_bytes=sums.peak_activation,
        predicted_int8_bytes=sums.predicted_int8_bytes,
        top1=printed.top1 if printed else None,
        top1_note=printed.note if printed else "",
        in_paper=family.in_paper(width, settled),
        usual_resolution=side == family.usual_resolution(settled),
        special=special_operators(laid),
    )


def published(
    family: Architecture, width: float, resolution: int | tuple[int, int], options: Mapping[str, Any]
) -> Published | None:
    """What was printed elsewhere about exactly this design, rows with an accuracy first; None when nothing was."""
    settled = family.settle(options)
    found = [
        row
        for row in family.published
        if row.width == width and row.resolution == resolution and family.settle(row.options) == settled
    ]
    return max(found, key=lambda row: row.top1 is not None, default=None)


def special_operators(laid: Sketch) -> tuple[str, ...]:
    """The kinds of operators beyond `PLAIN_KINDS` that the network needs, a native grouped convolution among them."""
    found = {op.kind for op in laid.ops} - PLAIN_KINDS
    if any(op.kind == "conv" and op.config.get("groups", 1) > 1 for op in laid.ops):
        found.add("grouped_conv")
    return tuple(sorted(found))


def in_words(options: Mapping[str, Any]) -> str:
    """Options as a person says them: `small`, `groups 3`; empty when there are none."""
    return ", ".join(_said(name.replace("_", " "), value) for name, value in options.items())


def _said(name: str, value: Any) -> str:
    if name == "variant":
        return str(value).replace("_", " ")
    if name == SMALL_INPUT.name.replace("_", " "):
        return f"{value} strides"
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name} {value}"
