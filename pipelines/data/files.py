"""Decodes the image files of a layout in children and gathers what came out, in one order whatever finished first."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

import numpy as np

from pipelines.data.collection import Decoded, Request
from pipelines.data.dataset import Problem
from pipelines.data.layout import Layout
from pipelines.data.pixel_file import pixel_file
from pipelines.data.sandbox import Picture, Refused, read_pictures

NATURAL = (96, 96)  # for photos of any size: the smallest side the architectures are usually compared at


def look_up(kind: str, argument: str) -> tuple[Path, bool, bool]:
    """The path that a person typed behind `kind:`, and whether a file or a folder is there.

    Raises: ValueError for a path that cannot even be looked for.
    """
    try:
        path = Path(argument).expanduser()
        return path, path.is_file(), path.is_dir()
    except (OSError, RuntimeError) as error:  # a name that no file system takes, the home of nobody
        raise ValueError(f"{kind}:{argument} cannot be opened ({error})") from None


def decode_files(layout: Layout, where: Path, request: Request) -> Decoded:
    """Decoded from the files of `layout`, which are named relative to `where`.

    Files that cannot be read become problems. Raises ValueError when a limit is passed or nothing is left.
    """
    height, width = request.resolution
    count = len(layout.items)
    request.check_size(count)
    request.progress(0, count)
    refused: dict[int, str] = {}
    pictures: dict[int, tuple[int, Picture]] = {}  # item -> place in the spool, picture without its pixels
    spool = request.folder / "spool"
    step = height * width * 3
    sources = [where / item.file for item in layout.items]
    outcomes = read_pictures(
        sources, resolution=request.resolution, channels=request.channels, limits=request.limits, resize=request.resize
    )
    with spool.open("wb") as out, contextlib.closing(outcomes):
        for done, (index, outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, Refused):
                refused[index] = outcome.reason
            else:
                place = len(pictures)
                out.seek(place * step)
                out.write(outcome.pixels.tobytes())
                # Keep only the number of channels of the pixels: all of them may not fit in memory.
                empty = np.empty((0, 0, outcome.pixels.shape[2]), np.uint8)
                pictures[index] = place, Picture(empty, outcome.pixel_sha256, outcome.file_sha256, outcome.scaled)
            request.progress(done, count)
    if not pictures:
        examples = "; ".join(f"{layout.items[index].id}: {reason}" for index, reason in sorted(refused.items())[:3])
        raise ValueError(f"none of its {count} files is a usable image ({examples})")

    used = sorted(pictures)
    kept = [pictures[index][1] for index in used]
    channels = request.channels or max(picture.pixels.shape[2] for picture in kept)
    scaled = Counter(picture.scaled for picture in kept if picture.scaled)
    return Decoded(
        classes=layout.classes,
        ids=[layout.items[index].id for index in used],
        labels=np.array([layout.items[index].label for index in used], np.int32),
        pixel_sha256=[picture.pixel_sha256 for picture in kept],
        file_sha256=[picture.file_sha256 for picture in kept],
        images=_gather(spool, [pictures[index][0] for index in used], kept, (height, width, channels), step, request),
        given=[layout.items[index].given for index in used],
        problems=layout.problems + [Problem(layout.items[index].id, refused[index]) for index in sorted(refused)],
        notes=layout.notes + [f"{count} images scaled from {name} to 0..255" for name, count in sorted(scaled.items())],
    )


def _gather(
    spool: Path, places: list[int], kept: list[Picture], shape: tuple[int, int, int], step: int, request: Request
) -> np.ndarray:
    """The spooled pixels in item order, grey ones widened where the set is RGB."""
    path = request.folder / "images.npy"
    with spool.open("rb") as file, pixel_file(path, (len(kept), *shape)) as append:
        for place, picture in zip(places, kept, strict=True):
            own = (shape[0], shape[1], picture.pixels.shape[2])
            file.seek(place * step)
            append(np.broadcast_to(np.frombuffer(file.read(int(np.prod(own))), np.uint8).reshape(own), shape))
    spool.unlink()
    return np.load(path, mmap_mode="r")
