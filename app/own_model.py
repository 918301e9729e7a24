"""A person's own Keras model as the beginning of a plan: uploaded or named, checked in a child, kept in the home."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from app import uploads, words
from app.draft import Draft
from app.guard import guarded
from exports import import_model
from exports.keras_config import RANGES
from exports.keras_weights import SUFFIXES

RANGE_WORDS = {
    "0..1": "0 to 1 (divided by 255)",
    "-1..1": "-1 to 1 (MobileNet, Inception of keras.applications)",
    "0..255": "0 to 255 (as they are)",
}
MOST_MB = 500
CHECKED = "build.own_model"  # in the session: (path, range) -> what was read


def own_model_form(plan: Draft, key: str) -> None:
    """Asks for the file and its range of pixels; when both are right, the plan begins with that model."""
    st.caption(
        "A .keras or .h5 file of Keras 2, Keras 3 or tf_keras that classifies images. It is read as numbers; nothing "
        "of it is run. Its classes must be those of your images, in the order of their names."
    )
    upload = st.file_uploader(
        "Model file", type=[suffix[1:] for suffix in SUFFIXES], key=f"{key}.upload", max_upload_size=MOST_MB
    )
    typed = st.text_input(
        "Or its path on this machine", key=f"{key}.path", placeholder="/path/to/model.h5",
        value=_path_of(plan) if upload is None else "",
    )  # fmt: skip
    ranges = list(RANGES)
    now = plan.values.get("start_range") or "0..1"
    chosen = st.selectbox(
        "Range of pixels it was trained on",
        ranges,
        index=ranges.index(now),
        key=f"{key}.range",
        format_func=RANGE_WORDS.__getitem__,
        help="A wrong range costs most of the accuracy: the first step shows what the model reaches on your images",
    )
    path = uploads.keep(upload, Path(upload.name).suffix) if upload is not None else Path(typed) if typed else None
    if path is None:
        plan.values["start"] = None
        return
    with guarded("the model file"):
        found = _checked(path, chosen)
        height, width, channels = found["input_shape"]
        plan.values["start"], plan.values["start_range"] = f"file:{path}", chosen
        wanted = {"resolution": height if height == width else [height, width], "channels": channels}
        if any(plan.values["data"].get(name) != value for name, value in wanted.items()):
            plan.values["data"] |= wanted
            plan.version += 1
            st.rerun()  # the fields of the images stand above and must show the size that the model wants
        st.success(
            f"{path.name}: {words.amount(found['params'])} params in {found['layers']} layers, "
            f"{height} x {width} {'grey' if channels == 1 else 'colour'} to {found['classes']} classes.",
            icon=":material/check_circle:",
        )
        for note in found["notes"]:
            st.caption(f"Note: {note}.")
        if found["barriers"]:
            st.warning(
                "No channel in front of these layers can be removed: " + ", ".join(found["barriers"][:5]),
                icon=":material/block:",
            )


def _path_of(plan: Draft) -> str:
    start = str(plan.values.get("start") or "")
    return start.removeprefix("file:") if start.startswith("file:") else ""


def _checked(path: Path, input_range: str) -> dict[str, Any]:
    """What the file holds; read once per file and range in a session. Raises ValueError."""
    stamp = path.stat().st_mtime_ns if path.is_file() else 0
    kept = st.session_state.setdefault(CHECKED, {})
    asked = (str(path), stamp, input_range)
    if asked not in kept:
        with st.spinner("Reading the model"):
            kept[asked] = import_model(path, input_range=input_range).as_dict()
    found: dict[str, Any] = kept[asked]
    return found
