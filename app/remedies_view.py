"""What helps a run's int8 file: remedies tried and measured, drawn as accuracy over bytes, each one click away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app import charts, words
from app.background import Answer
from app.charts import figure_of
from app.colours import Colours, colours
from app.question import Question, offer
from app.twin import submitting
from pipelines.further import recipe_of_row
from pipelines.judge import REFUSED, refusals
from pipelines.recipes import Recipe
from pipelines.remedies import RemedySettings, first_remedies, loss, regained
from pipelines.runs import Registry

TIMEOUT_S = 3600


def remedies_view(registry: Registry, run: str, key: str, adopt: Callable[[dict[str, Any]], None]) -> None:
    """Offers the trial for the last float model of `run`; `adopt` queues the recipe of the remedy that is chosen."""

    def draw(found: Answer) -> list[str]:
        recipe = _draw(registry, found, key, adopt)
        return [] if recipe is None else [submitting(Recipe.of(recipe).dump())]

    question = Question(
        "What would help int8",
        ":material/healing:",
        "Writes the int8 file with other ranges, corrected biases, equalised channels, with its costliest layers left "
        "float or in 16 bits and, if epochs are given for it, after int8-aware training, and measures accuracy, bytes "
        "and time of each. A minute or two for a small network without training.",
        "Try remedies",
        "Trying remedies, one file after the other",
        ("remedies", run),
        TIMEOUT_S,
        RemedySettings,
        choices={"only": [one.name for one in first_remedies(1)[1:]]},
    )
    offer(question, key, draw)


def _draw(
    registry: Registry, found: Mapping[str, Any], key: str, adopt: Callable[[dict[str, Any]], None]
) -> dict[str, Any] | None:
    whole, rows = found["float"], found["rows"]
    tried = [row for row in rows if "top1" in row]
    st.markdown(
        f"Plain int8 {loss(found['drop_points'])} against float32, "
        f"{words.accuracy(whole['top1'], whole['low'], whole['high'])}, on {found['validation_images']:,} validation "
        "images."
    )
    for fault in found["faults"]:
        st.caption(f"**{fault['title'].capitalize()}** at {', '.join(fault['layers'][:3])}: {fault['evidence']}")
    st.plotly_chart(
        accuracy_over_bytes(tried, whole, colours()), theme=None, key=f"{key}.chart", config=charts.CONFIG,
        alt="Top-1 of each tried file over its bytes, with intervals; dotted: the float file",
    )  # fmt: skip
    table = [_row(row, rows, whole["top1"]) for row in rows]
    st.dataframe(
        table, hide_index=True, height="content", alt="Remedies as tried",
        # Narrow enough that a phone shows the accuracy beside it.
        column_config={"remedy": st.column_config.TextColumn(width=190)},
    )  # fmt: skip
    for sentence in refusals(rows):
        st.caption(sentence)
    titles = {row["name"]: row["title"] for row in tried if row["name"] != "none"}
    if not titles:
        return None
    best = max((row for row in tried if row["name"] in titles), key=lambda row: (row["top1"], -row["bytes"]))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Take", list(titles), index=list(titles).index(best["name"]), key=f"{key}.name",
            format_func=titles.__getitem__,
        )  # fmt: skip
        recipe = recipe_of_row(registry, found, name)
        st.button(
            "Write this file",
            icon=":material/bolt:",
            key=f"{key}.adopt",
            on_click=adopt,
            args=(recipe,),
            help="A job of its own; nothing but int8-aware training is trained again",
        )
    return recipe


def accuracy_over_bytes(tried: Sequence[Mapping[str, Any]], whole: Mapping[str, Any], theme: Colours) -> go.Figure:
    """A point per tried file, the plain one first; the float file's accuracy as a dotted line."""
    # On a phone the legend has a line for every file.
    figure = figure_of(theme, 300 + 20 * len(tried), "Top-1 on validation over bytes")
    for at, row in enumerate(tried):
        figure.add_scatter(
            x=[row["bytes"] / 1000], y=[row["top1"]], mode="markers", name=row["title"],
            marker={"size": 11, "symbol": charts.SYMBOLS[at % len(charts.SYMBOLS)],
                    "color": theme.series[at % len(theme.series)]},
            error_y={"type": "data", "symmetric": False, "thickness": 1.2, "width": 3,
                     "array": [row["high"] - row["top1"]], "arrayminus": [row["top1"] - row["low"]]},
            hovertemplate=f"{row['title']}<br>%{{y:.2%}} at %{{x:,.0f}} kB<extra></extra>",
        )  # fmt: skip
    figure.add_hline(y=whole["top1"], line={"color": theme.quiet, "dash": "dot", "width": 1})
    figure.update_xaxes(title_text="kB of the file")
    figure.update_yaxes(tickformat=".1%")
    return figure


def _row(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], whole: float) -> dict[str, Any]:
    if "error" in row:
        return {"remedy": row["title"], "top-1": REFUSED}
    back = regained(row, rows, whole)
    return {
        "remedy": row["title"],
        "top-1": words.accuracy(row["top1"], row["low"], row["high"]),
        "against float": words.points(row["against_float"], row["against_float_low"], row["against_float_high"]),
        "drop regained": "–" if back is None or row["name"] == "none" else f"{100 * back:.0f} %",
        "size": words.size(row["bytes"]),
        "time": "1" if "ratio" not in row else words.times(row["ratio"], row["ratio_low"], row["ratio_high"],
                                                           row["stable"]),
        "other layers": ", ".join(row["kept"]),
    }  # fmt: skip
