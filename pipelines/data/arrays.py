"""Sets that come as arrays: resized like any image, hashed like any image, without child processes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from pipelines.data.collection import Decoded, Request
from pipelines.data.pixel_file import pixel_file
from pipelines.data.prepare import prepare


def decode_arrays(
    grey: np.ndarray,
    labels: np.ndarray,
    ids: Sequence[str],
    classes: tuple[str, ...],
    request: Request,
    given: Sequence[str] | None = None,
) -> Decoded:
    """Decoded from grey images uint8 (n, height, width)."""
    request.check_size(len(grey))
    hashes = [hashlib.sha256(image.tobytes()).hexdigest() for image in grey]
    if grey.shape[1:] == request.resolution:
        images = np.repeat(grey[..., None], request.channels or 1, axis=3)
    else:
        # On disk: 70,000 images at 224 are 10 gigabytes.
        path = request.folder / "images.npy"
        with pixel_file(path, (len(grey), *request.resolution, request.channels or 1)) as append:
            for number, image in enumerate(grey):
                append(prepare(Image.fromarray(image), request.resolution, request.channels, request.resize))
                if number % 1000 == 0:
                    request.progress(number, len(grey))
        images = np.load(path, mmap_mode="r")
    return Decoded(classes, ids, labels, hashes, images, given=given)
