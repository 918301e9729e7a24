"""What a choice on the Design page will cost: the zoo's numbers, kept per choice, and bars against a reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

import streamlit as st

import zoo
from app import words
from app.colours import Colours
from zoo.designs import Design, in_words


@dataclass(frozen=True)
class Choice:
    """An architecture with everything that decides its cost."""

    name: str = "mobilenet_v2"
    width: float = 1.0
    resolution: Any = 224
    classes: int = 1000
    channels: int = 3
    options: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def title(self) -> str:
        """The choice in one line."""
        side = "x".join(map(str, self.resolution)) if isinstance(self.resolution, list | tuple) else self.resolution
        chosen = in_words(self.options)
        named = f"{zoo.architecture(self.name).title} {chosen}".strip()
        return f"{named} x {self.width:g} at {side} px, {self.classes} classes"

    @classmethod
    def of(cls, design: Design) -> Choice:
        """The choice behind a design of the grid."""
        return cls(design.name, design.width, design.resolution, design.classes, design.channels, dict(design.options))


def sketched(choice: Choice) -> zoo.Sketch:
    """The network behind a choice, as deployed. Raises ValueError."""
    side = tuple(choice.resolution) if isinstance(choice.resolution, list | tuple) else choice.resolution
    return zoo.sketch(
        choice.name, width=choice.width, resolution=side, classes=choice.classes, channels=choice.channels,
        **choice.options,
    )  # fmt: skip


@st.cache_data(max_entries=512, show_spinner=False)
def costs(choice: Choice) -> dict[str, Any]:
    """The cost of a choice in float32, its int8 memory, predicted int8 bytes and the layers. Raises ValueError."""
    sketch = sketched(choice)
    cost = zoo.cost_of(sketch)
    found = {name: getattr(cost, name) for name in cost.__dataclass_fields__}
    found["int8_peak_activation_bytes"] = cost.peak_activation_bytes // 4
    found["predicted_int8_bytes"] = zoo.predicted_int8_bytes(sketch)
    return found


ROWS = (
    ("params", "Weights", words.amount, ""),
    ("macs", "Multiply-adds", words.amount, "one image"),
    ("memory_access_bytes", "Memory access", words.size, "float32, one image"),
    ("int8_peak_activation_bytes", "Peak activation memory", words.size, "int8, weights not counted"),
    ("predicted_int8_bytes", "int8 file", words.size, "predicted"),
)


def bars(mine: dict[str, Any], reference: dict[str, Any], colours: Colours) -> str:
    """HTML of one bar per cost. The mark is the reference; words and numbers say the same as the bars."""
    quiet = f"color:{colours.quiet};font-size:.85em"
    parts = []
    for key, label, shown, note in ROWS:
        value, other = mine[key], reference[key]
        largest = max(value, other, 1)
        fill = colours.predicted if note == "predicted" else colours.accent
        words_row = (
            f'<div style="display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 .8rem;color:{colours.text}">'
            f'<span>{escape(label)} <span style="{quiet}">{escape(note)}</span></span>'
            f'<span style="font-variant-numeric:tabular-nums"><b>{escape(shown(value))}</b> '
            f'<span style="{quiet}">{escape(against(value, other, shown))}</span></span></div>'
        )
        bar = (
            f'<div aria-hidden="true" style="position:relative;height:.7rem;border-radius:.35rem;margin-top:.2rem;'
            f'background:{colours.panel};border:1px solid {colours.line}">'
            f'<div style="width:{100 * value / largest:.2f}%;height:100%;border-radius:.3rem;background:{fill}"></div>'
            f'<div style="position:absolute;top:-.2rem;bottom:-.2rem;left:calc({100 * other / largest:.2f}% - 2px);'
            f'width:3px;border-radius:2px;background:{colours.text}"></div></div>'
        )
        parts.append(f'<div style="margin:0 0 .85rem 0">{words_row}{bar}</div>')
    return "".join(parts)


def against(value: float, other: float, shown: Callable[[float], str]) -> str:
    """A cost beside the reference's, in words."""
    if value == other:
        return "same as the reference"
    ratio = value / other if other else 1.0
    return f"{f'{ratio:.2g}' if ratio < 10 else f'{ratio:.0f}'} x the reference ({shown(other)})"
