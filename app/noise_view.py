"""What int8 costs a written file: causes in words, each layer's cost as a bar, and how the error grows through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app import charts, words
from app.charts import figure_of
from app.colours import Colours, colours
from app.question import Question, offer

TIMEOUT_S = 1200


def noise_view(artifact: str, key: str) -> None:
    """Offers the measurement for the int8 file `artifact`, and draws it."""
    question = Question(
        "What int8 costs, layer by layer",
        ":material/troubleshoot:",
        "Puts the file's rounding into its float twin one layer at a time and looks at the logits, on 64 validation "
        "images. Some seconds for a small network.",
        "Find the layers",
        "Rounding one layer at a time",
        ("localise", artifact),
        TIMEOUT_S,
    )
    offer(question, key, lambda found: _draw(found, key))


def _draw(found: Mapping[str, Any], key: str) -> tuple[str, ...]:
    st.markdown(
        f"All its rounding together is {_percent(found['noise'])} of the logits' variance; it answers like the float "
        f"file on {words.percent(found['agreement'])} of {found['images']} validation images."
    )
    if not found["faults"]:
        st.success(
            f"No fault: no layer alone costs {_percent(found['worth_saying'])} or more.", icon=":material/check_circle:"
        )
    for one in found["faults"]:
        others = f" and {len(one['layers']) - 3} more" if len(one["layers"]) > 3 else ""
        st.warning(
            f"**{one['title'].capitalize()}** at {', '.join(one['layers'][:3])}{others}: {_percent(one['cost'])}. "
            f"{one['evidence'][:1].upper()}{one['evidence'][1:]}. What helps: {one['advice']}.",
            icon=":material/troubleshoot:",
        )
    places = found["places"]
    st.plotly_chart(
        costs(places, colours()), theme=None, key=f"{key}.costs", config=charts.CONFIG,
        alt="What the rounding of each layer alone costs at the logits, first layer left; the table holds the numbers",
    )  # fmt: skip
    st.plotly_chart(
        growth(places, colours()), theme=None, key=f"{key}.growth", config=charts.CONFIG,
        alt="Signal over noise of each tensor of the int8 file, first layer left",
    )  # fmt: skip
    with st.expander("All layers as a table", icon=":material/table_rows:"):
        st.dataframe([_row(one) for one in _worst_first(places)], hide_index=True, alt="Layers, the costliest first")
    for note in found["notes"]:
        st.caption(f"Note: {note}.")
    return ()


def costs(places: Sequence[Mapping[str, Any]], theme: Colours) -> go.Figure:
    """A bar per layer in the file's order: what its weights and its output cost at the logits."""
    figure = figure_of(theme, 280, "Cost at the logits, layer by layer", barmode="stack")
    for at, (part, name) in enumerate((("cost_output", "output"), ("cost_weights", "weights"))):
        figure.add_bar(
            x=[one["number"] for one in places], y=[one[part] or 0.0 for one in places], name=name,
            marker={"color": theme.series[at], "pattern": {"shape": ("", "/")[at]}},
            customdata=[[_name(one), one["operator"]] for one in places],
            hovertemplate="%{customdata[0]}, %{customdata[1]}<br>%{y:.3%} of the variance<extra>" + name + "</extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="operator of the file", showgrid=False)
    figure.update_yaxes(tickformat=".2%", rangemode="tozero")
    return figure


def growth(places: Sequence[Mapping[str, Any]], theme: Colours) -> go.Figure:
    """Signal over noise in decibels: of the rounding of each tensor alone, and of what has come together there."""
    figure = figure_of(theme, 260, "Signal over noise of each tensor (dB)")
    for at, (part, name, dash) in enumerate(
        (("reached", "in the int8 file", "solid"), ("noise", "its own rounding", "dot"))
    ):
        figure.add_scatter(
            x=[one["number"] for one in places], y=[_decibels(one[part]) for one in places], name=name, mode="lines",
            line={"color": theme.series[at], "dash": dash},
            customdata=[_name(one) for one in places],
            hovertemplate="%{customdata}: %{y:.0f} dB<extra>" + name + "</extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="operator of the file", showgrid=False)
    return figure


def _worst_first(places: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(places, key=lambda one: -(one["cost"] or 0.0))


def _row(one: Mapping[str, Any]) -> dict[str, Any]:
    values = one["values"]
    return {
        "layer": _name(one),
        "operator": one["operator"],
        "cost": _percent(one["cost"]) if one["cost"] is not None else "not tried",
        "of its weights": _percent(one["cost_weights"]) if one["cost_weights"] is not None else "–",
        "range": f"{values['low']:.3g} to {values['high']:.3g}",
        "values": f"{values['least']:.3g} to {values['most']:.3g}",
        "cut off": words.percent(values["clipped"]),
        "widest channel": f"{values['spread']:.1f} x",
        "dB": round(_decibels(one["reached"]) or 0.0, 1),
    }


def _name(one: Mapping[str, Any]) -> str:
    return str(one["layer"] or "logits")


def _decibels(noise: float | None) -> float | None:
    return None if not noise else -10 * log10(noise)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
