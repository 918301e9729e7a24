"""A run as it goes: steps, progress with time left, curves, log. Draws itself again while the run is not over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import streamlit as st

from app import charts, words
from app.colours import colours
from app.guard import guarded
from app.workspace import registry
from pipelines.runs import Run

EVERY_S = 1.0
SPLITS = {"train": "training", "validation": "validation"}
ICONS = {
    "done": ":material/check_circle:",
    "running": ":material/play_circle:",
    "waiting": ":material/radio_button_unchecked:",
}


def state_badge(run: Run) -> None:
    """The state as a word with colour and icon."""
    word, colour, icon = words.STATES[run.state]
    if run.state == "running" and run.cancel_asked:
        word, colour = "stopping", "orange"
    st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]


def follow(run: Run, draw: Callable[[Run], None]) -> None:
    """Calls `draw(run)` now and every second until the run is over; then the whole page once more.

    The time of the last look is kept by the browser session; the run itself goes on without anybody looking.
    """
    if run.is_final or run.state == "created":
        draw(run)
        return

    def tick() -> None:
        with guarded("progress"):
            now = registry().get(run.id)
            if now.is_final:
                st.rerun()
            draw(now)

    st.fragment(tick, run_every=EVERY_S)()


def draw_progress(run: Run) -> None:
    """Progress bar, time left, and the list of steps."""
    steps = [next(iter(step)) for step in run.recipe.get("steps", [])]
    records = {record.index: record for record in registry().steps(run.id)}
    progress = run.progress or {}
    at = int(progress.get("step") or 0)
    if run.state == "queued":
        ahead = registry().count(state="running")
        st.progress(0.0, text="Waiting for its turn" + (f" behind {ahead} running" if ahead else ""))
    elif run.state == "running":
        total = float(progress.get("total") or 0)
        share = min(1.0, float(progress.get("done") or 0) / total) if total > 0 else 0.0
        whole = min(1.0, (at + share) / max(1, len(steps)))
        left = progress.get("seconds_left")
        text = str(progress.get("message") or "starting")
        if left is not None:
            text += f" · about {words.duration(float(left))} left in this step"
        if run.started:
            text += f" · {words.duration(time.time() - run.started)} so far"
        if run.cancel_asked:
            text = "Stopping; the checkpoint is kept. " + text
        st.progress(whole, text=text)
    shown = []
    for place, name in enumerate(steps):
        record = records.get(place)
        state = (
            "done"
            if record and record.state == "done"
            else "running"
            if record and run.state == "running"
            else "waiting"
        )
        time_spent = f" {words.duration(record.seconds)}" if record and record.state == "done" else ""
        shown.append(f"{ICONS[state]} **{words.label_of(name)}** {state}{time_spent}")
    if shown:
        st.markdown(" &nbsp;→&nbsp; ".join(shown))


def series_of(run_id: str) -> dict[str, dict[tuple[str, str], list[tuple[float, float]]]]:
    """Curves of a run: what ("loss", "top1") -> (phase, split) -> points. Reads only what came since the last look."""
    kept: dict[str, Any] = st.session_state.setdefault("curves", {})
    state = kept.setdefault(run_id, {"since": 0, "points": {}})
    for metric in registry().metrics(run_id, since=state["since"]):
        state["since"] = max(state["since"], metric.id)
        state["points"][(metric.step, metric.name, metric.x)] = metric.value
    found: dict[str, dict[tuple[str, str], list[tuple[float, float]]]] = {"loss": {}, "top1": {}}
    for (_, name, x), value in state["points"].items():
        phase, _, what = name.partition(".")
        split, _, kind = what.rpartition("_")
        if kind in found:
            found[kind].setdefault((phase, SPLITS.get(split, split)), []).append((x, value))
    return found


def draw_followed(run: Run) -> None:
    """A job that a page has started, in a box of its own: name, progress, and why it failed."""
    with st.container(border=True):
        st.markdown(f"**{run.name}**")
        follow(run, draw_progress)
        draw_error(run)


def draw_curves(run: Run, key: str) -> None:
    """Loss and top-1 of training and validation, side by side."""
    found = series_of(run.id)
    if not any(found.values()):
        st.caption("Curves appear after the first epoch.")
        return
    left, right = st.columns(2)
    here = colours()
    summary = "; ".join(
        f"{phase} {split} ends at {max(points)[1]:.3f}" for (phase, split), points in found["top1"].items()
    )
    with left:
        st.plotly_chart(
            charts.curves(found["top1"], "Top-1 accuracy by epoch", here, share=True),
            theme=None,
            key=f"{key}.top1",
            config=charts.CONFIG,
            alt=f"Accuracy over epochs. {summary}",
        )
    with right:
        st.plotly_chart(
            charts.curves(found["loss"], "Loss by epoch", here),
            theme=None,
            key=f"{key}.loss",
            config=charts.CONFIG,
            alt="Loss over epochs",
        )


def draw_log(run: Run, lines: int = 60) -> None:
    """The end of the run's log."""
    text = registry().log(run.id, lines)
    st.code(text or "The log is empty so far.", language="log", height=260)


def draw_error(run: Run) -> None:
    """Why a run ended early, in words, by whose cause."""
    if run.state == "failed":
        if run.error_kind == "bug":
            st.error(
                f"This is our bug: {run.error}. The trace is in the run's log below.", icon=":material/bug_report:"
            )
        else:
            st.error(run.error or "It ended without a reason; the log below may say more.", icon=":material/error:")
    elif run.state == "cancelled":
        st.info(
            "Cancelled. Finished steps and the last checkpoint are kept: resume goes on from there.",
            icon=":material/pause_circle:",
        )
