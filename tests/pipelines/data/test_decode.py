"""Every trap of image decoding, each on a real file."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from pipelines.data.decode import SCALED, Unreadable, decode
from pipelines.data.limits import Limits
from pipelines.data.prepare import pixel_sha256, prepare

RAMP16 = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, axis=0)
RAMP8 = np.arange(256)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def palette_image() -> Image.Image:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([200, 0, 0, 0, 200, 0])
    image.paste(1, (4, 0, 8, 8))
    return image


def first_row(image: Image.Image) -> np.ndarray:
    return np.asarray(image)[0]


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG2000", "PPM"])
def test_sixteen_bit_ramp_stays_a_ramp(format: str) -> None:
    image = decode(saved(Image.fromarray(RAMP16), format))
    assert image.mode == "L"
    np.testing.assert_array_equal(first_row(image), RAMP8)


def test_thirty_two_bit_ramp_stays_a_ramp() -> None:
    image = decode(saved(Image.fromarray(RAMP16.astype(np.int32)), "TIFF"))
    np.testing.assert_array_equal(first_row(image), RAMP8)
    assert image.info[SCALED] == "I 0..65535"


@pytest.mark.parametrize(("top", "range_name"), [(1.0, "F 0..1"), (255.0, "F 0..255"), (65535.0, "F 0..65535")])
def test_float_ramp_is_scaled_by_the_range_that_holds_it(top: float, range_name: str) -> None:
    ramp = (RAMP16 / 65535 * top).astype(np.float32)
    image = decode(saved(Image.fromarray(ramp), "TIFF"))
    np.testing.assert_allclose(first_row(image), RAMP8, atol=1)
    assert image.info[SCALED] == range_name


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1.0, 1e9])
def test_float_values_without_a_known_range_are_refused(wrong: float) -> None:
    values = np.full((4, 4), 0.5, np.float32)
    values[0, 0] = wrong
    with pytest.raises(Unreadable, match=r"range|not numbers"):
        decode(saved(Image.fromarray(values), "TIFF"))


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(format: str) -> None:
    cyan = decode(saved(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), format))
    assert cyan.mode == "RGB"
    np.testing.assert_allclose(first_row(cyan)[0], (0, 255, 255), atol=3)


def test_palette_gives_its_colours() -> None:
    np.testing.assert_array_equal(first_row(decode(saved(palette_image(), "PNG")))[[0, 7]], [[200, 0, 0], [0, 200, 0]])


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_transparent_palette_entry_becomes_white(format: str) -> None:
    image = decode(saved(palette_image(), format, transparency=0))
    np.testing.assert_array_equal(first_row(image)[[0, 7]], [[255, 255, 255], [0, 200, 0]])


def test_palette_with_half_transparent_entry_is_mixed_with_white() -> None:
    image = decode(saved(palette_image(), "PNG", transparency=b"\x80\xff"))
    np.testing.assert_allclose(first_row(image)[0], (227, 127, 127), atol=1)


def test_alpha_is_laid_over_white() -> None:
    image = decode(saved(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG"))
    assert (np.asarray(image) == 255).all()
    grey = decode(saved(Image.new("LA", (4, 4), (0, 0)), "PNG"))
    assert grey.mode == "L"
    assert (np.asarray(grey) == 255).all()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_turn_is_applied_once(format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right: what was left is on top
    flat = Image.new("RGB", (32, 16), (0, 0, 0))
    flat.paste((255, 255, 255), (0, 0, 16, 16))
    image = decode(saved(flat, format, exif=exif))
    assert image.size == (16, 32)
    pixels = np.asarray(image)[..., 0]
    assert pixels[:14].min() > 240
    assert pixels[18:].max() < 15


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_animations_give_their_first_picture(format: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    image = decode(saved(frames[0], format, save_all=True, append_images=frames[1:]))
    np.testing.assert_allclose(first_row(image)[0], (255, 0, 0), atol=3)


@pytest.mark.parametrize("format", ["BMP", "GIF", "ICO", "JPEG", "PNG", "PPM", "TIFF", "WEBP", "AVIF"])
def test_usual_formats_are_read_whatever_the_name(format: str, tmp_path: Path) -> None:
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow is built without AVIF")
    path = tmp_path / "picture.txt"
    path.write_bytes(saved(Image.new("RGB", (32, 32), (200, 0, 0)), format))
    np.testing.assert_allclose(first_row(decode(path))[0], (200, 0, 0), atol=3)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_truncated_files_are_refused(format: str, keep: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    data = saved(noise, format)
    with pytest.raises(Unreadable, match="damaged or cut short"):
        decode(data[: int(len(data) * keep)])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"This is a shopping list.\n" * 10, "reads like text"),
        (b"\x00\x01\x02\x03" * 10, "starts with 00 01 02 03"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image file"),
    ],
)
def test_files_that_are_no_images_are_refused(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    with pytest.raises(Unreadable, match=reason):
        decode(path)


def claiming_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [50_000, 12_000, 9_000])
def test_png_that_claims_too_many_pixels_is_refused_before_they_are_read(side: int) -> None:
    with pytest.raises(Unreadable, match="pixels"):
        decode(claiming_png(side, side))


def test_limits_on_pixels_and_bytes_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(saved(Image.new("RGB", (20, 20)), "PNG"))
    with pytest.raises(Unreadable, match="claims 20x20 pixels"):
        decode(path, Limits(max_pixels=399))
    with pytest.raises(Unreadable, match="at most 10 are read"):
        decode(path, Limits(max_file_bytes=10))


def test_only_ordinary_files_are_opened(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unreadable, match="not an ordinary file"):
        decode(tmp_path / "pipe")
    with pytest.raises(Unreadable, match="cannot be opened"):
        decode(tmp_path / "missing.png")


def test_prepare_stretches_with_antialias_and_keeps_grey_where_nothing_is_lost() -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255  # without antialias an 8-fold reduction would pick all black or all white
    pixels = prepare(Image.fromarray(stripes), (4, 8), None)
    assert pixels.shape == (4, 8, 1)
    np.testing.assert_allclose(pixels, 127, atol=8)
    assert prepare(Image.fromarray(stripes).convert("RGB"), (4, 8), None).shape == (4, 8, 1)
    assert prepare(Image.fromarray(stripes), (4, 8), 3).shape == (4, 8, 3)
    assert prepare(Image.new("RGB", (9, 9), "red"), (4, 8), None).shape == (4, 8, 3)
    assert prepare(Image.new("RGB", (9, 9), "red"), (4, 8), 1).shape == (4, 8, 1)


def test_pixel_hash_is_of_what_is_seen() -> None:
    grey = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    assert pixel_sha256(grey) == pixel_sha256(decode(saved(grey.convert("RGB"), "BMP")))
    assert pixel_sha256(grey) != pixel_sha256(grey.resize((16, 4)))
    assert pixel_sha256(Image.new("L", (2, 8))) != pixel_sha256(Image.new("L", (8, 2)))


def test_a_palette_shorter_than_its_transparency_is_a_reason_and_no_bug() -> None:
    """One colour, 300 transparent entries: Pillow raises only when the colours are looked up."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes([9] * 8) for _ in range(8))
    data = b"".join((
        b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 3, 0, 0, 0)),
        chunk(b"PLTE", b"\1\2\3"), chunk(b"tRNS", bytes(300)), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""),
    ))  # fmt: skip
    with pytest.raises(Unreadable, match="damaged or cut short"):
        decode(data)


def test_whatever_a_codec_complains_of_becomes_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(image: Image.Image) -> Image.Image:
        raise ValueError("conversion from La to L not supported")

    monkeypatch.setattr(sys.modules["pipelines.data.decode"], "to_eight_bits", broken)
    with pytest.raises(Unreadable, match="conversion from La to L"):
        decode(saved(Image.new("L", (4, 4)), "PNG"))
