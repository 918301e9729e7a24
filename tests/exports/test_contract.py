from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exports import Contract, InputSpec, OutputSpec

EVERY_PIXEL = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)


def contract(dtype: str, scale: float | None, zero_point: int | None, pixel_scale: float = 1.0) -> Contract:
    return Contract(
        format="tflite_int8",
        family="tflite",
        input=InputSpec("image", 16, 16, 1, dtype, (0.0, 255.0), pixel_scale, "grey", "nearest", scale, zero_point),
        output=OutputSpec("logits", "logits", 2, "int8", 0.5, 3),
        labels=("no", "yes"),
        sha256="0" * 64,
        bytes=1,
        gzip_bytes=1,
    )


def test_a_contract_survives_its_file(tmp_path: Path):
    path = tmp_path / "x.contract.json"
    contract("int8", 1.0, -128).save(path)
    assert Contract.load(path) == contract("int8", 1.0, -128)


def test_an_int8_file_with_scale_one_is_fed_pixel_minus_128():
    raw = contract("int8", 1.0, -128).raw_from_pixels(EVERY_PIXEL)
    assert raw.dtype == np.int8
    assert np.array_equal(raw.ravel(), np.arange(256) - 128)


def test_an_int8_aware_file_with_scale_one_over_255_is_fed_the_same():
    aware = contract("int8", float(np.float32(1 / 255)), -128, pixel_scale=1 / 255)
    assert np.array_equal(aware.raw_from_pixels(EVERY_PIXEL).ravel(), np.arange(256) - 128)


def test_a_uint8_file_is_fed_the_pixels_themselves():
    assert np.array_equal(contract("uint8", 1.0, 0).raw_from_pixels(EVERY_PIXEL), EVERY_PIXEL)


def test_an_int16_file_uses_the_positive_half_of_its_range():
    raw = contract("int16", 255 / 32767, 0).raw_from_pixels(EVERY_PIXEL)
    assert raw.dtype == np.int16
    assert raw.min() == 0
    assert raw.max() == 32767


def test_a_float_file_is_fed_undivided_pixels_and_a_keras_file_divided_ones():
    assert contract("float32", None, None).raw_from_pixels(EVERY_PIXEL).max() == 255.0
    assert contract("float32", None, None, 1 / 255).raw_from_pixels(EVERY_PIXEL).max() == 1.0


def test_integer_answers_become_logits_by_scale_and_zero_point():
    logits = contract("int8", 1.0, -128).logits_from_raw(np.array([[3, 5]], np.int8))
    assert np.array_equal(logits, np.array([[0.0, 1.0]], np.float32))


def test_images_already_divided_are_refused():
    with pytest.raises(ValueError, match=r"uint8 pixels 0\.\.255"):
        contract("int8", 1.0, -128).raw_from_pixels(EVERY_PIXEL / np.float32(255))


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"takes \(n, 16, 16, 1\)"):
        contract("int8", 1.0, -128).raw_from_pixels(np.zeros((1, 8, 8, 1), np.uint8))


def test_a_file_that_is_no_contract_is_refused(tmp_path: Path):
    path = tmp_path / "x.contract.json"
    for text in ("not json", "[]", "{}", json.dumps({**contract("int8", 1.0, 0).as_dict(), "colour": "blue"})):
        path.write_text(text)
        with pytest.raises(ValueError):
            Contract.load(path)


def test_a_file_without_a_contract_beside_it_says_what_is_missing(tmp_path: Path):
    with pytest.raises(ValueError, match=r"net.contract.json"):
        Contract.beside(tmp_path / "net.tflite")


def test_labels_and_ranges_are_plain_json():
    values = json.loads(json.dumps(replace(contract("int8", 1.0, 0), operators={"CONV_2D": 1}).as_dict()))
    assert values["labels"] == ["no", "yes"]
    assert values["input"]["range"] == [0.0, 255.0]
