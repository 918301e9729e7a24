"""Which layers of a run's model bear the loss of channels: curves to look at before a removal is set up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app import charts, words
from app.charts import figure_of
from app.colours import Colours, colours
from app.question import Question, offer
from pipelines.removal.sensitivity import SensitivitySettings

TIMEOUT_S = 900
STEP, IMAGES = 0.2, 500  # coarse: a few seconds per layer on a small network
SHOWN = 6  # curves drawn in colour: the ones that fall first


def sensitivity_view(run: str, key: str) -> None:
    """Offers the measurement for the last float model of `run`, and draws it."""
    question = Question(
        "Which layers bear the loss of channels",
        ":material/stacked_line_chart:",
        "Removes a growing share of the channels of one group of layers at a time and judges the network on validation "
        "images, without fine-tuning. Layers that fall early are worth skipping.",
        "Measure",
        "Removing channels, layer by layer",
        ("sensitivity", run),
        TIMEOUT_S,
        SensitivitySettings,
        {"step": STEP, "images": IMAGES},
    )
    offer(question, key, lambda found: _draw(found, key))


def _draw(found: Mapping[str, Any], key: str) -> tuple[str, ...]:
    rows = found["rows"]
    st.plotly_chart(
        curves(rows, found["validation_top1"], colours()),
        theme=None,
        key=f"{key}.curves",
        config=charts.CONFIG,
        alt="Validation accuracy by share of channels removed, one line per group of layers",
    )
    st.caption(
        f"{words.accuracy(found['validation_top1'])} with all channels. Coloured: the {SHOWN} groups that lose most; "
        "grey: the others. Point at a line for its layers."
    )
    table = [
        {
            "layers": ", ".join(layers),
            "channels": its[0]["channels"],
            **{f"{row['share']:.0%} gone": words.accuracy(row["validation_top1"]) for row in its if row["share"]},
        }
        for layers, its in _by_layers(rows)
    ]
    st.dataframe(table, hide_index=True, alt="The same as a table, most sensitive first")
    return ()


def _by_layers(rows: Sequence[Mapping[str, Any]]) -> list[tuple[tuple[str, ...], list[Mapping[str, Any]]]]:
    """The rows of each group of layers, those that lose most first."""
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row["layers"]), []).append(row)
    return sorted(found.items(), key=lambda item: sum(row["validation_top1"] for row in item[1]) / len(item[1]))


def curves(rows: Sequence[Mapping[str, Any]], whole: float, theme: Colours) -> go.Figure:
    """Accuracy over the share removed; the most sensitive groups in colour with names, the others grey."""
    figure = figure_of(theme, 340, "Accuracy, one group of layers cut at a time")
    for place, (layers, its) in reversed(list(enumerate(_by_layers(rows)))):
        coloured = place < SHOWN
        figure.add_scatter(
            x=[row["share"] for row in its], y=[row["validation_top1"] for row in its], mode="lines+markers",
            name=layers[0] if len(layers) == 1 else f"{layers[0]} and {len(layers) - 1} more", showlegend=coloured,
            marker={"size": 6 if coloured else 4, "symbol": charts.SYMBOLS[place % len(charts.SYMBOLS)]},
            line={"color": theme.series[place % len(theme.series)] if coloured else theme.line,
                  "width": 2 if coloured else 1},
            customdata=[[", ".join(layers), row["kept"], row["channels"]] for row in its],
            hovertemplate="%{customdata[0]}<br>%{customdata[1]} of %{customdata[2]} channels: %{y:.1%}<extra></extra>",
        )  # fmt: skip
    figure.add_hline(y=whole, line={"color": theme.quiet, "dash": "dot", "width": 1})
    figure.update_xaxes(title_text="share of the group's channels removed", tickformat=".0%")
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    return figure
