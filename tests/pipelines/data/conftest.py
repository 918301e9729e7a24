"""Small real image sets for the data tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image

# No deadline: on a busy two-core machine single examples pause. Fixed examples: a red build must be repeatable.
hypothesis.settings.register_profile("litesmith", deadline=None, database=None, derandomize=True)
hypothesis.settings.load_profile("litesmith")


def speckle(number: int, side: int = 12, grey: bool = False) -> Image.Image:
    """A picture no other number has."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side) if grey else (side, side, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def class_folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder with `counts[class]` different PNG files per class."""

    def make(counts: dict[str, int], name: str = "set", grey: bool = False) -> Path:
        root = tmp_path / name
        number = 0
        for label, count in counts.items():
            (root / label).mkdir(parents=True)
            for _ in range(count):
                speckle(number, grey=grey).save(root / label / f"{number:04d}.png")
                number += 1
        return root

    return make
