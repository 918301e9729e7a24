"""From a decoded image to the pixels a model is fed: grey or RGB, resized to one size."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

# Written into every data set and every exported contract: whoever feeds the model must resize the same way.
# Pillow's BILINEAR widens its filter when shrinking, which is what "antialias" means here.
RESIZE = "bilinear antialias, stretch"


def prepare(image: Image.Image, resolution: tuple[int, int], channels: int | None) -> np.ndarray:
    """Pixels uint8 (height, width, channels), raw 0..255, the image stretched to `resolution` (height, width).

    `channels` None keeps grey where nothing is lost: one channel if all three agree in every pixel.
    """
    if channels == 1:
        image = image.convert("L")
    elif channels == 3:
        image = image.convert("RGB")
    height, width = resolution
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        return pixels[:, :, None]
    if channels is None and (pixels[..., :1] == pixels[..., 1:]).all():
        return pixels[..., :1]
    return pixels


def pixel_sha256(image: Image.Image) -> str:
    """Hash of what is seen at full size, so the same picture saved as grey, RGB, PNG or BMP counts as one."""
    seen = hashlib.sha256(f"{image.width}x{image.height}:".encode())
    seen.update(image.convert("RGB").tobytes())
    return seen.hexdigest()
