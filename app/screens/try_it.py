"""Try: one picture through several files, with their answers, their times and the very pixels they get."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import streamlit as st

from app import charts, trial, words
from app.colours import colours
from app.comparison import finished_runs
from app.guard import guarded
from app.twin import line, on_the_command_line
from app.workspace import passed_files, registry
from pipelines.runs import ArtifactRecord

MOST_FILES = 4


def pick_files() -> list[ArtifactRecord]:
    """The files to try; those of the run in the address line first."""
    runs = finished_runs(registry())
    asked = st.query_params.get("run")
    order = ([asked] if asked in runs else []) + [one for one in runs if one != asked]
    files = {
        item.id: item
        for one in order
        for item in sorted(passed_files([one]), key=lambda item: (-item.step, item.format))
    }
    if not files:
        return []
    first = next(iter(files.values())).run
    usual = [item.id for item in files.values() if item.run == first][:MOST_FILES]
    picked = st.multiselect(
        "Files",
        list(files),
        default=usual,
        max_selections=MOST_FILES,
        key="try.files",
        format_func=lambda one: f"{runs[files[one].run].name} · {files[one].format} · {files[one].run}",
    )
    return [files[one] for one in picked]


def another(count: int) -> None:
    st.session_state["try.number"] = random.randrange(count)


def test_pictures(files: list[ArtifactRecord]) -> tuple[dict[tuple[int, int, int], np.ndarray], str]:
    """The same test image at every size wanted, and its true class."""
    recipe = registry().get(files[0].run).recipe
    shapes = list(dict.fromkeys(trial.input_shape(item) for item in files))
    sets = {shape: trial.dataset(recipe, shape) for shape in shapes}
    test = sets[shapes[0]].splits["test"]
    st.session_state.setdefault("try.number", 0)
    st.session_state["try.number"] = min(st.session_state["try.number"], len(test) - 1)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        number = st.number_input(f"Test image, 0 to {len(test) - 1}", 0, len(test) - 1, step=1, key="try.number")
        st.button("Another one", icon=":material/casino:", on_click=another, args=(len(test),), key="try.another")
    truth = sets[shapes[0]].classes[int(test.labels[number])]
    return {shape: np.asarray(found.splits["test"].images[number]) for shape, found in sets.items()}, truth


def own_picture(way: str, files: list[ArtifactRecord]) -> dict[tuple[int, int, int], np.ndarray]:
    """A person's picture at every size wanted, empty before there is one."""
    if way == "camera":
        upload = st.camera_input("Take a picture", key="try.camera")
    else:
        upload = st.file_uploader(
            "Drop an image",
            key="try.upload",
            max_upload_size=50,
            help="JPEG, PNG, GIF, WebP, BMP, TIFF and more; opened in a process with limits",
        )
    if upload is None:
        return {}
    content = upload.getvalue()
    return {shape: trial.prepared(content, shape) for shape in dict.fromkeys(trial.input_shape(item) for item in files)}


def show(files: list[ArtifactRecord], pictures: dict[tuple[int, int, int], np.ndarray], truth: str | None) -> None:
    if truth is not None:
        st.markdown(f"True class: **{truth}**")
    columns = st.columns(min(len(files), 2), gap="large")
    for place, item in enumerate(files):
        with columns[place % len(columns)], st.container(border=True):
            shape = trial.input_shape(item)
            found = trial.answers(item, pictures[shape])
            verdict = "" if truth is None else ":green[right]" if found[0][0] == truth else ":red[wrong]"
            st.markdown(f"**{item.format}** · {item.run} · {words.size(item.bytes)}")
            st.markdown(f"### {found[0][0]} {verdict}")
            st.plotly_chart(
                charts.answers([name for name, _ in found], [share for _, share in found], colours(), place),
                theme=None,
                key=f"try.answers.{item.id}",
                config={"displayModeBar": False},
                alt=f"{item.format} answers {found[0][0]} with {found[0][1]:.0%}",
            )
            recorded = next(iter(registry().latencies(item.id)), None)
            if recorded:
                st.caption(
                    f"{words.milliseconds(recorded.report.get('median_ms'))} per image, "
                    f"measured alone on {words.measured_on(item.format)}"
                )
    with (
        st.expander("The exact pixels the files get", icon=":material/grid_on:", expanded=True),
        st.container(horizontal=True),
    ):
        for shape, pixels in pictures.items():
            st.image(
                trial.enlarged(pixels),
                caption=f"{shape[0]} x {shape[1]}, {'grey' if shape[2] == 1 else 'colour'}",
                alt="The picture as the files get it",
            )


def ratio(row: dict[str, Any]) -> str:
    low, high = row["ratio_interval"]
    return words.times(row["ratio"], low, high, row["stable"])


def times(files: list[ArtifactRecord]) -> None:
    busy = registry().count(state="running")
    if st.button(
        "Time these files now", icon=":material/timer:", key="try.time", help="Takes turns for about a second"
    ):
        st.session_state["try.timed"] = [item.id for item in files]
    if st.session_state.get("try.timed") != [item.id for item in files]:
        return
    with st.spinner("Timing in turns"):
        found = trial.timed(files)
    st.dataframe(
        [
            {
                "file": item.id,
                "per image": words.milliseconds(found[item.id]["median_ms"]),
                "to the first": "first" if place == 0 else ratio(found[item.id]),
            }
            for place, item in enumerate(files)
        ],
        hide_index=True,
        width="content",
        alt="Times of the files, just measured",
    )
    st.caption(
        "Just now on "
        + ", ".join(dict.fromkeys(words.measured_on(item.format) for item in files))
        + "."
        + (" A run is at work beside it, so these times are unsteady." if busy else "")
    )


st.title("Try")
st.markdown("One picture, several files: do they agree, and with what certainty?")
files = pick_files()
if not files:
    st.info(
        "No file to try yet, or none picked. Files appear here once they passed their gate.", icon=":material/inbox:"
    )
    st.page_link("screens/start.py", label="Make one from the demo set", icon=":material/bolt:")
else:
    way = st.segmented_control(
        "Picture",
        ["test", "upload", "camera"],
        default="test",
        required=True,
        key="try.way",
        format_func=lambda one: {"test": "A test image", "upload": "My image", "camera": "Camera"}[one],
    )
    with guarded("trying the files"):
        truth: str | None = None
        if way == "test":
            pictures, truth = test_pictures(files)
        else:
            pictures = own_picture(str(way), files)
        if pictures:
            show(files, pictures, truth)
            times(files)
on_the_command_line(
    [line("evaluate", "FILE.tflite", "--data", "folder:my_images"), line("measure", "A.tflite", "B.tflite")],
    "On the command line whole folders are judged; a single picture is a folder of one.",
)
