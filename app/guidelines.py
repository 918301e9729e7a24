"""The guidelines of one design: what the linter found, and which layers wait for memory on a target."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app import words
from app.charts import CONFIG, figure_of
from app.colours import Colours, colours
from app.costs import Choice, sketched
from app.forms import settings_form
from app.guard import guarded
from pipelines.lint import LintSettings, thresholds
from zoo import lint

ELEMENTS = {4: "float32, 4 bytes", 1: "int8, 1 byte"}
SHOWN = {"G1": "equal widths", "G2": "group convolution", "G3": "fragments", "G4": "element-wise work"}


@st.fragment
def guidelines(choice: Choice) -> None:
    """Draws findings and roofline of a design; what is chosen here reruns nothing else."""
    sketch = sketched(choice)
    st.caption(
        "What a network wastes, read off its layers before anything is trained: the four guidelines of "
        "arXiv:1807.11164 and some checks of our own. Bytes are predicted, not measured."
    )
    element_bytes = st.segmented_control(
        "Numbers", list(ELEMENTS), default=4, required=True, key="guidelines.bytes", format_func=ELEMENTS.__getitem__,
        help="Bytes of one weight or activation: those of the file you will ship",
    ) or 4  # fmt: skip
    with st.expander("Limits of the rules", icon=":material/tune:"):
        filled = settings_form(LintSettings, st.session_state.get("guidelines.kept", {}), "guidelines.limits")
    if filled.mistakes:
        return
    st.session_state["guidelines.kept"] = filled.values
    limits = thresholds(filled.values)
    traffic = lint.Traffic(sketch, element_bytes, True)
    report = lint.report(traffic, lint.look(traffic, limits))
    _summary(report)
    _findings(report["findings"])
    _roofline(choice, traffic)


def _summary(report: dict[str, Any]) -> None:
    with st.container(horizontal=True):
        for name, title in SHOWN.items():
            broken = name in report["breaks"]
            st.badge(
                f"{name} {title}: {'broken' if broken else 'kept'}",
                icon=":material/warning:" if broken else ":material/check:",
                color="orange" if broken else "green",
            )
    first, second, third, fourth = st.columns(4)
    first.metric(
        "Saveable bytes", words.percent(report["saveable_share"]),
        help="Share of all bytes moved that keeping G1 to G4 would save; no byte counted twice",
    )  # fmt: skip
    second.metric(
        "Element-wise share", words.percent(report["elementwise_share"]),
        help="Bytes moved by additions, activations that stand alone and depthwise convolutions",
    )  # fmt: skip
    third.metric(
        "Rearranged", words.percent(report["rearranged_share"]),
        help="Bytes that concatenations, slices, shuffles and padding move. No rule judges them: a runtime that plans "
        "in place may do it for nothing",
    )  # fmt: skip
    fourth.metric(
        "Branches side by side", str(report["fragmentation_degree"]),
        help="The most convolutions between a split and its merge",
    )  # fmt: skip


def _findings(found: list[dict[str, Any]]) -> None:
    if not found:
        st.success("Nothing to find fault with at these limits.", icon=":material/check_circle:")
        return
    rules = list(dict.fromkeys(row["rule"] for row in found))
    chosen = st.pills(
        "Rules", rules, default=rules, selection_mode="multi", key="guidelines.rules",
        format_func=lambda name: f"{name} ({sum(row['rule'] == name for row in found)})",
    )  # fmt: skip
    rows = [
        {**row, "title": lint.RULES[row["rule"]].title, "saving_share": 100 * row["saving_share"]}
        for row in found
        if row["rule"] in (chosen or rules)
    ]
    st.dataframe(
        rows,
        hide_index=True,
        height=min(420, 38 + 35 * max(1, len(rows))),
        column_order=["rule", "layer", "evidence", "saving_bytes", "saving_share"],
        column_config={
            "rule": st.column_config.TextColumn("rule", width="small"),
            "evidence": st.column_config.TextColumn("evidence", width="large"),
            "saving_bytes": st.column_config.NumberColumn("would save (bytes)", format="localized"),
            "saving_share": st.column_config.NumberColumn("of all bytes", format="%.1f %%"),
        },
        alt="Findings of the linter",
    )
    with st.expander("What counts as saveable", icon=":material/help:"):
        st.markdown("\n".join(f"- **{name}** {lint.RULES[name].title}. {lint.RULES[name].saves}" for name in rules))
        st.caption("Dead kernels and channels need trained weights: `lint RUN` on the command line looks for them.")


def _roofline(choice: Choice, traffic: lint.Traffic) -> None:
    st.markdown("##### Roofline")
    name = st.selectbox(
        "Target", list(lint.PROFILES), key="guidelines.profile", format_func=lambda one: lint.PROFILES[one].title,
        help="Peak figures of a kind of device; change them to yours below",
    )  # fmt: skip
    usual = lint.PROFILES[name]
    peak = "int8_gops" if traffic.element_bytes == 1 else "float_gops"
    first, second = st.columns(2)
    ops = first.number_input(
        "Peak arithmetic (10^9 operations a second)", value=float(getattr(usual, peak)), step=1.0, format="%g",
        key=f"guidelines.{name}.{peak}", help="One multiply-add is two operations",
    )  # fmt: skip
    bandwidth = second.number_input(
        "Memory (10^9 bytes a second)", value=float(usual.bandwidth_gbs), step=1.0, format="%g",
        key=f"guidelines.{name}.bandwidth", help="Peak bandwidth of the memory that weights and activations lie in",
    )  # fmt: skip
    with guarded("the roofline"):
        mine: dict[str, Any] = {peak: ops, "bandwidth_gbs": bandwidth}
        profile = replace(usual, **mine)
        drawn = lint.of_traffic(traffic, profile)
        st.plotly_chart(
            picture(drawn, f"{choice.title} on {usual.title}", colours()), theme=None, key="guidelines.roofline",
            config=CONFIG, alt="Operations per byte and attainable speed per layer; the table below has the numbers",
        )  # fmt: skip
        st.markdown(
            f"At the least **{words.milliseconds(1000 * drawn.seconds)}** for one image (predicted lower bound); "
            f"**{words.percent(drawn.memory_bound_share)}** of it in layers that wait for memory: fewer multiply-adds "
            f"would not make those faster. Energy: **{1000 * drawn.energy_low_j:.3g} to "
            f"{1000 * drawn.energy_high_j:.3g} mJ** for one image, an estimate from 45 nm figures "
            "(Horowitz, ISSCC 2014) that compares designs and promises nothing about a chip of today."
        )
        st.caption(f"{usual.title}: {usual.origin}.")
        with st.expander("Layers on this target", icon=":material/table_rows:"):
            st.dataframe(
                [
                    {"layer": row["name"], "bound by": row["bound"],
                     "operations per byte": round(row["intensity"], 2),
                     "share of time %": round(100 * row["seconds_share"], 2),
                     "bytes": row["bytes"], "macs": row["macs"]}
                    for row in drawn.layers
                ],
                hide_index=True, height=320, alt="Roofline of each layer",
            )  # fmt: skip
    pairs = lint.pairs(traffic)
    if pairs:
        with st.expander("What the depthwise separable pairs save", icon=":material/call_split:"):
            st.caption("Against one full convolution: 1/N + 1/K² of its multiply-adds (arXiv:1704.04861, section 3.1).")
            st.dataframe(pairs, hide_index=True, height=320, alt="Separable pairs and their saving")


def picture(drawn: lint.Roofline, title: str, colours: Colours) -> go.Figure:
    """Layers under the roof: operations per byte against attainable operations a second."""
    figure = figure_of(colours, 360, title)
    peak, bandwidth = drawn.profile.peak(drawn.element_bytes) / 1e9, drawn.profile.bandwidth_gbs
    rows = [row for row in drawn.layers if row["macs"]]
    left = min([row["intensity"] for row in rows] + [drawn.ridge]) / 2
    right = max([row["intensity"] for row in rows] + [drawn.ridge]) * 2
    figure.add_scatter(
        x=[left, drawn.ridge, right], y=[left * bandwidth, peak, peak], mode="lines", name="roof",
        line={"color": colours.quiet, "width": 2}, hoverinfo="skip",
    )  # fmt: skip
    for bound, symbol, colour in (("memory", "diamond", colours.series[1]), ("compute", "circle", colours.series[0])):
        part = [row for row in rows if row["bound"] == bound]
        figure.add_scatter(
            x=[row["intensity"] for row in part],
            y=[min(peak, row["intensity"] * bandwidth) for row in part],
            mode="markers",
            name=f"bound by {bound}",
            marker={
                "symbol": symbol, "color": colour, "opacity": 0.8,
                "size": [6 + 60 * row["seconds_share"] ** 0.5 for row in part], "sizemode": "diameter",
            },
            customdata=[[row["name"], row["seconds_share"]] for row in part],
            hovertemplate="%{customdata[0]}<br>%{x:.3g} operations per byte<br>%{customdata[1]:.1%} of the time"
            "<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(type="log", title_text="operations per byte moved")
    figure.update_yaxes(type="log", title_text="10^9 operations a second, at most")
    return figure
