"""What wrong preprocessing would cost a file, as bars, and which mistake a device makes by what it answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app import background, charts, uploads, words
from app.charts import figure_of
from app.colours import Colours, colours
from app.question import Question, offer
from app.twin import line
from pipelines.csv_text import csv_text

TIMEOUT_S = 1200


def skew_view(artifact: str, key: str) -> None:
    """Offers the trial for the file `artifact`, draws it, and takes a device's answers."""
    question = Question(
        "If an app feeds it wrongly",
        ":material/swap_calls:",
        "Runs the file with the usual mistakes in front of it, on up to 1,000 validation images: another range of "
        "pixels, swapped colours, channels first, another way of resizing. If you have what a device answered, it "
        "also tells which mistake that device makes.",
        "Try the mistakes",
        "Feeding the file wrongly",
        ("skew", artifact),
        TIMEOUT_S,
    )
    offer(question, key, lambda found: _draw(found, artifact, key))


def _draw(found: Mapping[str, Any], artifact: str, key: str) -> tuple[str, ...]:
    _verdicts(found)
    st.plotly_chart(
        bars(found, colours()), theme=None, key=f"{key}.bars", config=charts.CONFIG,
        alt="Top-1 under each mistake, the worst first; the table holds the numbers",
    )  # fmt: skip
    with st.expander("As a table", icon=":material/table_rows:"):
        st.dataframe([_row(one) for one in found["rows"]], hide_index=True, alt="Mistakes, the costliest first")
        for why in found["left_out"].values():
            st.caption(f"Not tried: {why}.")
    st.markdown("**Does your device make one of them?** Let it answer these images and drop its answers here.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.download_button(
            "Names of the images", csv_text([{"image": one, "answer": ""} for one in found["names"]]),
            file_name="answers.csv", mime="text/csv", icon=":material/download:", on_click="ignore", key=f"{key}.names",
            help="A CSV to fill in: a class per image, or replace the column by one per label with the scores",
        )  # fmt: skip
    upload = st.file_uploader("Answers (.csv or .npy)", type=["csv", "npy"], key=f"{key}.answers", max_upload_size=256)
    if upload is None:
        return ()
    path = uploads.keep(upload, Path(str(upload.name)).suffix)
    asked = ("skew", artifact, "--answers", str(path))
    told = background.answer(
        " ".join(asked), lambda: background.command(*asked, timeout_s=TIMEOUT_S), "Comparing the answers"
    )
    if told is not None:
        _verdicts(told)
    return (line(*asked),)


def _verdicts(found: Mapping[str, Any]) -> None:
    answers = found["by_answers"]
    accused = bool(found["by_labels"]["fault"] or (answers and (answers["fault"] or not answers["explained"])))
    for text in found["verdicts"]:
        if accused:
            st.warning(text, icon=":material/swap_calls:")
        else:
            st.success(text, icon=":material/check_circle:")


def bars(found: Mapping[str, Any], theme: Colours) -> go.Figure:
    """A bar per mistake with its interval, the worst on top, and the declared feed as a line."""
    rows: Sequence[Mapping[str, Any]] = found["rows"]
    figure = figure_of(theme, 120 + 30 * len(rows), "Top-1 under each mistake", showlegend=False)
    figure.add_bar(
        x=[one["top1"] for one in rows],
        y=[one["title"] for one in rows],
        orientation="h",
        marker={"color": theme.series[1]},
        error_x={
            "type": "data", "symmetric": False, "thickness": 1.2, "width": 3, "color": theme.quiet,
            "array": [one["high"] - one["top1"] for one in rows],
            "arrayminus": [one["top1"] - one["low"] for one in rows],
        },
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
    )  # fmt: skip
    figure.add_vline(
        x=found["declared"]["top1"],
        line={"color": theme.accent, "width": 2},
        annotation={"text": "as declared", "font": {"color": theme.accent}, "xanchor": "right"},
    )
    figure.update_xaxes(range=[0, 1.02], tickformat=".0%")
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return figure


def _row(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "mistake": one["title"],
        "top-1": words.accuracy(one["top1"], one["low"], one["high"]),
        "against declared": words.points(one["difference"], one["difference_low"], one["difference_high"]),
        "same answer": words.percent(one["same_answer"]),
    }
