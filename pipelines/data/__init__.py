"""Data sources: opened, checked, split and prepared as uint8 arrays. No training and no TensorFlow here.

A source is one file with one function and one line in SOURCES.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import PIL

from pipelines.data import cache as disk
from pipelines.data.collection import Collection, Progress, Request
from pipelines.data.dataset import SPLITS, Dataset, Problem, Split, Unusable, describe, preview
from pipelines.data.decode import Unreadable, decode
from pipelines.data.digits import open_digits
from pipelines.data.fashion_mnist import open_fashion_mnist
from pipelines.data.folder import find_folder, open_folder
from pipelines.data.limits import USUAL, Limits
from pipelines.data.prepare import RESIZE, RESIZES, prepare
from pipelines.data.prepared import Damaged, load, manifest_of, save
from pipelines.data.sandbox import read_picture
from pipelines.data.split import assign, check_shares
from pipelines.data.unpack import unpack_zip
from pipelines.data.zip_file import find_zip, open_zip

__all__ = [
    "LARGEST_SIDE", "RESIZE", "RESIZES", "SOURCES", "SPLITS", "Dataset", "Limits", "Problem", "Source", "Split",
    "Unreadable", "Unusable", "check_shares", "decode", "describe", "find_source", "open_dataset", "prepare", "preview",
    "read_picture", "source_of", "unpack_zip",
]  # fmt: skip

logger = logging.getLogger(__name__)

PREPARATION = 1  # raise it when decoding, resizing or splitting changes: stored sets are then prepared anew
LARGEST_SIDE = 2048


@dataclass(frozen=True)
class Source:
    """A kind of data set. `example` is what a person types; `open` finds the set and reads nothing large.

    `find` only looks whether the path is there, for a source that takes one.
    `side` (pixels), `channels` and `classes` are those of the set, None where each set has its own.
    """

    name: str
    title: str
    help: str
    example: str
    open: Callable[[str, Path], Collection]
    find: Callable[[str], Path] | None = None
    side: int | None = None
    channels: int | None = None
    classes: int | None = None

    @property
    def takes_path(self) -> bool:
        return ":" in self.example


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source("digits", "Handwritten digits", "1,797 grey 8x8 images inside scikit-learn; no download",
               "digits", open_digits, side=8, channels=1, classes=10),
        Source("fashion_mnist", "Fashion-MNIST", "70,000 grey 28x28 photos of clothes; local IDX files or a download",
               "fashion_mnist", open_fashion_mnist, side=28, channels=1, classes=10),
        Source("folder", "A folder of images", "one sub-folder per class, images of any usual format",
               "folder:PATH", open_folder, find_folder),
        Source("zip", "A zip of images", "one sub-folder per class, images of any usual format",
               "zip:PATH", open_zip, find_zip),
    )
}  # fmt: skip


def source_of(text: str) -> tuple[Source, str]:
    """The source and its argument from "digits" or "folder:PATH". Raises ValueError with the nearest names."""
    name, colon, argument = text.strip().partition(":")
    if name not in SOURCES:
        near = get_close_matches(name, SOURCES, 2, 0.5)
        if Path(text).expanduser().exists():
            near = ["folder" if Path(text).expanduser().is_dir() else "zip"]
            argument, colon = text, ":"
        forms = [SOURCES[other].example.replace("PATH", argument or "PATH") for other in near]
        offer = f"did you mean {' or '.join(forms)}?" if near else f"choose one of {_examples()}"
        raise ValueError(f"{text!r} is not a data source; {offer}")
    source = SOURCES[name]
    if source.takes_path and not argument:
        raise ValueError(f"{text!r} lacks a path; write {source.example}")
    if not source.takes_path and colon:
        raise ValueError(f"{text!r}: {name} takes no path; write {source.example}")
    return source, argument


def find_source(text: str) -> None:
    """Looks whether a source is known and its folder or zip is there, and opens nothing. Raises: ValueError if not."""
    source, argument = source_of(text)
    if source.find is not None:
        source.find(argument)


def open_dataset(
    source: str,
    *,
    resolution: int | tuple[int, int] | None = None,
    channels: int | None = None,
    split_seed: int = 0,
    validation: float | None = None,
    test: float | None = None,
    resize: str = RESIZE,
    cache: Path,
    limits: Limits = USUAL,
    progress: Progress | None = None,
) -> Dataset:
    """The data set, prepared on the first call with these settings and mapped from `cache` afterwards.

    `resolution` is a side or (height, width) in pixels, None = the set's own (digits 8, fashion 28, files 96).
    `channels` 1 or 3, None = the set's own: files are grey when all of them are. `validation` and `test` are
    shares of the images, None = the source's own (files and digits 0.15 and 0.2; Fashion-MNIST 5,000 of the
    60,000, its test split is fixed). `resize` is one of `RESIZES`: the same images in the same order, brought to
    size otherwise. `progress(done, total)` may raise to cancel; nothing half-done is kept.
    Raises ValueError for a setting or a set that cannot be used.
    """
    kind, argument = source_of(source)
    side = None if resolution is None else _side(resolution)
    if channels not in (None, 1, 3):
        raise ValueError(f"channels {channels!r} is not offered; choose 1 (grey), 3 (RGB) or leave it to the set")
    if not isinstance(split_seed, int) or split_seed < 0:
        raise ValueError(f"split seed {split_seed!r} is not a whole number from 0")
    if resize not in RESIZES:
        raise ValueError(f"resize {resize!r} is not offered; choose one of {'; '.join(RESIZES)}")
    report = progress or (lambda done, total: None)
    found = kind.open(argument, cache)
    shares = {
        "validation": found.validation if validation is None else float(validation),
        "test": found.test if test is None else float(test),
    }
    check_shares(**shares)
    settings = {
        "preparation": PREPARATION,
        "kind": found.kind,
        "fingerprint": found.fingerprint,
        "resolution": side or found.resolution,
        "channels": channels,
        "split": {"split_seed": split_seed, **shares},
        "limits": asdict(limits),
        "pillow": PIL.__version__,
    }
    if resize != RESIZE:
        settings["resize"] = resize
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]

    def build(folder: Path, work: Path) -> None:
        request = Request(side or found.resolution, channels, limits, work, report, resize)
        _build(found, request, settings["split"], folder)

    def waiting() -> None:
        report(0, 0)

    for attempt in (1, 2):
        folder = disk.open_or_build(cache, key, build, waiting)
        try:
            return load(folder, source, found.title, resize)
        except Damaged as error:
            if attempt == 2:
                raise
            logger.warning("the stored set %s is damaged (%s); preparing it again", folder, error)
            disk.discard(folder)
    raise AssertionError("unreachable")


def _build(found: Collection, request: Request, split: Any, folder: Path) -> None:
    decoded = found.decode(request)
    try:
        assignment = assign(
            decoded.ids,
            decoded.labels.tolist(),
            decoded.pixel_sha256,
            decoded.classes,
            seed=split["split_seed"],
            validation=split["validation"],
            test=split["test"],
            given=decoded.given,
        )
    except ValueError as error:
        raise Unusable(f"{found.title}: {error}", decoded.problems) from None
    used = [index for index, name in enumerate(assignment.split) if name]
    # Seeded order mixes the classes, so the first images of a split are a fair sample of it.
    order = used if found.keeps_order else sorted(used, key=lambda i: (assignment.turn[i], decoded.ids[i]))
    save(folder, decoded, assignment, order, manifest_of(decoded, assignment, order, found.kind, split))


def _side(resolution: int | tuple[int, int]) -> tuple[int, int]:
    sides = (resolution, resolution) if not isinstance(resolution, tuple | list) else tuple(resolution)
    whole = all(isinstance(side, int) and not isinstance(side, bool) and 1 <= side <= LARGEST_SIDE for side in sides)
    if len(sides) != 2 or not whole:
        raise ValueError(
            f"resolution {resolution!r} cannot be used; give whole pixels from 1 to {LARGEST_SIDE}, "
            "one side or (height, width)"
        )
    return math.trunc(sides[0]), math.trunc(sides[1])


def _examples() -> str:
    return ", ".join(source.example for source in SOURCES.values())
