"""Int8-aware models: 8-bit files only, and the same `pixel - 128` at their input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from exports import Artifact, evaluate, gate, load_model, save_model, write, write_many

LABELS = tuple("0123456789")


@dataclass(frozen=True)
class Aware:
    """The stored int8-aware twin of the trained digits network and its own logits on the validation images."""

    path: Path
    logits: np.ndarray


@pytest.fixture(scope="module")
def aware(digits, tmp_path_factory: pytest.TempPathFactory) -> Aware:
    from zoo import int8_aware

    plain = load_model(digits.model_path)
    model = int8_aware.apply(plain)
    int8_aware.warm_ranges(plain, model, digits.calibration / np.float32(255))
    path = tmp_path_factory.mktemp("aware") / "small.h5"
    save_model(model, path)
    return Aware(path, model.predict(digits.images / np.float32(255), verbose=0))


@pytest.fixture(scope="module")
def files(aware: Aware, digits, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    written = write_many(
        aware.path, ["tflite_int8", "tflite_uint8", "edgetpu", "onnx_int8", "keras"], tmp_path_factory.mktemp("files"),
        name="small", labels=LABELS, calibration=digits.calibration, int8_aware=True,
    )
    assert written.failures == ()
    return {artifact.format: artifact for artifact in written.artifacts}


def test_an_int8_aware_model_comes_back_from_its_file(aware: Aware, digits):
    logits = load_model(aware.path).predict(digits.images / np.float32(255), verbose=0)
    assert np.array_equal(logits, aware.logits)


@pytest.mark.parametrize("format_id", ["tflite_int8", "tflite_uint8", "edgetpu", "onnx_int8", "keras"])
def test_its_files_pass_the_gate(format_id: str, aware: Aware, files: dict[str, Artifact], digits):
    artifact = files[format_id]
    report = gate(artifact.path, artifact.contract, digits.images, aware.logits, digits.labels)
    assert report.passed, report.cause


def test_its_int8_file_is_fed_pixel_minus_128_and_holds_no_float(files: dict[str, Artifact], digits):
    contract = files["tflite_int8"].contract
    assert contract.int8_aware
    assert contract.float_tensors == 0
    assert contract.input.scale == pytest.approx(1 / 255, rel=1e-6)
    assert contract.input.zero_point == -128
    raw = contract.raw_from_pixels(digits.images[:1])
    assert np.array_equal(raw, digits.images[:1].astype(np.int16) - 128)


def test_its_int8_file_is_as_right_as_the_plain_model(files: dict[str, Artifact], digits):
    artifact = files["tflite_int8"]
    plain = (digits.logits.argmax(axis=1) == digits.labels).mean()
    found = evaluate(artifact.path, artifact.contract, digits.images, digits.labels)
    assert found.top1 == pytest.approx(plain, abs=0.03)


@pytest.mark.parametrize("format_id", ["tflite_float32", "tflite_float16", "tflite_dynamic", "tflite_int16x8",
                                       "onnx_float32"])
def test_float_files_are_refused_with_the_way_out(format_id: str, aware: Aware, tmp_path: Path):
    with pytest.raises(ValueError, match="from the model before the quantise step"):
        write(aware.path, format_id, tmp_path, name="m", labels=LABELS)
