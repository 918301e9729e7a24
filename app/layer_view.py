"""Where in a network the cost is: a bar per stage, the layers of one stage on request, and a table to search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app import charts, words, zoo_charts
from app.colours import colours

WHAT = ("macs", "params", "memory_access_bytes")
MOST_LAYERS = 1500
ALL = "All stages"


@st.fragment
def layer_view(layers: Sequence[Mapping[str, Any]], title: str, key: str) -> None:
    """Stages, layers and the table of one network; what is chosen here reruns nothing else."""
    offered = offered_costs(layers)
    what = cost_picker(f"{key}.what", offered)
    stages = list(dict.fromkeys(str(layer["stage"]) for layer in layers))
    if st.session_state.get(f"{key}.stage") not in (ALL, *stages):
        st.session_state[f"{key}.stage"] = ALL
    counted = zoo_charts.stages_of(layers, what)
    st.plotly_chart(
        zoo_charts.per_stage(layers, what, f"{zoo_charts.AXES[what][0]} by stage", colours()),
        theme=None,
        key=f"{key}.stages",
        config=charts.CONFIG,
        on_select=lambda: _take_stage(key, stages),
        selection_mode="points",
        alt=f"{zoo_charts.AXES[what][0]} of each stage of {title}; the table below holds the numbers",
    )
    first, second = st.columns(2, gap="medium")
    stage = first.selectbox(
        "Stage",
        [ALL, *stages],
        key=f"{key}.stage",
        format_func=lambda one: one if one == ALL else f"{one} ({_share(counted, one)})",
        help="A click on a bar above chooses it as well",
    )
    search = second.text_input(
        "Search layers",
        key=f"{key}.search",
        placeholder="depthwise, expand, norm …",
        icon=":material/search:",
        help="Words of the layer's name or kind; all of them must be there",
    )
    found = [layer for layer in layers if stage in (ALL, layer["stage"])]
    if stage != ALL:
        st.plotly_chart(
            zoo_charts.per_layer(found, what, f"{stage}: {zoo_charts.AXES[what][0].lower()} by layer", colours()),
            theme=None,
            key=f"{key}.layers",
            config=charts.CONFIG,
            alt=f"{zoo_charts.AXES[what][0]} of each layer of {stage}",
        )
    wanted = (search or "").lower().split()
    found = [layer for layer in found if all(word in f"{layer['name']} {layer['kind']}".lower() for word in wanted)]
    if not found:
        st.info(f"No layer of this network has “{search}” in its name or kind.", icon=":material/search_off:")
        return
    table(found, layers, what, offered)


def offered_costs(layers: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What is known of the layers: their latency only on a calibrated machine."""
    return (*WHAT, *(["latency_ms"] if layers and "latency_ms" in layers[0] else []))


def cost_picker(key: str, offered: Sequence[str] = WHAT) -> str:
    """Which cost the bars show."""
    if st.session_state.get(key) not in (None, *offered):
        del st.session_state[key]
    picked = st.segmented_control(
        "Show",
        offered,
        default=WHAT[0],
        required=True,
        key=key,
        format_func=lambda one: zoo_charts.AXES[one][0],
    )
    return picked or WHAT[0]


def table(
    found: Sequence[Mapping[str, Any]], layers: Sequence[Mapping[str, Any]], what: str, offered: Sequence[str]
) -> None:
    """The layers as rows, with the share of `what` that each has in the whole network."""
    whole = sum(layer[what] for layer in layers) or 1
    rows = [
        {
            "layer": layer["name"],
            "stage": layer["stage"],
            "kind": layer["kind"],
            "output": " x ".join(map(str, layer["shape"])),
            **{one: layer[one] for one in offered},
            "share": 100 * layer[what] / whole,
        }
        for layer in found[:MOST_LAYERS]
    ]
    largest = max([row["share"] for row in rows], default=0) or 1
    st.dataframe(
        rows,
        hide_index=True,
        height=360,
        alt="Layers with their costs",
        column_config={
            "layer": st.column_config.TextColumn(pinned=True, width=200),
            **{
                one: st.column_config.NumberColumn(
                    _heading(one), format="%.4f" if one == "latency_ms" else "localized", help=zoo_charts.AXES[one][1]
                )
                for one in offered
            },
            "share": st.column_config.ProgressColumn(
                f"share of {zoo_charts.AXES[what][0].lower()}", format="%.1f %%", min_value=0, max_value=largest
            ),
        },
    )
    part = sum(layer[what] for layer in found)
    st.caption(
        f"{len(found)} of {len(layers)} layers, {words.percent(part / whole)} of all "
        f"{zoo_charts.AXES[what][0].lower()}. A norm or ReLU that a runtime folds away moves nothing of its own."
    )


def _heading(what: str) -> str:
    return {
        "macs": "multiply-adds", "params": "weights", "memory_access_bytes": "bytes moved",
        "latency_ms": "predicted ms",
    }[what]  # fmt: skip


def _share(counted: Mapping[str, Mapping[str, float]], stage: str) -> str:
    whole = sum(sum(kinds.values()) for kinds in counted.values()) or 1
    return words.percent(sum(counted.get(stage, {}).values()) / whole)


def _take_stage(key: str, stages: Sequence[str]) -> None:
    points = st.session_state[f"{key}.stages"].selection.points
    if points and points[0].get("x") in stages:
        st.session_state[f"{key}.stage"] = points[0]["x"]
