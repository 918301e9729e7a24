"""What a file answered on somebody's device, read back: a CSV by image name, or a NumPy array in the split's order."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.data import Split

MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class DeviceAnswers:
    """`places` `(k,)` are images of the split; `classes` `(k,)` their answers; `scores` `(k, classes)` if given."""

    places: np.ndarray
    classes: np.ndarray
    scores: np.ndarray | None


def read_device_answers(path: Path, split: Split, labels: Sequence[str]) -> DeviceAnswers:
    """Reads `image,answer` or `image,<one column per label>` (.csv), or classes `(n,)` or scores `(n, classes)` (.npy).

    An answer is a label or its number. Raises: ValueError when the file is none of these, or names unknown images.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}; give a .csv or .npy with what the device answered")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path.name} has {path.stat().st_size:,} bytes, at most {MOST_BYTES:,} are read")
    if path.suffix == ".npy":
        return _from_array(path, split, len(labels))
    if path.suffix == ".csv":
        return _from_csv(path, split, labels)
    raise ValueError(f"{path.name}: answers are read from .csv or .npy")


def _from_array(path: Path, split: Split, count: int) -> DeviceAnswers:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path.name} is no NumPy array ({error})") from None
    wanted = f"({len(split)},) classes or ({len(split)}, {count}) scores, in the order of the split"
    if not isinstance(values, np.ndarray) or values.shape not in ((len(split),), (len(split), count)):
        raise ValueError(f"{path.name} has shape {getattr(values, 'shape', None)}; it takes {wanted}")
    places = np.arange(len(split))
    if values.ndim == 2:
        return DeviceAnswers(places, values.argmax(1), _finite(values.astype(np.float64), path))
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= count:
        raise ValueError(f"{path.name}: classes are whole numbers 0 to {count - 1}, these are {values.dtype}")
    return DeviceAnswers(places, values.astype(np.int64), None)


def _from_csv(path: Path, split: Split, labels: Sequence[str]) -> DeviceAnswers:
    try:
        rows = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path.name} cannot be read as CSV ({error})") from None
    head, body = (rows[0] if rows else []), [row for row in rows[1:] if row]
    scored = head[1:] == list(labels)
    if head[:1] != ["image"] or not (scored or head == ["image", "answer"]) or not body:
        raise ValueError(
            f"{path.name} starts with {','.join(head[:4])!r}; it takes a heading image,answer or image and one column "
            f"per label ({', '.join(labels[:3])} …), then one line per image"
        )
    known = {name: at for at, name in enumerate(split.ids)}
    for number, row in enumerate(body, start=2):
        if len(row) != len(head):
            raise ValueError(f"{path.name}, line {number}: {len(row)} values where the heading has {len(head)}")
        if row[0] not in known:
            raise ValueError(
                f"{path.name}, line {number}: no image {row[0]!r} in this split; they are named like {split.ids[0]!r}"
            )
    places = np.array([known[row[0]] for row in body])
    if scored:
        try:
            scores = np.array([[float(value) for value in row[1:]] for row in body])
        except ValueError as error:
            raise ValueError(f"{path.name}: scores are numbers ({error})") from None
        return DeviceAnswers(places, scores.argmax(1), _finite(scores, path))
    numbers = {str(at): at for at in range(len(labels))}
    # A label that looks like a number means itself.
    numbers |= {name: at for at, name in enumerate(labels)}
    if unknown := [row[1] for row in body if row[1] not in numbers]:
        raise ValueError(f"{path.name}: no class {unknown[0]!r}; there are {', '.join(labels[:5])} …")
    return DeviceAnswers(places, np.array([numbers[row[1]] for row in body]), None)


def _finite(scores: np.ndarray, path: Path) -> np.ndarray:
    if not np.isfinite(scores).all():
        raise ValueError(f"{path.name} holds scores that are not numbers (NaN or infinite)")
    return scores
