"""The colours of charts and drawn bars, for the light and the dark theme (Plotly does not follow Streamlit's own)."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st


@dataclass(frozen=True)
class Colours:
    """One theme: text, quiet text, lines, series in order, and what good, bad and predicted look like."""

    text: str
    quiet: str
    line: str
    panel: str
    series: tuple[str, ...]
    accent: str
    predicted: str
    scale: tuple[str, ...]


# Series keep 3:1 contrast or more against their background and stay apart for red-green blindness by lightness.
LIGHT = Colours(
    text="#17262b",
    quiet="#5d7075",
    line="#d3dddd",
    panel="#eef3f3",
    series=("#0b6670", "#c2571a", "#5a4fa3", "#2f7d32", "#a8326d", "#8a6d00", "#2a62a8"),
    accent="#0b6670",
    predicted="#b05a0e",
    scale=("#f4f8f8", "#a9cfd1", "#3d8f96", "#0b4a52"),
)
DARK = Colours(
    text="#e4eeee",
    quiet="#a3b5b8",
    line="#2d3f45",
    panel="#18252a",
    series=("#4fc3c7", "#f0985a", "#a79bf0", "#7cc97f", "#e883b4", "#d9bd4a", "#7fb2ec"),
    accent="#4fc3c7",
    predicted="#eba25a",
    scale=("#142024", "#1f5257", "#37949a", "#a6e3e4"),
)


def colours() -> Colours:
    """The colours of the theme this browser shows."""
    return DARK if st.context.theme.type == "dark" else LIGHT
