"""What attacks leave of the accuracy of a run's model and of its int8 file, and whether the figures can be believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app import charts, words
from app.charts import figure_of
from app.colours import Colours, colours
from app.question import Question, offer

TIMEOUT_S = 1800
IMAGES = 300
TITLES = {
    ("model", "fgsm"): "model, one step (fgsm)",
    ("model", "pgd"): "model, many steps (pgd)",
    ("tflite_int8", "fgsm"): "int8 file, one step",
    ("tflite_int8", "pgd"): "int8 file, many steps",
}


def robustness_view(run: str, key: str) -> None:
    """Offers the attacks on the last float model of `run`, and draws what they leave."""
    question = Question(
        "What attacks leave of the accuracy",
        ":material/shield:",
        f"Moves the pixels of {IMAGES} test images a little, along the gradient of the run's last float model, so that "
        "it errs, and shows the same images to its int8 file. Then checks whether the attack was a fair one. Takes "
        "some minutes even for a small network.",
        "Attack",
        "Attacking the model",
        ("robustness", run, "--images", str(IMAGES)),
        TIMEOUT_S,
    )
    offer(question, key, lambda found: _draw(found, run, key))


def _draw(found: Mapping[str, Any], run: str, key: str) -> tuple[str, ...]:
    rows = [row for row in found["rows"] if (row["what"], row["attack"]) in TITLES or row["attack"] == "none"]
    rows = [row for row in rows if row["epsilon"] in (0, *found["settings"]["epsilons"])]
    st.plotly_chart(
        curves(rows, colours()),
        theme=None,
        key=f"{key}.curves",
        config=charts.CONFIG,
        alt="Top-1 on test images by how far each pixel may move, one line per attack, with 95 % intervals",
    )
    failed = [one for one in found["checks"][run] if not one["holds"]]
    if failed:
        st.warning(
            "Do not believe these figures: the model hides its gradients, or the attack is too weak. "
            + "; ".join(f"{one['check']}: {one['evidence']}" for one in failed),
            icon=":material/gpp_maybe:",
        )
    else:
        st.caption(f"All {len(found['checks'][run])} checks of the attack hold: nothing hints at hidden gradients.")
    table: dict[int, dict[str, Any]] = {}
    for row in rows:
        line = table.setdefault(row["epsilon"], {"pixels move by (of 255)": row["epsilon"]})
        attacks = (row["attack"],) if row["epsilon"] else ("fgsm", "pgd")
        for attack in attacks:
            line[TITLES[row["what"], attack]] = words.accuracy(row["top1"])
    st.dataframe(list(table.values()), hide_index=True, alt="The same as a table")
    return ()


def curves(rows: list[Mapping[str, Any]], theme: Colours) -> go.Figure:
    """Top-1 over epsilon; every line begins at the images as they are."""
    figure = figure_of(theme, 340, "Accuracy under attack")
    for place, ((what, attack), title) in enumerate(TITLES.items()):
        its = [row for row in rows if row["what"] == what and row["attack"] in ("none", attack)]
        its = sorted(its, key=lambda row: row["epsilon"])
        if not its:
            continue
        figure.add_scatter(
            x=[row["epsilon"] for row in its], y=[row["top1"] for row in its], mode="lines+markers", name=title,
            error_y={
                "type": "data", "symmetric": False, "thickness": 1, "width": 3,
                "array": [row["high"] - row["top1"] for row in its],
                "arrayminus": [row["top1"] - row["low"] for row in its],
            },
            marker={"size": 6, "symbol": charts.SYMBOLS[place % len(charts.SYMBOLS)]},
            line={"color": theme.series[place % len(theme.series)], "width": 2,
                  "dash": "solid" if attack == "pgd" else "dot"},
            hovertemplate="%{x} of 255: %{y:.1%}<extra>" + title + "</extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="how far each pixel may move, in steps of 1/255", rangemode="tozero")
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
    return figure
