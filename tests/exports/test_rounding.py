"""Other ways to round to int8: narrower ranges, biases that were wrong put right, layers that stay float."""

from __future__ import annotations

import numpy as np
import pytest

from exports import Rounding, gate, localise, write, write_many
from exports.bias_correction import corrected
from exports.int8_noise import int8_noise
from exports.ranges import some_of
from exports.tflite_file import pack, parse
from exports.tflite_rounding import pairs_of
from tests.exports.conftest import LABELS

TAIL = np.concatenate([np.random.default_rng(0).normal(size=20_000), [60.0]])


def test_ranges_hold_zero_and_narrow_ones_leave_the_tail_out() -> None:
    assert Rounding().range_of(TAIL) == (pytest.approx(TAIL.min()), 60.0)
    low, high = Rounding("percentile", 99.9).range_of(TAIL)
    assert (low, high) == (pytest.approx(-3.1, abs=0.3), pytest.approx(3.1, abs=0.3))
    low, high = Rounding("mse").range_of(TAIL)
    assert high < 60
    assert Rounding("mse").range_of(np.array([2.0, 3.0]))[0] == 0.0
    assert Rounding("percentile").range_of(np.array([-3.0, -2.0]))[1] == 0.0
    assert Rounding("mse").range_of(np.zeros(3)) == (0.0, 0.0)


def test_the_least_squared_error_is_no_larger_than_that_of_the_extremes() -> None:
    def error(low: float, high: float) -> float:
        scale = (high - low) / 255
        zero = np.rint(-low / scale)
        back = (np.clip(np.rint(TAIL / scale) + zero, 0, 255) - zero) * scale
        return float(np.mean((back - TAIL) ** 2))

    assert error(*Rounding("mse").range_of(TAIL)) < error(*Rounding().range_of(TAIL))


@pytest.mark.parametrize("values", [{"ranges": "widest"}, {"percentile": 50.0}])
def test_what_cannot_be_is_refused(values: dict) -> None:
    with pytest.raises(ValueError, match=r"widest|percentile = 50"):
        Rounding(**values)


def test_values_are_drawn_from_all_channels() -> None:
    values = np.tile(np.arange(8.0), 4096)
    found = some_of(values, 512, np.random.default_rng(0))
    assert found.size == 512
    assert set(found.tolist()) == set(range(8))
    assert some_of(values[:5], 512, np.random.default_rng(0)).size == 5


@pytest.mark.parametrize("rounding", [Rounding("mse"), Rounding("percentile", 99.99), Rounding(correct_bias=True)])
def test_the_file_is_as_integer_and_as_good_as_the_plain_one(rounding: Rounding, digits, artifacts, tmp_path) -> None:
    plain, before = artifacts["tflite_float32"], artifacts["tflite_int8"]
    after = write(digits.model_path, "tflite_int8", tmp_path, name="other", labels=LABELS,
                  calibration=digits.calibration, rounding=rounding)  # fmt: skip
    assert after.sha256 != before.sha256
    assert after.contract.input == before.contract.input
    assert after.contract.operators == before.contract.operators
    assert (after.contract.float_tensors, after.contract.min_runtime) == (0, before.contract.min_runtime)
    report = gate(after.path, after.contract, digits.images, digits.logits, digits.labels)
    assert report.passed, report.cause
    noise = [
        localise(plain.path, plain.contract, one.path, one.contract, digits.images[:100])["noise"]
        for one in (before, after)
    ]
    assert noise[1] < 1.5 * noise[0]


def test_biases_that_are_off_are_put_right(digits, artifacts) -> None:
    """The first layer's outputs moved by 60 of their steps, as a coarse rounding of its weights would."""
    plain, sound = (artifacts[one].path.read_bytes() for one in ("tflite_float32", "tflite_int8"))
    file = parse(sound)
    pair = pairs_of(parse(plain), file)[0]
    bias = file.model.subgraphs[0].tensors[int(pair.rounded.inputs[2])]
    buffer = file.model.buffers[bias.buffer]
    moved = np.frombuffer(bytes(buffer.data), np.int32) + 60 * pair.steps.scale / np.asarray(bias.quantization.scale)
    buffer.data = np.frombuffer(np.rint(moved).astype(np.int32).tobytes(), np.uint8)
    broken = pack(file)
    batches = [image[None].astype(np.float32) for image in digits.calibration]
    images = digits.images[:64].astype(np.float32)
    noise = {
        name: int8_noise(plain, content, images).noise
        for name, content in (("sound", sound), ("broken", broken), ("mended", corrected(plain, broken, batches)))
    }
    assert noise["broken"] > 5 * noise["sound"]
    assert noise["mended"] < 0.2 * noise["broken"]


def test_named_layers_stay_float_and_a_name_that_fits_none_is_refused(digits, tmp_path) -> None:
    kept = write(digits.model_path, "tflite_mixed", tmp_path, name="kept", labels=LABELS,
                 calibration=digits.calibration, rounding=Rounding(keep=("logits",)))  # fmt: skip
    assert kept.contract.float_tensors > 0
    assert {"QUANTIZE", "DEQUANTIZE"} & set(kept.contract.operators)
    assert kept.contract.input.dtype == "int8"
    report = gate(kept.path, kept.contract, digits.images, digits.logits, digits.labels)
    assert report.passed, report.cause
    (failure,) = write_many(
        digits.model_path, ["tflite_mixed"], tmp_path, name="none", labels=LABELS, calibration=digits.calibration,
        rounding=Rounding(keep=("head_*",)),
    ).failures  # fmt: skip
    assert failure.by_person
    assert "fits no layer of the file; its layers are" in failure.cause
