"""The Kotlin sample is written from the contract; only its text can be looked at here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from exports.contract import Contract, InputSpec, OutputSpec
from exports.writers.android import classifier_kt


def contract(dtype: str, channels: int = 3, scale: float | None = None, zero_point: int | None = None) -> Contract:
    return Contract(
        format="tflite_float32", family="tflite", labels=("a", "b"), sha256="", bytes=1, gzip_bytes=1,
        input=InputSpec("image", 24, 32, channels, dtype, (0.0, 255.0), 1.0, "RGB" if channels == 3 else "grey",
                        "bilinear antialias", scale, zero_point),
        output=OutputSpec("logits", "logits", 2, dtype, None if scale is None else 0.25, zero_point),
    )  # fmt: skip


@pytest.mark.parametrize(("given", "lines"), [
    (contract("float32"), ["buffer.putFloat(value)", "FloatArray(CLASSES) { output.getFloat() }", "CLASSES * 4",
                           "WIDTH * HEIGHT * 3 * 4", "const val WIDTH = 32", "const val HEIGHT = 24"]),
    (contract("int8", 1, 1.0, -128), ["buffer.put(((value / 1.0f).roundToInt() + -128).coerceIn(-128, 127).toByte())",
                                      "((output.get()) - -128) * 0.25f", "0.587f * green", "WIDTH * HEIGHT * 1 * 1"]),
    (contract("uint8", 3, 1.0, 0), [".coerceIn(0, 255).toByte())", "((output.get().toInt() and 255) - 0) * 0.25f"]),
])  # fmt: skip
def test_what_is_put_in_and_read_is_what_the_contract_says(given, lines):
    text = classifier_kt(Path("net_file.tflite"), given)
    assert [line for line in lines if line not in text] == []
    assert text.count("{") == text.count("}")
    assert 'openFd("net_file.tflite")' in text


def test_files_that_want_other_pixels_get_them():
    image = replace(contract("float32").input, pixel_scale=2 / 255, pixel_offset=-1.0)
    text = classifier_kt(Path("net.tflite"), replace(contract("float32"), input=image))
    assert "val value = pixel * 0.00784313725490196f + -1.0f" in text
