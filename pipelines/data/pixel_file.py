"""Writes a .npy of images piece by piece.

Not through a memory map: on a full disk a write into a map kills the process (SIGBUS), an ordinary write raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np


@contextmanager
def pixel_file(path: Path, shape: tuple[int, ...]) -> Iterator[Callable[[np.ndarray], None]]:
    """Gives a function that appends uint8 pixels in C order; together they must fill `shape`."""
    left = int(np.prod(shape))
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)})

        def append(pixels: np.ndarray) -> None:
            nonlocal left
            left -= pixels.size
            file.write(np.ascontiguousarray(pixels, np.uint8).data)

        yield append
    if left:
        raise AssertionError(f"{path.name}: {left} of {shape} were not written")
