"""What a step that factorised layers did: multiply-adds, ranks and errors layer by layer, and the accuracies.

Accuracies here are those on the validation images; the files on test images are compared on Compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app import charts, words
from app.charts import figure_of
from app.colours import Colours, colours
from app.removal_view import sizes

STAGES = {
    "validation_top1_before": "before",
    "validation_top1_after_factoring": "layers replaced",
    "validation_top1_after_recalibration": "norms put right",
    "validation_top1_after": "fine-tuned",
}


def factor_view(report: Mapping[str, Any], key: str) -> None:
    """Shows the report of one factorisation; nothing for a step that factorised no layer."""
    if "factored" not in report:
        return
    st.markdown("**Layers factorised**")
    sizes(report)
    st.plotly_chart(
        work_by_layer(report["factored"], colours()),
        theme=None,
        key=f"{key}.factors",
        config=charts.CONFIG,
        alt="Multiply-adds before and after, by layer",
    )
    st.dataframe(factored(report["factored"]), hide_index=True, alt="Ranks and errors by layer")
    st.dataframe(accuracies(report), hide_index=True, height="content", alt="Validation accuracies")
    left = report["left_alone"]
    if left:
        with st.expander(f"{len(left)} layers left alone"):
            st.dataframe(left, hide_index=True, height="content", alt="Layers left alone, with the reason")


def accuracies(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """Rows of stage and validation accuracy."""
    return [
        {"network": label, "top-1 on validation": words.accuracy(report.get(name))} for name, label in STAGES.items()
    ]


def factored(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """One row per layer, as text: what replaced it, at which ranks, how far from it, and the work."""
    return [
        {
            "layer": row["layer"],
            "layers now": str(len(row["factors"])),
            "rank": " and ".join(
                f"{rank} of {full}" for rank, full in zip(row["ranks"], row["full_ranks"], strict=True)
            ),
            "relative error": f"{row['relative_error']:.3f}",
            "multiply-adds": f"{words.amount(row['macs_before'])} to {words.amount(row['macs_after'])}",
        }
        for row in rows
    ]


def work_by_layer(rows: Sequence[Mapping[str, Any]], theme: Colours) -> go.Figure:
    """Two bars per layer: its multiply-adds before and after."""
    names = [row["layer"] for row in rows]
    figure = figure_of(theme, 300, "Multiply-adds of factorised layers", barmode="group", bargap=0.15)
    for label, which, marker in (
        ("before", "macs_before", {"color": theme.panel, "line": {"color": theme.quiet, "width": 1}}),
        ("after", "macs_after", {"color": theme.series[0]}),
    ):
        figure.add_bar(x=names, y=[row[which] for row in rows], name=label, marker=marker)
    figure.update_yaxes(title_text="multiply-adds", rangemode="tozero")
    if len(names) > 24:
        figure.update_xaxes(showticklabels=False, ticks="", title_text="layers, first to last")
    return figure
