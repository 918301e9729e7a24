"""How a prepared set lies on disk: one .npy per split, the manifest, and what else a Dataset says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.collection import Decoded
from pipelines.data.dataset import SPLITS, Dataset, Problem, Split
from pipelines.data.pixel_file import pixel_file
from pipelines.data.split import Assignment

MANIFEST_VERSION = 1
COPY_ROWS = 256


class Damaged(Exception):
    """The stored set is not what was written; it has to be prepared again."""


def manifest_of(
    decoded: Decoded, assignment: Assignment, order: list[int], kind: str, options: dict[str, Any]
) -> dict[str, Any]:
    """Which item is in which split, by class, with the SHA-256 of each file. Holds nothing of place or size.

    `splits` lists the items in the order they are stored. `set_aside` names those in no split.
    """
    splits: dict[str, list[str]] = {name: [] for name in SPLITS}
    counts = {name: dict.fromkeys(decoded.classes, 0) for name in SPLITS}
    for index in order:
        split = assignment.split[index]
        splits[split].append(decoded.ids[index])
        counts[split][decoded.classes[decoded.labels[index]]] += 1
    used = {name for names in splits.values() for name in names}
    problems = decoded.problems + assignment.problems
    set_aside = {problem.item for problem in problems} | (set(decoded.ids) - used)
    manifest: dict[str, Any] = {
        "version": MANIFEST_VERSION,
        "source": kind,
        "classes": list(decoded.classes),
        **options,
        "counts": counts,
        "splits": splits,
        "set_aside": sorted(set_aside),
    }
    if decoded.file_sha256:
        manifest["sha256"] = dict(sorted(zip(decoded.ids, decoded.file_sha256, strict=True)))
    return manifest


def save(folder: Path, decoded: Decoded, assignment: Assignment, order: list[int], manifest: dict[str, Any]) -> None:
    """Writes the set into `folder`, pixels split by split in `order`."""
    for name in SPLITS:
        chosen = np.array([index for index in order if assignment.split[index] == name])
        np.save(folder / f"{name}.labels.npy", decoded.labels[chosen].astype(np.int32))
        shape = (len(chosen), *decoded.images.shape[1:])
        with pixel_file(folder / f"{name}.npy", shape) as append:
            for start in range(0, len(chosen), COPY_ROWS):
                append(decoded.images[chosen[start : start + COPY_ROWS]])
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    (folder / "manifest.json").write_bytes(text)
    about = {
        "manifest_sha256": hashlib.sha256(text).hexdigest(),
        "problems": [[problem.item, problem.reason] for problem in decoded.problems + assignment.problems],
        "notes": decoded.notes + assignment.notes,
    }
    (folder / "about.json").write_text(json.dumps(about))


def load(folder: Path, source: str, title: str, resize: str) -> Dataset:
    """The stored set, its pixels mapped and not read. Raises Damaged when files are missing or do not fit."""
    try:
        about = json.loads((folder / "about.json").read_bytes())
        text = (folder / "manifest.json").read_bytes()
        if hashlib.sha256(text).hexdigest() != about["manifest_sha256"]:
            raise Damaged("manifest.json has changed")
        manifest = json.loads(text)
        splits = {name: _load_split(folder, name, manifest["splits"][name]) for name in SPLITS}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error
    _, height, width, channels = splits["train"].images.shape
    return Dataset(
        source=source,
        title=title,
        classes=tuple(manifest["classes"]),
        channels=channels,
        resolution=(height, width),
        resize=resize,
        splits=splits,
        problems=tuple(Problem(item, reason) for item, reason in about["problems"]),
        notes=tuple(about["notes"]),
        manifest=manifest,
        manifest_sha256=about["manifest_sha256"],
    )


def _load_split(folder: Path, name: str, ids: list[str]) -> Split:
    images = np.load(folder / f"{name}.npy", mmap_mode="r")
    labels = np.load(folder / f"{name}.labels.npy")
    if images.ndim != 4 or images.dtype != np.uint8 or not len(images) == len(labels) == len(ids):
        raise Damaged(f"{name}: {images.shape} images, {len(labels)} labels, {len(ids)} names")
    return Split(images, labels, tuple(ids))
