"""What a removal of channels will leave, beside its sliders: counted once in the background, then looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app import background, charts, words
from app.charts import figure_of
from app.colours import Colours, colours
from pipelines.recipes import Recipe
from pipelines.removal.forecast import forecast
from pipelines.removal.settings import RemovalSettings

COUNTS = {"macs": "Multiply-adds", "params": "Weights", "int8_bytes": "int8 file, predicted"}
SHAPES = ("solid", "dash", "dot")


def forecast_view(recipe: Recipe, settings: RemovalSettings, key: str) -> None:
    """Draws the counts that these settings lead to; says so while they are counted."""
    asked = {
        "data": recipe.data.model_dump(mode="json"), "model": recipe.model.model_dump(mode="json"),
        "start": recipe.start, "range": recipe.start_range, "least": settings.least, "multiple": settings.multiple,
        "skip": settings.skip,
    }  # fmt: skip
    found = background.answer(
        f"forecast {asked!r}", lambda: forecast(recipe, settings), "Counting what each share would leave"
    )
    if found is not None:
        _draw(found, settings, key)


def _draw(found: Mapping[str, Any], settings: RemovalSettings, key: str) -> None:
    rows, layers = found["rows"], found["layers"]
    if not layers:
        st.error("No channel of this network can be removed.", icon=":material/block:")
        return
    dense, row = rows[0], chosen_row(rows, settings.target, settings.remove)
    if row is None:
        row = rows[-1]
        most = 1 - row[settings.target] / dense[settings.target]
        st.error(
            f"remove = {settings.remove:g} of the {settings.target} is not possible: at most {most:.2f} can go; "
            "ask for less, or lower least or multiple.",
            icon=":material/error:",
        )
    elif settings.target == "latency":
        st.caption("The cut is chosen by timing files on this machine; here is what may go at each step.")
    with st.container(horizontal=True):
        for name, label in COUNTS.items():
            shown = words.size if name == "int8_bytes" else words.amount
            if settings.target == "latency":
                least = f"down to {shown(rows[-1][name])}"
                st.metric(label, shown(dense[name]), least, delta_color="off", delta_arrow="down")
            else:
                change = f"{words.percent(row[name] / dense[name] - 1)} of {shown(dense[name])}"
                st.metric(label, shown(row[name]), change, delta_color="off")
    if settings.scope == "global":
        st.caption("With one ranking for all layers the weights decide which layer gives how much: a prediction.")
    theme = colours()
    st.plotly_chart(
        shares(rows, None if settings.target == "latency" else row, theme),
        theme=None,
        key=f"{key}.forecast",
        config=charts.CONFIG,
        alt="Multiply-adds, weights and file size that are left, by share of the channels kept",
    )
    with st.expander(f"Layers that may lose channels ({len(layers)}), and what is locked", icon=":material/lock_open:"):
        st.dataframe(
            [{"layers": ", ".join(one["layers"]), "channels": one["channels"]} for one in layers],
            hide_index=True,
            alt="Layers whose channels go together",
        )
        for reason, count in found["locked"].items():
            st.caption(f"{count} locked: {reason}.")


def chosen_row(rows: Sequence[Mapping[str, Any]], target: str, remove: float) -> Mapping[str, Any] | None:
    """The smallest cut that takes `remove` of the target; None when none does. Time is not counted, so never None."""
    if target == "latency":
        return rows[0]
    allowed = (1 - remove) * rows[0][target]
    return next((row for row in rows if row[target] <= allowed), None)


def shares(rows: Sequence[Mapping[str, Any]], chosen: Mapping[str, Any] | None, theme: Colours) -> go.Figure:
    """Lines of what is left of each count over the share of channels that are kept, the chosen cut marked."""
    figure = figure_of(theme, 260, "What is left, by share of channels kept")
    dense = rows[0]
    kept = [row["channels"] / dense["channels"] for row in rows]
    for place, (name, label) in enumerate(COUNTS.items()):
        figure.add_scatter(
            x=kept, y=[row[name] / dense[name] for row in rows], name=label, mode="lines",
            line={"color": theme.series[place], "dash": SHAPES[place]},
            hovertemplate="%{x:.0%} of the channels: %{y:.0%}<extra>" + label + "</extra>",
        )  # fmt: skip
    if chosen is not None:
        figure.add_vline(x=chosen["channels"] / dense["channels"], line={"color": theme.text, "width": 1})
    figure.update_xaxes(title_text="channels kept", tickformat=".0%", autorange="reversed")
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    return figure
