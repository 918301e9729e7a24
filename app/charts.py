"""Charts from plain values. Every colour is set here, for both themes; shape repeats what colour says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas  # noqa: F401  Plotly looks for it among what is loaded, and met it half loaded by another rerun.
import plotly.graph_objects as go

from app import words
from app.colours import Colours

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon", "triangle-down", "x", "pentagon")
DASHES = ("solid", "dot", "dash", "dashdot")
FONT = '"Source Sans", "Source Sans 3", "Source Sans Pro", sans-serif'
CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"], "responsive": True}


def figure_of(colours: Colours, height: int, title: str = "", **layout: Any) -> go.Figure:
    """An empty figure in the studio's style."""
    axis = {
        "gridcolor": colours.line,
        "zeroline": False,
        "linecolor": colours.line,
        "ticks": "outside",
        "tickcolor": colours.line,
        "automargin": True,
        "title": {"font": {"size": 13}, "standoff": 8},
    }
    style = {
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 38, "b": 62},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": colours.text, "size": 13, "family": FONT},
        "title": {"text": title, "font": {"size": 14}, "x": 0, "xref": "container", "y": 0.98, "yref": "container"},
        "colorway": list(colours.series),
        "hoverlabel": {"bgcolor": colours.panel, "font": {"color": colours.text}, "bordercolor": colours.line},
        "legend": {
            "orientation": "h",
            "traceorder": "normal",
            "x": 0,
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "font": {"size": 12},
        },
        "xaxis": axis,
        "yaxis": dict(axis),
    }
    # Given at once: an update of an empty figure takes several times as long.
    figure = go.Figure(layout=style)
    if layout:
        figure.update_layout(**layout)
    return figure


def curves(
    series: Mapping[tuple[str, str], Sequence[tuple[float, float]]],
    title: str,
    colours: Colours,
    *,
    share: bool = False,
) -> go.Figure:
    """Lines over epochs: (phase, split) -> (epoch, value) points. Validation is drawn solid, training dotted."""
    phases = list(dict.fromkeys(phase for phase, _ in series))
    figure = figure_of(colours, 270, title if len(phases) == 1 else f"{title} (dotted: training)")
    for (phase, split), points in series.items():
        ordered = sorted(points)
        alone = len(phases) == 1
        name = split if alone else f"{phase}, {split}"
        figure.add_scatter(
            x=[x for x, _ in ordered],
            y=[y for _, y in ordered],
            name=split if alone else phase,
            showlegend=alone or split == "validation",
            legendgroup=name if alone else phase,
            mode="lines+markers" if len(ordered) < 60 else "lines",
            marker={"size": 5},
            hovertemplate="epoch %{x:.0f}: %{y:.4g}<extra>" + name + "</extra>",
            line={
                "color": colours.series[phases.index(phase) % len(colours.series)],
                "dash": "solid" if split == "validation" else "dot",
                "width": 2,
            },
        )
    figure.update_xaxes(rangemode="tozero", tickformat="d")
    figure.update_yaxes(tickformat=".0%" if share else ".2f", rangemode="tozero")
    return figure


def tradeoff(rows: Sequence[Mapping[str, Any]], over: str, colours: Colours, *, cap: float | None = None) -> go.Figure:
    """Accuracy over latency (`over="latency_ms"`) or bytes, with 95 % bars, the Pareto front and an optional cap."""
    timed = over == "latency_ms"
    title = "Accuracy over latency" if timed else "Accuracy over size"
    figure = figure_of(colours, 380, title=title)
    shown = [row for row in rows if row.get("top1") is not None and row.get(over) is not None]
    scale = 1.0 if timed else 1000.0
    formats = list(dict.fromkeys(row["format"] for row in rows))
    for place, name in enumerate(formats):
        part = [row for row in shown if row["format"] == name]
        if not part:
            continue
        xs = [row[over] / scale for row in part]
        error_x = None
        if timed:
            error_x = {
                "type": "data",
                "symmetric": False,
                "thickness": 1.2,
                "width": 3,
                "array": [(row.get("latency_high") or row[over]) - row[over] for row in part],
                "arrayminus": [row[over] - (row.get("latency_low") or row[over]) for row in part],
            }
        figure.add_scatter(
            x=xs,
            y=[row["top1"] for row in part],
            name=name,
            mode="markers",
            error_x=error_x,
            error_y={
                "type": "data",
                "symmetric": False,
                "thickness": 1.2,
                "width": 3,
                "array": [row["high"] - row["top1"] for row in part],
                "arrayminus": [row["top1"] - row["low"] for row in part],
            },
            marker={
                "size": 11,
                "symbol": SYMBOLS[place % len(SYMBOLS)],
                "color": colours.series[place % len(colours.series)],
                "line": {"width": [2.5 if row.get("on_front") else 0 for row in part], "color": colours.text},
            },
            customdata=[[row["label"], row["id"]] for row in part],
            hovertemplate="%{customdata[0]}<br>%{y:.1%} at %{x:.4g} " + ("ms" if timed else "kB") + "<extra></extra>",
        )
    front = sorted(pareto(shown, over), key=lambda row: row[over])
    if len(front) > 1:
        figure.add_scatter(
            x=[row[over] / scale for row in front],
            y=[row["top1"] for row in front],
            mode="lines",
            name="Pareto front",
            line={"color": colours.quiet, "dash": "dash", "width": 1.5, "shape": "hv"},
            hoverinfo="skip",
        )
    if cap is not None:
        figure.add_vline(
            x=cap / scale,
            line={"color": colours.predicted, "width": 2, "dash": "dot"},
            annotation={"text": "cap", "font": {"color": colours.predicted}},
        )
    figure.update_xaxes(
        title_text="ms per image, host CPU, 1 thread" if timed else "kB of the file", rangemode="tozero"
    )
    figure.update_yaxes(title_text="top-1 on the test images", tickformat=".1%")
    return figure


def pareto(rows: Sequence[Mapping[str, Any]], over: str) -> list[Mapping[str, Any]]:
    """The rows that no other row beats in accuracy and `over` at once."""
    best, kept = -1.0, []
    for row in sorted(rows, key=lambda row: (row[over], -row["top1"])):
        if row["top1"] > best:
            best = row["top1"]
            kept.append(row)
    return kept


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str], title: str, colours: Colours) -> go.Figure:
    """Counts of true class (rows) by answer (columns)."""
    classes = list(classes) or [str(number) for number in range(len(matrix))]
    figure = figure_of(colours, 340, title=title)
    steps = [[place / (len(colours.scale) - 1), colour] for place, colour in enumerate(colours.scale)]
    # Few are wrong, so a linear scale would show an empty square off the diagonal.
    shade = [[count**0.4 for count in row] for row in matrix]
    figure.add_heatmap(
        z=shade,
        x=classes,
        y=classes,
        colorscale=steps,
        showscale=False,
        xgap=1,
        ygap=1,
        text=[[str(count) if count else "" for count in row] for row in matrix] if len(classes) <= 20 else None,
        texttemplate="%{text}" if len(classes) <= 20 else None,
        customdata=matrix,
        hovertemplate="true %{y}, answered %{x}: %{customdata} images<extra></extra>",
    )
    figure.update_xaxes(
        title_text="answer", type="category", showgrid=False, tickangle=-45 if max(map(len, classes)) > 3 else 0
    )
    figure.update_yaxes(title_text="true class", type="category", autorange="reversed", showgrid=False)
    return figure


def class_counts(splits: Mapping[str, Mapping[str, Any]], colours: Colours) -> go.Figure:
    """Images per class, stacked by split."""
    figure = figure_of(colours, 280, title="Images per class", barmode="stack")
    for place, (name, split) in enumerate(splits.items()):
        figure.add_bar(
            x=list(split["counts"]),
            y=list(split["counts"].values()),
            name=name,
            marker={
                "color": colours.series[place % len(colours.series)],
                "pattern": {"shape": ("", "/", ".")[place % 3]},
            },
            hovertemplate="%{x}: %{y:,} images<extra>" + name + "</extra>",
        )
    figure.update_xaxes(type="category")
    return figure


def answers(names: Sequence[str], shares: Sequence[float], colours: Colours, colour: int = 0) -> go.Figure:
    """The likeliest classes with their softmax shares, best on top."""
    figure = figure_of(colours, 44 + 30 * len(names), margin={"l": 8, "r": 44, "t": 4, "b": 4})
    figure.add_bar(
        x=list(shares),
        y=list(names),
        orientation="h",
        marker={"color": colours.series[colour % len(colours.series)]},
        text=[words.percent(share) for share in shares],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
    )
    figure.update_xaxes(range=[0, 1.08], visible=False)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return figure
