"""The one place where an image file becomes pixels, always 8 bits per channel, grey ("L") or "RGB".

What is done to each kind of file:
- the turn stored in EXIF is applied;
- 16-bit grey is divided by 257 (Pillow's own `convert` would clip it to white);
- 32-bit and float grey is scaled from the smallest of 0..1, 0..255, 0..65535 that holds its values;
- transparency (alpha, palette with a transparent entry) is laid over white;
- CMYK becomes RGB by Pillow's plain formula, colour profiles are not applied;
- of an animation or a multi-page file the first picture is used.

The file's name is never looked at. Only formats in `FORMATS` are tried: some of Pillow's other readers start
programs (EPS starts Ghostscript).
"""

from __future__ import annotations

import io
import os
import stat
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipelines.data.limits import USUAL, Limits

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "AVIF", "PPM", "JPEG2000", "ICO")
SCALED = "litesmith_scaled_from"  # key in Image.info: the range a 32-bit or float image was scaled from


class Unreadable(ValueError):
    """This file cannot be used as an image; the message is the reason, without the file's name."""


def decode(source: Path | str | bytes, limits: Limits = USUAL) -> Image.Image:
    """An upright 8-bit image of mode "L" or "RGB" from a file or from its bytes.

    Runs in this process: for files of unknown origin use `sandbox`, which calls this in a limited child.
    Raises Unreadable when the file is broken, too large or not an image.
    """
    data = source if isinstance(source, bytes) else read_bytes(Path(source), limits)
    if not data:
        raise Unreadable("the file is empty")
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=_readers())
    except UnidentifiedImageError:
        raise Unreadable(f"not an image file ({_looks_like(data)}); readable are {', '.join(_readers())}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unreadable(f"too many pixels ({error})") from None
    except Exception as error:  # on hostile bytes the readers raise nearly anything, down to struct.error
        raise Unreadable(f"its header cannot be read ({_cause(error)})") from error
    width, height = image.size
    if width < 1 or height < 1:
        raise Unreadable(f"has no pixels ({width}x{height})")
    if width * height > limits.max_pixels:
        raise Unreadable(f"claims {width}x{height} pixels, at most {limits.max_pixels:,} in all are read")
    try:
        image.load()
        return to_eight_bits(ImageOps.exif_transpose(image))
    except (MemoryError, Unreadable):
        raise
    except Exception as error:  # as above: a codec's complaint about this file, not a state of ours
        raise Unreadable(f"damaged or cut short ({_cause(error)})") from error


def read_bytes(path: Path, limits: Limits) -> bytes:
    """The bytes of an ordinary file; never waits on a pipe or a device. Raises Unreadable."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable("not an ordinary file")
            if status.st_size > limits.max_file_bytes:
                raise Unreadable(f"{status.st_size:,} bytes, at most {limits.max_file_bytes:,} are read")
            return file.read(limits.max_file_bytes)
    except OSError as error:
        raise Unreadable(f"cannot be opened ({error.strerror or error})") from error


def to_eight_bits(image: Image.Image) -> Image.Image:
    """Mode "L" or "RGB" from any mode that Pillow loads, scaled by mode. Raises Unreadable for others."""
    if image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        return _from_wide(image)
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        flat = Image.alpha_composite(white, clear).convert("RGB")
        return flat.convert("L") if image.mode in ("1", "L", "LA", "La") else flat
    if image.mode in ("1", "L"):
        return image.convert("L")
    if image.mode in ("P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"):
        return image.convert("RGB")
    raise Unreadable(f"colour mode {image.mode} is not supported; save it as RGB or grey")


def _from_wide(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if image.mode == "F" and not np.isfinite(values).all():
        raise Unreadable("holds values that are not numbers (NaN or infinite)")
    low, high = float(values.min()), float(values.max())
    # Pillow widens 16-bit formats to "I", so whole numbers always count from 0..65535; floats have no fixed range.
    ranges = (65535,) if image.mode == "I" else (1, 255, 65535)
    top = next((top for top in ranges if high <= top), None)
    if low < 0 or top is None:
        raise Unreadable(f"values from {low:g} to {high:g} have no known range; scale them to 0..{ranges[0]}")
    scaled = np.empty(values.shape, np.uint8)
    for row in range(0, len(values), 1024):  # in strips: a float64 copy of the whole would need 8 bytes a pixel
        strip = values[row : row + 1024].astype(np.float64)
        scaled[row : row + 1024] = np.rint(strip * (255 / top))
    result = Image.fromarray(scaled)
    result.info[SCALED] = f"{image.mode} 0..{top}"
    return result


@lru_cache(maxsize=1)
def _readers() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)  # a Pillow may be built without AVIF or WebP


def _looks_like(data: bytes) -> str:
    head = data[:512]
    if b"\0" not in head and sum(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head) > 0.9 * len(head):
        return "it reads like text"
    return f"it starts with {head[:8].hex(' ')}"


def _cause(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
