"""One picture through several files: prepared as each contract says, run by the files themselves, kept by content."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import streamlit as st

from app.workspace import registry
from exports import Contract, measure, predict
from pipelines.data import Dataset, open_dataset, read_picture
from pipelines.runs import ArtifactRecord

TOP = 5


def input_shape(item: ArtifactRecord) -> tuple[int, int, int]:
    """(height, width, channels) that a file takes."""
    image = (item.contract or {})["input"]
    return image["height"], image["width"], image["channels"]


@st.cache_data(max_entries=64, show_spinner="Reading the picture")
def prepared(content: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """A person's picture as pixels uint8 of `shape`, decoded in the sandbox like a data set's. Raises ValueError."""
    return read_picture(content, resolution=shape[:2], channels=shape[2])


@st.cache_resource(max_entries=4, show_spinner="Opening the images")
def _dataset(settings: str, cache: str) -> Dataset:
    from pathlib import Path

    return open_dataset(**json.loads(settings), cache=Path(cache))


def dataset(recipe: dict[str, Any], shape: tuple[int, int, int]) -> Dataset:
    """The images of a recipe at the size a file takes. The split does not depend on the size. Raises ValueError."""
    data = recipe["data"]
    settings = {key: data[key] for key in ("source", "split_seed", "validation", "test") if key in data}
    settings |= {"resolution": list(shape[:2]), "channels": shape[2]}
    return _dataset(json.dumps(settings, sort_keys=True), str(registry().home.cache))


def answers(item: ArtifactRecord, pixels: np.ndarray) -> list[tuple[str, float]]:
    """The likeliest classes of one picture and their softmax shares, best first."""
    logits = _logits(item.sha256, json.dumps(item.contract, sort_keys=True), pixels.tobytes(), pixels.shape)
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    labels = (item.contract or {})["labels"]
    return [(labels[at], float(shares[at])) for at in np.argsort(-shares)[:TOP]]


@st.cache_data(max_entries=512, show_spinner=False)
def _logits(sha256: str, contract: str, content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    pixels = np.frombuffer(content, np.uint8).reshape(1, *shape)
    return predict(registry().home.store.path_of(sha256), Contract.from_dict(json.loads(contract)), pixels, workers=1)[
        0
    ]


def timed(items: list[ArtifactRecord]) -> dict[str, dict[str, Any]]:
    """Artifact id -> its row of one interleaved measurement, made now and kept until asked for again."""
    key = "trial.times:" + hashlib.sha256(",".join(item.sha256 for item in items).encode()).hexdigest()
    if key not in st.session_state:
        store = registry().home.store
        report = measure(
            [(store.path_of(item.sha256), Contract.from_dict(item.contract or {})) for item in items], rounds=8
        )
        st.session_state[key] = {item.id: row for item, row in zip(items, report.as_dict()["rows"], strict=True)}
    return st.session_state[key]


def enlarged(pixels: np.ndarray, side: int = 200) -> np.ndarray:
    """Pixels as large squares, without smoothing: exactly what a file sees."""
    factor = max(1, side // max(pixels.shape[:2]))
    large = pixels.repeat(factor, 0).repeat(factor, 1)
    return large[..., 0] if large.shape[-1] == 1 else large
