"""Scikit-learn's handwritten digits: 1,797 grey 8x8 images that come inside the package.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI machine learning repository, 1998.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

import numpy as np

from pipelines.data.arrays import decode_arrays
from pipelines.data.collection import Collection, Decoded, Request

CLASSES = tuple("0123456789")


def open_digits(argument: str, cache: Path) -> Collection:
    # The files lie inside a pinned package, so its version stands for their content; reading them takes 2 seconds.
    fingerprint = hashlib.sha256(f"scikit-learn digits {version('scikit-learn')}".encode()).hexdigest()
    return Collection("digits", "Handwritten digits, 8x8 grey", fingerprint, (8, 8), 0.15, 0.2, _decode)


def _decode(request: Request) -> Decoded:
    from sklearn.datasets import load_digits  # imports scipy: 1.6 seconds that a second opening does not pay

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)  # stored as whole numbers 0..16
    ids = [f"{number:04d}" for number in range(len(images))]
    return decode_arrays(images, bunch.target.astype(np.int32), ids, CLASSES, request)
