"""A finished file from elsewhere on the Compare page: named or uploaded, measured on the images of a run here."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app import words
from app.guard import guarded
from app.own_model import file_and_range, read_once
from app.progress import draw_followed
from app.twin import on_the_command_line, submitting
from app.workspace import registry, submit
from exports import FORMATS, read_finished
from exports.file_sketch import SUFFIXES
from pipelines.recipes import Recipe
from pipelines.runs import Run

FOLLOWED = "compare.adopting"
ADD = "compare.add"  # in the session: a run that is to be compared as well from the next look on


def adopt_view(beside: Run) -> None:
    """Offers to measure a file on the images of the run `beside`; when that is done the file is compared as well."""
    with st.expander("A file from elsewhere", icon=":material/note_add:"):
        st.caption(
            f"A finished .tflite or .onnx classifier is measured on the images of **{beside.name}** "
            f"(`{beside.recipe['data']['source']}`). What it was made from is not known, so it is held against no "
            "model. Its classes must be those of the images, in the order of their names."
        )
        path, name, chosen = file_and_range(
            "Finished file", SUFFIXES, "compare.adopt", placeholder="/path/to/net.tflite", path="",
            input_range="0..255", help="If another range fits the images better, the run says so",
        )  # fmt: skip
        if path is not None:
            with guarded("the file"):
                recipe = _recipe(path, name, chosen, beside)
                if st.button("Measure it", icon=":material/play_arrow:", type="primary", key="compare.adopt.go"):
                    (st.session_state[FOLLOWED],) = submit(recipe)
                on_the_command_line(submitting(recipe.dump()))
        _follow()


def _recipe(path: Path, name: str, input_range: str, beside: Run) -> Recipe:
    found = read_once(path, "finished", lambda: read_finished(path))
    height, width, channels = found.input_shape
    st.success(
        f"{FORMATS[found.format].title}, {height} x {width} {'grey' if channels == 1 else 'colour'} to "
        f"{found.classes} classes, {words.size(path.stat().st_size)}.",
        icon=":material/check_circle:",
    )
    return Recipe.of(
        {
            "name": name[:100],
            "data": {**beside.recipe["data"], "channels": channels,
                     "resolution": height if height == width else [height, width]},
            "steps": [{"adopt": {"file": str(path), "input_range": input_range}}, {"measure": {}}],
        }
    )  # fmt: skip


def _follow() -> None:
    new = st.session_state.get(FOLLOWED)
    if new is None:
        return
    run = registry().get(new)
    draw_followed(run)
    for step in registry().steps(new):
        for warning in (step.report or {}).get("warnings", []):
            st.warning(warning, icon=":material/help:")
    if run.is_final and st.session_state.get(f"{FOLLOWED}.shown") != new:
        st.session_state[f"{FOLLOWED}.shown"] = new
        if run.state == "done":
            st.session_state[ADD] = new
            st.rerun()
