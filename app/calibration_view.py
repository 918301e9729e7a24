"""The calibration lab of a run: accuracy and noise of int8 by number of images, and the best file written at once."""

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
from app.twin import line
from pipelines.calibrate import CalibrationSettings

TIMEOUT_S = 3600
KINDS = {"min_max": "least to greatest", "percentile": "99.99 %", "mse": "least squared error"}


def calibration_view(run: str, key: str, adopt: Callable[[dict[str, Any]], None]) -> None:
    """Offers the lab for the last float model of `run`; `adopt` writes a file with the settings that were found."""

    def draw(found: Answer) -> list[str]:
        chosen = best_of(found)
        _draw(found, chosen, key, adopt)
        flags = ("--calibration-images", chosen["calibration_images"], "--ranges", chosen["ranges"])
        return [line("export", run, "--format", "tflite_int8", *flags)]

    question = Question(
        "How many calibration images int8 needs, and which ranges",
        ":material/science:",
        "Writes int8 files with 8 to 400 training images, three draws each, and with three kinds of ranges, and judges "
        "them on validation images. About half a minute for a small network.",
        "Try them",
        "Writing and judging int8 files",
        ("calibrate", run),
        TIMEOUT_S,
        CalibrationSettings,
    )
    offer(question, key, draw)


def best_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the export step: the most images that were tried, and the ranges of least noise."""
    return {"calibration_images": max(one["images"] for one in found["summary"]), "ranges": found["best_ranges"]}


def _draw(
    found: Mapping[str, Any], chosen: dict[str, Any], key: str, adopt: Callable[[dict[str, Any]], None]
) -> None:
    safe, ranges = found["smallest_safe"], found["best_ranges"]
    if safe is None:
        st.warning("No size is safe: the draws differ too much. Give more images.", icon=":material/warning:")
    else:
        st.success(
            f"{safe} images are enough: from there on no draw loses more than {found['margin']:g} points, or has more "
            f"than {found['noise_times']:g} times the noise of the most. Least noise: {KINDS[ranges]}.",
            icon=":material/check_circle:",
        )
    sizes = [one for one in found["summary"] if one["ranges"] == "min_max"]
    st.plotly_chart(
        by_size(sizes, found["float_top1"], colours()), theme=None, key=f"{key}.sizes", config=charts.CONFIG,
        alt="Top-1 of the int8 file by number of calibration images, with intervals over the draws",
    )  # fmt: skip
    st.dataframe(
        [
            {
                "images": one["images"],
                "ranges": KINDS[one["ranges"]],
                "top-1": words.accuracy(one["top1"], one["low"], one["high"]),
                "same answer as float": words.percent(one["agreement"]),
                "noise of the logits": f"{100 * one['noise']:.2g} %",
            }
            for one in found["summary"]
        ],
        hide_index=True,
        alt="Calibrations, mean over the draws",
    )
    st.button(
        f"Write int8 with {chosen['calibration_images']} images, {KINDS[ranges]}",
        icon=":material/bolt:",
        key=f"{key}.adopt",
        on_click=adopt,
        args=(chosen,),
        help="A job of its own; the model is not trained again",
    )


def by_size(sizes: Sequence[Mapping[str, Any]], whole: float, theme: Colours) -> go.Figure:
    """Mean top-1 over the number of images, with the interval over the draws; dotted: the float file."""
    figure = figure_of(theme, 280, "Top-1 by number of calibration images")
    figure.add_scatter(
        x=[str(one["images"]) for one in sizes],
        y=[one["top1"] for one in sizes],
        mode="lines+markers",
        name="int8",
        line={"color": theme.series[0]},
        error_y={
            "type": "data", "symmetric": False, "thickness": 1.2, "width": 3,
            "array": [one["high"] - one["top1"] for one in sizes],
            "arrayminus": [one["top1"] - one["low"] for one in sizes],
        },
        hovertemplate="%{x} images: %{y:.2%}<extra></extra>",
    )  # fmt: skip
    figure.add_hline(y=whole, line={"color": theme.quiet, "dash": "dot", "width": 1})
    figure.update_xaxes(title_text="calibration images", type="category")
    figure.update_yaxes(tickformat=".1%")
    return figure
