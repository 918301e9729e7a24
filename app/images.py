"""A person's images: kept in the home, checked in the data room's sandbox, summed up on screen."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from app import charts, uploads, words
from app.colours import colours
from app.workspace import registry
from pipelines.data import describe, open_dataset, preview

MOST_SHOWN = 200


def keep_upload(upload: Any) -> str:
    """Stores an uploaded zip and returns it as a data source."""
    return f"zip:{uploads.keep(upload, '.zip')}"


def check(source: str, **settings: Any) -> dict[str, Any]:
    """Opens a data source with a progress bar and gives its summary with previews. Raises ValueError."""
    bar = st.progress(0.0, text="Looking through the images")

    def report(done: int, total: int) -> None:
        # Also the point where leaving the page stops the work: drawing on a closed page raises.
        bar.progress(
            min(1.0, done / total) if total else 0.0,
            text=f"{done:,} of {total:,} images" if total else f"{done:,} entries",
        )

    try:
        data = open_dataset(source, cache=registry().home.cache, progress=report, **settings)
    finally:
        bar.empty()
    summary = describe(data)
    summary["previews"] = {name: strip(images) for name, images in list(preview(data, 4).items())[:24]}
    return summary


def strip(images: np.ndarray, side: int = 72) -> np.ndarray:
    """Images `(n, height, width, channels)` side by side as one picture, small ones enlarged without smoothing."""
    if len(images) == 0:
        return np.full((side, side, 3), 128, np.uint8)
    factor = max(1, side // images.shape[1])
    large = images.repeat(factor, 1).repeat(factor, 2)
    if large.shape[-1] == 1:
        large = large.repeat(3, -1)
    gap = np.full((large.shape[1], 4, 3), 255, np.uint8)
    return np.concatenate([part for image in large for part in (image, gap)][:-1], axis=1)


def show_summary(summary: dict[str, Any], key: str) -> None:
    """Health of a set: classes, counts, balance, what was set aside, a few images of each class."""
    columns = st.columns(4)
    columns[0].metric("Images", f"{summary['images']:,}")
    columns[1].metric("Classes", len(summary["classes"]))
    columns[2].metric(
        "Size",
        f"{summary['resolution'][0]} x {summary['resolution'][1]}",
        help="As prepared here; Build may choose another",
    )
    columns[3].metric("Set aside", len(summary["problems"]))
    split = summary["splits"]
    st.caption(
        f"Split: {split['train']['images']:,} to train, {split['validation']['images']:,} to choose on, "
        f"{split['test']['images']:,} kept aside for the final judgement. "
        f"{'Grey' if summary['channels'] == 1 else 'Colour'}."
    )
    ratio = summary["balance"]["ratio"]
    if ratio >= 3:
        st.warning(
            f"Class {summary['balance']['largest']} has {ratio:g} times as many images as "
            f"{summary['balance']['smallest']}. "
            "Set class weights to balanced in the train step.",
            icon=":material/balance:",
        )
    for note in summary["notes"]:
        st.info(note, icon=":material/info:")
    if summary["problems"]:
        with st.expander(
            f"{len(summary['problems'])} files set aside",
            icon=":material/report:",
            expanded=len(summary["problems"]) <= 5,
        ):
            st.dataframe(summary["problems"][:MOST_SHOWN], hide_index=True, alt="Files that are not used and why")
            if len(summary["problems"]) > MOST_SHOWN:
                st.caption(f"The first {MOST_SHOWN} of {len(summary['problems'])}.")
    left, right = st.columns([3, 2])
    with left:
        st.plotly_chart(
            charts.class_counts(split, colours()),
            theme=None,
            key=f"{key}.counts",
            config=charts.CONFIG,
            alt="Images per class and split",
        )
    with right, st.container(height=300, border=True):
        for name, picture in summary["previews"].items():
            st.image(picture, caption=name, alt=f"Example images of class {name}")


def known_sources() -> list[str]:
    """Sources a person can pick without typing: those without a path, and the uploads of this home."""
    from pipelines.data import SOURCES

    zips = sorted(uploads.folder().glob("*.zip"), key=lambda path: -path.stat().st_mtime)
    return [name for name, source in SOURCES.items() if not source.takes_path] + [f"zip:{path}" for path in zips]


def source_label(source: str) -> str:
    """A data source in a picker."""
    from pipelines.data import SOURCES

    kind, _, path = source.partition(":")
    return f"{words.source_name(source)} ({kind})" if path else SOURCES[kind].title if kind in SOURCES else source
