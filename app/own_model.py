"""A person's own Keras model as the beginning of a plan: uploaded or named, checked in a child, kept in the home."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from app import uploads, words
from app.draft import Draft
from app.guard import guarded
from exports import import_model
from exports.keras_config import RANGES
from exports.keras_import import MODEL_SUFFIXES

RANGE_WORDS = {
    "0..1": "0 to 1 (divided by 255)",
    "-1..1": "-1 to 1 (MobileNet, Inception of keras.applications)",
    "0..255": "0 to 255 (as they are)",
}
MOST_MB = 500
READ = "own_files"  # in the session: (path, when it was written, what else it depends on) -> what was read


def own_model_form(plan: Draft, key: str) -> None:
    """Asks for the file and its range of pixels; when both are right, the plan begins with that model."""
    st.caption(
        "A .keras or .h5 file of Keras 2, Keras 3 or tf_keras, or a SavedModel (its folder, or a zip of it), that "
        "classifies images. It is read as numbers; nothing of it is run. Its classes must be those of your images, in "
        "the order of their names."
    )
    path, _, chosen = file_and_range(
        "Model file", MODEL_SUFFIXES, key, placeholder="/path/to/model.h5", path=_path_of(plan),
        input_range=plan.values.get("start_range") or "0..1",
        help="A wrong range costs most of the accuracy: the first step shows what the model reaches on your images",
    )  # fmt: skip
    if path is None:
        plan.values["start"] = None
        return
    with guarded("the model file"):
        found = read_once(path, chosen, lambda: import_model(path, input_range=chosen).as_dict())
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


def file_and_range(
    label: str, suffixes: Sequence[str], key: str, *, placeholder: str, path: str, input_range: str, help: str
) -> tuple[Path | None, str, str]:
    """Asks for a file, uploaded or by its path, and for its range of pixels.

    Gives where it lies (None while there is none), its name without the suffix, and the range.
    """
    upload = st.file_uploader(
        label, type=[suffix[1:] for suffix in suffixes], key=f"{key}.upload", max_upload_size=MOST_MB
    )
    typed = st.text_input(
        "Or its path on this machine", key=f"{key}.path", placeholder=placeholder, value=path if upload is None else ""
    )
    ranges = list(RANGES)
    chosen = st.selectbox(
        "Range of pixels it was trained on", ranges, index=ranges.index(input_range), key=f"{key}.range",
        format_func=RANGE_WORDS.__getitem__, help=help,
    )  # fmt: skip
    if upload is not None:
        named = Path(str(upload.name))
        return uploads.keep(upload, named.suffix), named.stem, chosen
    return (Path(typed), Path(typed).stem, chosen) if typed else (None, "", chosen)


def read_once(path: Path, further: str, read: Callable[[], Any]) -> Any:
    """What `read` gives; asked once in a session for a file as it is, and what else it depends on. Raises as `read`."""
    kept = st.session_state.setdefault(READ, {})
    asked = (str(path), path.stat().st_mtime_ns if path.exists() else 0, further)
    if asked not in kept:
        with st.spinner(f"Reading {path.name}"):
            kept[asked] = read()
    return kept[asked]
