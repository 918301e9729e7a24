"""Who got hurt: the change of every class against the baseline as bars, and the images that flipped, to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app import charts, trial, words
from app.charts import figure_of
from app.colours import Colours, colours
from app.guard import guarded
from app.workspace import registry
from exports import FORMATS
from pipelines.class_changes import changes_between, in_words

MOST_CLASSES = 40
MOST_IMAGES = 12


def hurt_view(rows: Sequence[Mapping[str, Any]], base: Mapping[str, Any]) -> None:
    """Lets a person pick one of the compared files and shows what each class lost or gained against `base`."""
    others = {row["id"]: row for row in rows if row.get("diff") is not None and row is not base}
    if not others:
        return
    st.subheader("Who got hurt", anchor=False)
    integer = next((one for one, row in others.items() if FORMATS[row["format"]].integer), next(iter(others)))
    picked = st.selectbox(
        "File, class by class against the baseline", list(others), index=list(others).index(integer),
        format_func=lambda one: others[one]["label"], key="compare.hurt",
    )  # fmt: skip
    found = _changes(str(registry().home.folder), base["id"], picked, base["dataset_sha256"])
    hurt = any(one["verdict"] == "hurt" for one in found["classes"])
    (st.warning if hurt else st.info)(in_words(found), icon=":material/healing:" if hurt else ":material/balance:")
    st.plotly_chart(
        bars(found["classes"], colours()), theme=None, key="compare.hurt.bars", config=charts.CONFIG,
        alt="Change of every class in points, with intervals that hold for all classes; the table holds the numbers",
    )  # fmt: skip
    with st.expander("All classes as a table", icon=":material/table_rows:"):
        st.dataframe([_row(one) for one in found["classes"]], hide_index=True, alt="Classes, the surest loss first")
    with st.expander(
        f"Images that flipped: {len(found['lost']):,} lost, {len(found['gained']):,} gained", icon=":material/flip:"
    ):
        if st.toggle("Show them", key="compare.hurt.show", help=f"The first {MOST_IMAGES} of each kind"):
            with guarded("opening the images"):
                _gallery(found, others[picked])


@st.cache_data(max_entries=64, show_spinner="Looking at every class")
def _changes(home: str, baseline: str, artifact: str, images: str) -> dict[str, Any]:
    return changes_between(registry(), baseline, artifact)


def bars(classes: Sequence[Mapping[str, Any]], theme: Colours) -> go.Figure:
    """Points gained or lost per class, the surest loss first; claimed changes are filled, all others hatched."""
    shown = list(classes[:MOST_CLASSES])
    figure = figure_of(theme, 300, "Change of each class", showlegend=False)
    claimed = [bool(one["verdict"]) for one in shown]
    figure.add_bar(
        x=[one["label"] for one in shown],
        y=[one["difference"] for one in shown],
        marker={
            "color": [theme.series[1] if one["difference"] < 0 else theme.series[0] for one in shown],
            "pattern": {"shape": ["" if one else "/" for one in claimed]},
        },
        error_y={
            "type": "data", "symmetric": False, "thickness": 1.2, "width": 3, "color": theme.quiet,
            "array": [one["high"] - one["difference"] for one in shown],
            "arrayminus": [one["difference"] - one["low"] for one in shown],
        },
        customdata=[[one["lost"], one["gained"], one["images"]] for one in shown],
        hovertemplate="%{x}: %{y:+.1%}<br>%{customdata[0]} lost, %{customdata[1]} gained of %{customdata[2]}"
        "<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(tickformat="+.1%", zeroline=True, zerolinecolor=theme.text)
    return figure


def _row(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "class": one["label"],
        "images": one["images"],
        "before": words.percent(one["before"]),
        "after": words.percent(one["after"]),
        "lost": one["lost"],
        "gained": one["gained"],
        "change": words.points(one["difference"], one["low"], one["high"]),
        "p (Holm)": round(one["p_value"], 4),
        "verdict": one["verdict"] or "–",
    }


def _gallery(found: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    item = registry().artifacts(id=found["artifact"])[0]
    data = trial.dataset(registry().get(row["run"]).recipe, trial.input_shape(item))
    test = data.splits["test"]
    if len(test.images) != found["images"]:
        st.warning("The images have changed since these files were judged.", icon=":material/image_not_supported:")
        return
    classes = row["classes"]
    for kind, title in (("lost", "Right before, wrong now"), ("gained", "Wrong before, right now")):
        st.markdown(f"**{title}**")
        if not found[kind]:
            st.caption("None.")
            continue
        with st.container(horizontal=True):
            for one in found[kind][:MOST_IMAGES]:
                given = f"{classes[one['before']]} → {classes[one['after']]}"
                st.image(
                    trial.enlarged(np.asarray(test.images[one["image"]]), 84), caption=given, width=84,
                    alt=f"Test image {one['image']}, a {classes[one['true']]}: {given}",
                )  # fmt: skip
