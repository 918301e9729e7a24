"""From a decoded image to the pixels a model is fed: grey or RGB, resized to one size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageOps

# Written into every data set and every exported contract: whoever feeds the model must resize the same way.
# Pillow's BILINEAR widens its filter when shrinking, which is what "antialias" means here.
RESIZE = "bilinear antialias, stretch"
Size = tuple[int, int]  # (width, height), as Pillow has it


def _sampled(image: Image.Image, size: Size) -> Image.Image:
    """Between the four pixels around each point, however much is shrunk: what TensorFlow and OpenCV do unasked."""
    across, down = image.width / size[0], image.height / size[1]
    return image.transform(size, Image.Transform.AFFINE, (across, 0, 0, 0, down, 0), Image.Resampling.BILINEAR)


# The first is ours. The others are what apps do by mistake; they are there to be recognised.
RESIZES: Mapping[str, Callable[[Image.Image, Size], Image.Image]] = {
    RESIZE: lambda image, size: image.resize(size, Image.Resampling.BILINEAR),
    "bilinear, stretch": _sampled,
    "bicubic antialias, stretch": lambda image, size: image.resize(size, Image.Resampling.BICUBIC),
    "nearest, stretch": lambda image, size: image.resize(size, Image.Resampling.NEAREST),
    "bilinear antialias, centre crop": lambda image, size: ImageOps.fit(image, size, Image.Resampling.BILINEAR),
    "bilinear antialias, letterbox": lambda image, size: ImageOps.pad(image, size, Image.Resampling.BILINEAR),
}


def prepare(
    image: Image.Image, resolution: tuple[int, int], channels: int | None, resize: str = RESIZE
) -> np.ndarray:
    """Pixels uint8 (height, width, channels), raw 0..255, the image brought to `resolution` (height, width).

    `channels` None keeps grey where nothing is lost: one channel if all three agree in every pixel. `resize` is one
    of `RESIZES`.
    """
    if channels == 1:
        image = image.convert("L")
    elif channels == 3:
        image = image.convert("RGB")
    height, width = resolution
    if image.size != (width, height):
        image = RESIZES[resize](image, (width, height))
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
