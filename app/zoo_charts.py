"""Charts of designs: the whole zoo as points, one network by stage and by layer. Colours and style as in charts.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from typing import Any

import plotly.graph_objects as go

from app import words
from app.charts import SYMBOLS, figure_of
from app.colours import Colours
from zoo.designs import Design

# What a design can be laid out by: (label, unit of the axis, how a number is said).
AXES: dict[str, tuple[str, str]] = {
    "macs": ("Multiply-adds", "multiply-adds of one image"),
    "params": ("Weights", "weights"),
    "memory_access_bytes": ("Memory access", "bytes read and written for one image, float32"),
    "int8_peak_activation_bytes": ("Peak activation memory", "bytes of activations alive at once, int8"),
    "predicted_int8_bytes": ("int8 file, predicted", "bytes of the int8 file, predicted"),
    "latency_ms": ("Latency, predicted", "milliseconds of one image, float32 file on this machine, predicted"),
    "top1": ("Top-1, published", "top-1 on ImageNet in per cent, as published"),
}

# Kinds of layers as a person tells them apart; the rest is one colour.
KINDS: dict[str, tuple[str, ...]] = {
    "convolution": ("conv", "separable", "transposed", "learned_conv"),
    "depthwise": ("depthwise",),
    "dense": ("dense",),
    "norm": ("norm",),
}
OTHER = "other"


def said(design: Design, key: str) -> str:
    """A number of a design in words."""
    value = getattr(design, key)
    if key == "top1":
        return "–" if value is None else f"{value:g} %"
    return words.milliseconds(value) if key == "latency_ms" else words.cost(key, value)


def family_marks(names: Sequence[str], colours: Colours) -> dict[str, tuple[str, str]]:
    """Family -> (colour, symbol). With 7 colours and 10 symbols no two of 70 families share both."""
    return {
        name: (colours.series[place % len(colours.series)], SYMBOLS[place % len(SYMBOLS)])
        for place, name in enumerate(names)
    }


def scatter(
    designs: Sequence[Design],
    families: Sequence[str],
    x: str,
    y: str,
    colours: Colours,
    *,
    log_x: bool = True,
    log_y: bool = True,
    chosen: Sequence[Design | None] = (),
) -> go.Figure:
    """Every design as a point. Family is colour and symbol; hollow marks a width beyond the paper's, small marks a
    resolution that is not the paper's own. `families` fixes who has which colour, whoever is shown.
    """
    figure = figure_of(colours, 620)
    marks = family_marks(families, colours)
    shown = [one for one in designs if getattr(one, x) is not None and getattr(one, y) is not None]
    for name in dict.fromkeys(one.name for one in shown):
        part = [one for one in shown if one.name == name]
        colour, symbol = marks[name]
        figure.add_scatter(
            x=[getattr(one, x) for one in part],
            y=[getattr(one, y) for one in part],
            name=part[0].title,
            mode="markers",
            marker={
                "color": colour,
                "symbol": [symbol if one.in_paper else f"{symbol}-open" for one in part],
                "size": [11 if one.usual_resolution else 7 for one in part],
                "opacity": 0.85,
                "line": {"width": [0.6 if one.in_paper else 1.6 for one in part], "color": colours.panel},
            },
            # A click must not fade everything else: the chosen designs have rings of their own.
            selected={"marker": {"opacity": 0.85}},
            unselected={"marker": {"opacity": 0.85}},
            customdata=[[key_of(one), one.label, *facts(one)] for one in part],
            hovertemplate=HOVER,
        )
    for place, one in enumerate(chosen):
        if one is None or getattr(one, x) is None or getattr(one, y) is None:
            continue
        figure.add_scatter(
            x=[getattr(one, x)],
            y=[getattr(one, y)],
            mode="markers+text",
            text=["AB"[place]],
            textposition="top center",
            textfont={"size": 15, "color": colours.text},
            marker={"size": 20, "symbol": "circle-open", "line": {"width": 2.5}, "color": colours.text},
            showlegend=False,
            hoverinfo="skip",
        )
    for axis, key, log in ((figure.update_xaxes, x, log_x), (figure.update_yaxes, y, log_y)):
        axis(
            title_text=AXES[key][1],
            type="log" if log else "linear",
            tickformat="~s" if key != "top1" else "~g",
        )
    # By itself Plotly would name all nine digits of a decade, on top of each other.
    if log_x:
        decades = log10(max(getattr(one, x) for one in shown) / min(getattr(one, x) for one in shown))
        digits = (1, 2, 5) if decades < 2 else (1, 3)  # narrow screens have room for about eight
        figure.update_xaxes(tickvals=[digit * 10**power for power in range(-3, 13) for digit in digits])
    if log_y:
        figure.update_yaxes(dtick="D2")
    figure.update_layout(
        clickmode="event+select",
        hoverdistance=12,
        margin={"t": 12},
        legend={"itemsizing": "constant", "maxheight": 0.3, "tracegroupgap": 0},
    )
    return figure


HOVER = (
    "<b>%{customdata[1]}</b><br>"
    "%{customdata[2]} multiply-adds · %{customdata[3]} weights<br>"
    "memory access %{customdata[4]} (float32)<br>"
    "activations %{customdata[5]} · file %{customdata[6]} (int8, predicted)<br>"
    "top-1 %{customdata[7]}<br>%{customdata[8]}%{customdata[9]}<extra></extra>"
)


def facts(design: Design) -> list[str]:
    """What stands in the box under the pointer, in the order of `HOVER`."""
    note = f" ({design.top1_note})" if design.top1_note else ""
    remarks = ["plain operators" if not design.special else "needs " + ", ".join(map(words.operator, design.special))]
    if not design.in_paper:
        remarks.append("width beyond the paper")
    return [
        *(said(design, key) for key in AXES if key not in ("latency_ms", "top1")),
        "not published for this design" if design.top1 is None else f"{said(design, 'top1')} published{note}",
        " · ".join(remarks),
        "" if design.latency_ms is None else f"<br>{said(design, 'latency_ms')} predicted",
    ]


def key_of(design: Design) -> str:
    """A text that names one design of the grid, short enough for an address line."""
    side = "x".join(map(str, design.resolution)) if isinstance(design.resolution, tuple) else design.resolution
    options = "".join(f"~{name}={value}" for name, value in design.options.items())
    return f"{design.name}~{design.width:g}~{side}{options}"


def stages_of(layers: Sequence[Mapping[str, Any]], what: str) -> dict[str, dict[str, float]]:
    """Stage -> kind -> sum of `what`, stages in the order of the network, without those where all is 0."""
    found: dict[str, dict[str, float]] = {}
    for layer in layers:
        if layer[what]:
            kinds = found.setdefault(str(layer["stage"]), {})
            kind = kind_of(layer)
            kinds[kind] = kinds.get(kind, 0) + layer[what]
    return found


def kind_of(layer: Mapping[str, Any]) -> str:
    """The kind that a layer is coloured by."""
    return next((name for name, kinds in KINDS.items() if layer["kind"] in kinds), OTHER)


def per_stage(
    layers: Sequence[Mapping[str, Any]], what: str, title: str, colours: Colours, *, top: float | None = None
) -> go.Figure:
    """One stacked bar per stage: what kind of layer costs how much where. `top` fixes the axis for a neighbour."""
    stages = stages_of(layers, what)
    whole = sum(sum(kinds.values()) for kinds in stages.values()) or 1
    figure = figure_of(colours, 320, title, barmode="stack", bargap=0.18)
    for place, kind in enumerate((*KINDS, OTHER)):
        if any(kind in kinds for kinds in stages.values()):
            figure.add_bar(
                x=list(stages),
                y=[kinds.get(kind, 0) for kinds in stages.values()],
                name=kind,
                marker=_bar(place, colours),
                customdata=[[words.percent(kinds.get(kind, 0) / whole)] for kinds in stages.values()],
                hovertemplate="%{x}: %{y:.4~s}, %{customdata[0]} of all<extra>" + kind + "</extra>",
            )
    _finish(figure, what, top, len(stages))
    return figure


def per_layer(layers: Sequence[Mapping[str, Any]], what: str, title: str, colours: Colours) -> go.Figure:
    """One bar per layer that costs something, in the order of the network."""
    drawn = [layer for layer in layers if layer[what]]
    figure = figure_of(colours, 320, title, barmode="stack", bargap=0.15)
    for place, kind in enumerate((*KINDS, OTHER)):
        part = [layer for layer in drawn if kind_of(layer) == kind]
        if part:
            figure.add_bar(
                x=[layer["name"] for layer in part],
                y=[layer[what] for layer in part],
                name=kind,
                marker=_bar(place, colours),
                hovertemplate="%{x}: %{y:.4~s}<extra>" + kind + "</extra>",
            )
    _finish(figure, what, None, len(drawn))
    figure.update_xaxes(categoryorder="array", categoryarray=[layer["name"] for layer in drawn])
    if len(drawn) > 24:
        figure.update_xaxes(showticklabels=False, ticks="", title_text="layers, first to last")
    return figure


def _bar(place: int, colours: Colours) -> dict[str, Any]:
    # The pattern repeats what the colour says.
    return {
        "color": colours.series[place % len(colours.series)],
        "pattern": {
            "shape": ("", "/", ".", "x", "-")[place % 5],
            "fillmode": "overlay",
            "fgcolor": colours.panel,
            "fgopacity": 0.6,
            "size": 6,
        },
    }


def _finish(figure: go.Figure, what: str, top: float | None, bars: int) -> None:
    figure.update_xaxes(type="category", showgrid=False, tickangle=-45 if bars > 6 or top is not None else 0)
    figure.update_yaxes(
        title_text=AXES[what][0].lower() + (", bytes" if "bytes" in what else ", ms" if what == "latency_ms" else ""),
        tickformat="~s",
        range=None if top is None else [0, top * 1.05],
        rangemode="tozero",
    )
