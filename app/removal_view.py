"""What a step that removed channels did: what is left, layer by layer, and the accuracies that a reader should compare.

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

STAGES = {
    "validation_top1_before": "before the cut",
    "validation_top1_prepared": "trained towards the cut",
    "validation_top1_after_cut": "right after the cut",
    "validation_top1_after_recalibration": "norms put right",
    "validation_top1_after": "fine-tuned",
}
CONTROLS = {
    "random": "control: random channels, fine-tuned alike",
    "scratch_e": "control: small network from scratch, as many epochs in all",
    "scratch_b": "control: small network from scratch, as much work as with the dense one",
}


def removal_view(report: Mapping[str, Any], key: str) -> None:
    """Shows the report of one removal; nothing for a step that removed no channels."""
    if not {"layers", "macs_after"} <= report.keys() or "factored" in report:
        return
    st.markdown("**Channels removed**")
    sizes(report)
    st.plotly_chart(
        kept_channels(report["layers"], colours()),
        theme=None,
        key=f"{key}.kept",
        config=charts.CONFIG,
        alt="Channels kept and removed, by layer",
    )
    st.dataframe(accuracies(report), hide_index=True, height="content", alt="Validation accuracies and controls")
    if report.get("files"):
        st.dataframe(
            files(report["files"], report),
            hide_index=True,
            height="content",
            alt="Files before and after, timed in turn",
        )
    if report.get("timed"):
        with st.expander(f"How the cut was found: {len(report['timed'])} cuts timed", icon=":material/timer:"):
            st.dataframe(timed(report["timed"]), hide_index=True, height="content", alt="Cuts that were timed")
    if report.get("controls"):
        st.caption(
            "A criterion is worth what it gains over random channels and over the same network from scratch. One run "
            "of each says little: compare several seeds."
        )


def sizes(report: Mapping[str, Any]) -> None:
    """Multiply-adds and weights that are left, and what share of them that is."""
    with st.container(horizontal=True):
        for name, label in (("macs", "Multiply-adds"), ("params", "Weights")):
            before, after = report[f"{name}_before"], report[f"{name}_after"]
            change = f"{words.percent(after / before - 1)} of {words.amount(before)}"
            st.metric(label, words.amount(after), change, delta_color="off")


def accuracies(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """Rows of stage and validation accuracy, controls last."""
    found = [(label, report[name]) for name, label in STAGES.items() if name in report]
    found += [(CONTROLS.get(name, name), value) for name, value in report.get("controls", {}).items()]
    return [{"network": label, "top-1 on validation": words.accuracy(value)} for label, value in found]


def files(found: Mapping[str, Mapping[str, Any]], report: Mapping[str, Any]) -> list[dict[str, str]]:
    """Rows of format, bytes and time before and after, the ratio of times beside that of the multiply-adds."""
    macs = f"{report['macs_after'] / report['macs_before']:.2f} x" if report.get("macs_before") else "–"
    return [
        {
            "file": name,
            "size": f"could not be written: {row['error']}",
            "time": "–",
            "time ratio": "–",
            "macs ratio": macs,
        }
        if "error" in row
        else {
            "file": name,
            "size": f"{words.size(row['bytes_before'])} to {words.size(row['bytes_after'])}",
            "time": f"{words.milliseconds(row['ms_before'])} to {words.milliseconds(row['ms_after'])}",
            "time ratio": _ratio(row, row["verdict"] != "unstable"),
            "macs ratio": macs,
        }
        for name, row in found.items()
    ]


def timed(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Rows of the cuts that a target in time was found by, largest first."""
    return [
        {
            "multiply-adds": words.amount(row["macs"]),
            "time": f"{words.milliseconds(row['ms'])} of {words.milliseconds(row['dense_ms'])}",
            "time ratio": _ratio(row, row["stable"]),
        }
        for row in sorted(rows, key=lambda one: -float(one["level"]))
    ]


def _ratio(row: Mapping[str, Any], steady: bool) -> str:
    low, high = row["ratio_interval"]
    return words.times(row["ratio"], low, high, steady)


def kept_channels(layers: Sequence[Mapping[str, Any]], theme: Colours) -> go.Figure:
    """One bar per group of layers: what stayed, and on top of it what went."""
    names = [layer["layers"][0] for layer in layers]
    together = [f"{', '.join(layer['layers'])}: {layer['kept']} of {layer['channels']} channels" for layer in layers]
    figure = figure_of(theme, 300, "Channels by layer", barmode="stack", bargap=0.15)
    kept = [layer["kept"] for layer in layers]
    gone = [layer["channels"] - layer["kept"] for layer in layers]
    for label, values, marker in (
        ("kept", kept, {"color": theme.series[0]}),
        ("removed", gone, {"color": theme.panel, "line": {"color": theme.quiet, "width": 1}}),
    ):
        figure.add_bar(
            x=names, y=values, name=label, marker=marker, customdata=together,
            hovertemplate="%{customdata}<extra>" + label + "</extra>",
        )  # fmt: skip
    figure.update_yaxes(title_text="channels", rangemode="tozero")
    figure.update_xaxes(showgrid=False)
    if len(names) > 24:
        figure.update_xaxes(showticklabels=False, ticks="", title_text="layers, first to last")
    return figure
