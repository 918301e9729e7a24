"""What attacks leave of the accuracy of models and of their int8 files, and whether the figures can be believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app import charts, words
from app.charts import figure_of
from app.colours import Colours, colours
from app.question import Question, offer
from pipelines.robustness import RobustnessSettings, failures
from pipelines.runs import Registry, Run

TIMEOUT_S = 3600
IMAGES = 300
WHAT = {"model": "model", "tflite_int8": "int8 file"}
TITLES = {
    ("model", "fgsm"): "model, one step (fgsm)",
    ("model", "pgd"): "model, many steps (pgd)",
    ("tflite_int8", "fgsm"): "int8 file, one step",
    ("tflite_int8", "pgd"): "int8 file, many steps",
}


def robustness_view(registry: Registry, run: Run, key: str) -> None:
    """Offers the attacks on the last float model of `run` and of runs on the same images, and draws what they leave."""
    question = Question(
        "What attacks leave of the accuracy",
        ":material/shield:",
        "Moves the pixels of test images a little, along the gradient of the run's last float model, so that it errs, "
        "and shows the same images to its int8 file. Then checks whether the attack was a fair one. Takes some minutes "
        "even for a small network. A run with defensive training is best compared with the one without.",
        "Attack",
        "Attacking the model",
        ("robustness", run.id),
        TIMEOUT_S,
        RobustnessSettings,
        {"images": IMAGES},
        others={one.id: f"{one.name} ({one.id})" for one in _comparable(registry, run)},
    )
    offer(question, key, lambda found: _draw(found, key))


def _comparable(registry: Registry, run: Run) -> list[Run]:
    done = registry.list(state="done")
    return [one for one in done if one.id != run.id and one.recipe.get("data") == run.recipe.get("data")]


def _draw(found: Mapping[str, Any], key: str) -> tuple[str, ...]:
    for name in found["runs"]:
        if len(found["runs"]) > 1:
            st.markdown(f"**{name}**")
        _draw_run(found, name, f"{key}.{name}")
    if found["differences"]:
        st.dataframe(
            [
                {
                    "run": row["name"], "answers": WHAT[row["what"]], "against": row["against"],
                    "pixels move by (of 255)": row["epsilon"],
                    "points": words.points(row["difference"], row["low"], row["high"]),
                }
                for row in found["differences"]
                if row["attack"] == "pgd"
            ],
            hide_index=True,
            alt="What is left under many steps, against the first run, in points with 95 % intervals",
        )  # fmt: skip
    return ()


def _draw_run(found: Mapping[str, Any], run: str, key: str) -> None:
    rows = [row for row in found["rows"] if row["name"] == run and row["made_on"] in ("-", run)]
    rows = [row for row in rows if (row["what"], row["attack"]) in TITLES or row["attack"] == "none"]
    rows = [row for row in rows if row["epsilon"] in (0, *found["settings"]["epsilons"])]
    st.plotly_chart(
        curves(rows, colours()),
        theme=None,
        key=f"{key}.curves",
        config=charts.CONFIG,
        alt="Top-1 on test images by how far each pixel may move, one line per attack, with 95 % intervals",
    )
    if failed := failures(found["checks"][run]):
        st.warning(
            "Do not believe these figures, the model hides its gradients or the attack is too weak: "
            + "; ".join(failed),
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


def curves(rows: list[Mapping[str, Any]], theme: Colours) -> go.Figure:
    """Top-1 over epsilon; every line begins at the images as they are.

    The lines of a model are broad, those of its int8 file narrow: where int8 costs nothing, one lies on the other.
    """
    figure = figure_of(theme, 340, "Accuracy under attack")
    for place, ((what, attack), title) in enumerate(TITLES.items()):
        its = [row for row in rows if row["what"] == what and row["attack"] in ("none", attack)]
        its = sorted(its, key=lambda row: row["epsilon"])
        if not its:
            continue
        broad = what == "model"
        figure.add_scatter(
            x=[row["epsilon"] for row in its], y=[row["top1"] for row in its], mode="lines+markers", name=title,
            error_y={
                "type": "data", "symmetric": False, "thickness": 1, "width": 3,
                "array": [row["high"] - row["top1"] for row in its],
                "arrayminus": [row["top1"] - row["low"] for row in its],
            },
            marker={"size": 10 if broad else 5, "symbol": charts.SYMBOLS[place % len(charts.SYMBOLS)]},
            line={"color": theme.series[place % len(theme.series)], "width": 5 if broad else 1.5,
                  "dash": "solid" if attack == "pgd" else "dot"},
            hovertemplate="%{x} of 255: %{y:.1%}<extra>" + title + "</extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="how far each pixel may move, in steps of 1/255", rangemode="tozero")
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
    return figure
