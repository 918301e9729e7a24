"""Bits for every layer of a run's model: files under budgets, what each layer would cost, and a choice to edit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app import charts, words
from app.background import Answer
from app.charts import figure_of
from app.colours import Colours, colours
from app.question import Question, offer
from app.remedies_view import accuracy_over_bytes
from app.twin import submitting
from exports.mixed_bits import BITS
from pipelines.judge import REFUSED, refusals
from pipelines.precision import PrecisionSettings, learned, precision_recipe
from pipelines.recipes import Recipe
from pipelines.runs import Registry

TIMEOUT_S = 3600


def precision_view(registry: Registry, run: str, key: str, adopt: Callable[[dict[str, Any]], None]) -> None:
    """Offers the search for the last float model of `run`; `adopt` queues the recipe of the bits that are chosen."""

    def draw(found: Answer) -> list[str]:
        return [submitting(Recipe.of(_draw(registry, found, key, adopt)).dump())]

    question = Question(
        "Bits for every layer",
        ":material/tune:",
        "Measures what 4-bit weights would cost in each layer, and writes files of 90, 80 and 70 % of the int8 file's "
        "bytes with the least loss. A minute for a small network. 4-bit weights save bytes, not time. There are also "
        "16-bit activations, float layers, budgets of bit operations or milliseconds, and an agent that searches.",
        "Try bits",
        "Measuring layers, then writing files",
        ("precision", run),
        TIMEOUT_S,
        PrecisionSettings,
        choices={"choices": list(BITS)},
    )
    offer(question, key, draw)


def _draw(
    registry: Registry, found: Mapping[str, Any], key: str, adopt: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    whole, rows, theme = found["float"], found["rows"], colours()
    tried = [row for row in rows if "top1" in row]
    st.markdown(
        f"Float32 has {words.accuracy(whole['top1'], whole['low'], whole['high'])} on {found['validation_images']:,} "
        f"validation images. Noise was measured on {found['noise_images']:,} of them."
    )
    st.plotly_chart(
        accuracy_over_bytes(tried, whole, theme), theme=None, key=f"{key}.chart", config=charts.CONFIG,
        alt="Top-1 of the files over their bytes, with intervals; dotted: the float file",
    )  # fmt: skip
    st.dataframe([_row(row) for row in rows], hide_index=True, alt="Files under the budgets")
    for sentence in refusals(rows):
        st.caption(sentence)
    if any("search" in row for row in rows):
        st.plotly_chart(
            best_by_episode(rows, theme), theme=None, key=f"{key}.search", config=charts.CONFIG,
            alt="Best choice of the agent so far by episode; dotted: as many at random; dashed: the greedy choice",
        )  # fmt: skip
        st.caption("Dotted: the best of as many choices at random; dashed: the greedy choice.")
        for sentence in learned(rows):
            st.caption(sentence)
    st.plotly_chart(
        noise_by_layer(found["layers"], theme), theme=None, key=f"{key}.noise", config=charts.CONFIG,
        alt="Noise that each layer alone brings to the logits, by its bits, on a logarithmic axis",
    )  # fmt: skip
    chosen = [row for row in tried if "bits" in row]
    titles = {row["name"]: row["title"] for row in chosen} | {"int8": "int8 in every layer"}
    name = st.selectbox("Begin from", list(titles), key=f"{key}.from", format_func=titles.__getitem__)
    given: dict[str, str] = next((row["bits"] for row in chosen if row["name"] == name), {})
    bits = _edited(found["layers"], given, f"{key}.edit.{name}")
    recipe = precision_recipe(registry, found, bits)
    st.button(
        "Write this file", icon=":material/bolt:", key=f"{key}.adopt", on_click=adopt, args=(recipe,),
        help="A job of its own; the model is not trained again",
    )  # fmt: skip
    return recipe


def _edited(layers: Sequence[Mapping[str, Any]], given: Mapping[str, str], key: str) -> dict[str, str]:
    """The bits of every layer, which may be changed; what an operator cannot have stays as it was, and is said."""
    able = list(dict.fromkeys(bits for layer in layers for bits in layer["bits"]))
    rows = [
        {"layer": layer["name"], "bits": given.get(layer["name"], "w8a8"), "weights": layer["weights"],
         "multiply-adds": layer["macs"], "can have": ", ".join(layer["bits"])}
        for layer in layers
    ]  # fmt: skip
    edited = st.data_editor(
        rows, hide_index=True, key=key, disabled=["layer", "weights", "multiply-adds", "can have"],
        column_config={"bits": st.column_config.SelectboxColumn(
            "bits", options=able, required=True, help="w: bits of weights, a: bits of activations"
        )},
    )  # fmt: skip
    bits = {}
    for layer, row in zip(layers, edited, strict=True):
        name, wanted = layer["name"], row["bits"]
        if wanted not in layer["bits"]:
            st.warning(f"{name} cannot have {wanted} and stays w8a8; it can have {', '.join(layer['bits'])}.")
            wanted = "w8a8"
        bits[name] = wanted
    return bits


def noise_by_layer(layers: Sequence[Mapping[str, Any]], theme: Colours) -> go.Figure:
    """A mark for each layer and bits: the noise of the logits when that layer alone has them."""
    figure = figure_of(theme, 440, "Noise of each layer alone, share of the logits' variance")
    able = dict.fromkeys(bits for layer in layers for bits in layer["bits"])
    for at, bits in enumerate(able):
        some = [layer for layer in layers if bits in layer["bits"] and layer["bits"][bits]["noise"] > 0]
        figure.add_scatter(
            x=[layer["name"] for layer in some], y=[layer["bits"][bits]["noise"] for layer in some], mode="markers",
            name=bits, marker={"size": 9, "symbol": charts.SYMBOLS[at % len(charts.SYMBOLS)],
                               "color": theme.series[at % len(theme.series)]},
            hovertemplate=f"%{{x}}, {bits}<br>%{{y:.2e}}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(type="log", dtick=1, exponentformat="power")
    figure.update_xaxes(showticklabels=len(layers) <= 12, title_text="layers in the order of the network")
    return figure


def best_by_episode(rows: Sequence[Mapping[str, Any]], theme: Colours) -> go.Figure:
    """A line for each budget that the agent searched, with what chance and the greedy choice came to."""
    figure = figure_of(theme, 340, "Best so far, dB of signal over noise")
    for at, row in enumerate(row for row in rows if "search" in row):
        found, colour = row["search"], theme.series[at % len(theme.series)]
        best = list(accumulate(found["rewards"], max))
        figure.add_scatter(
            x=list(range(1, len(best) + 1)), y=best, mode="lines", name=row["title"], line={"color": colour},
            hovertemplate=f"{row['title']}<br>episode %{{x}}: %{{y:.1f}} dB<extra></extra>",
        )  # fmt: skip
        for name, dash in (("random", "dot"), ("greedy", "dash")):
            figure.add_hline(y=found[name], line={"color": colour, "dash": dash, "width": 1})
    figure.update_xaxes(title_text="episodes")
    return figure


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    if "error" in row:
        return {"file": row["title"], "top-1": REFUSED}
    counts: dict[str, int] = {}
    for bits in row.get("bits", {}).values():
        counts[bits] = counts.get(bits, 0) + 1
    return {
        "file": row["title"],
        "top-1": words.accuracy(row["top1"], row["low"], row["high"]),
        "against float": words.points(row["against_float"], row["against_float_low"], row["against_float_high"]),
        "size": words.size(row["bytes"]),
        "time": "1" if "ratio" not in row else words.times(row["ratio"], row["ratio_low"], row["ratio_high"],
                                                           row["stable"]),
        "layers": ", ".join(f"{count} {bits}" for bits, count in counts.items()),
    }  # fmt: skip
