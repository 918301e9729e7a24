from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exports import Artifact, Contract, ExportFailed, predict, save_model, write, write_many

LABELS = tuple("0123456789")

PIXEL_STEP_COSTS_NOTHING = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "MEAN": 1}


@pytest.mark.parametrize(
    "format_id",
    ["tflite_float32", "tflite_float16", "tflite_dynamic", "tflite_int8", "tflite_uint8", "tflite_int16x8", "edgetpu",
     "onnx_float32", "keras", "bundle"],
)
def test_an_artifact_is_described_by_the_files_beside_it(format_id: str, artifacts: dict[str, Artifact]):
    artifact = artifacts[format_id]
    data = artifact.path.read_bytes()
    assert artifact.sha256 == artifact.contract.sha256 == hashlib.sha256(data).hexdigest()
    assert artifact.bytes == len(data)
    assert artifact.gzip_bytes == len(gzip.compress(data, 9))
    assert Contract.beside(artifact.path) == artifact.contract
    assert artifact.contract.labels == LABELS
    assert set(artifact.files) >= {"artifact", "contract", "labels"}
    assert ("selftest" in artifact.files) == (format_id != "bundle")
    assert artifact.path.with_name("labels.txt").read_text().split() == list(LABELS)
    assert not list(artifact.path.parent.glob("*partial*"))


@pytest.mark.parametrize("format_id", ["tflite_float32", "tflite_dynamic", "tflite_int8", "tflite_int16x8", "edgetpu"])
def test_the_step_from_pixels_folds_away(format_id: str, artifacts: dict[str, Artifact]):
    assert artifacts[format_id].contract.operators == PIXEL_STEP_COSTS_NOTHING


def test_integer_files_take_the_bytes_of_an_image_and_hold_no_float(artifacts: dict[str, Artifact]):
    ends = {one: artifacts[one].contract.input for one in ("tflite_int8", "tflite_uint8", "edgetpu")}
    assert {one: (end.dtype, end.scale, end.zero_point) for one, end in ends.items()} == {
        "tflite_int8": ("int8", 1.0, -128), "tflite_uint8": ("uint8", 1.0, 0), "edgetpu": ("int8", 1.0, -128),
    }
    for format_id in ("tflite_int8", "tflite_uint8", "tflite_int16x8", "edgetpu"):
        assert artifacts[format_id].contract.float_tensors == 0


def test_int8_is_smaller_than_float16_and_that_than_float32_after_compression(artifacts: dict[str, Artifact]):
    sizes = [artifacts[one].gzip_bytes for one in ("tflite_int8", "tflite_float16", "tflite_float32")]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("format_id", ["tflite_float32", "onnx_float32"])
def test_float_files_agree_with_keras(format_id: str, digits, artifacts: dict[str, Artifact]):
    artifact = artifacts[format_id]
    logits = predict(artifact.path, artifact.contract, digits.images)
    assert np.abs(logits - digits.logits).max() < 1e-4


def test_the_onnx_file_names_its_ends_and_passes_the_checker(artifacts: dict[str, Artifact]):
    import onnx

    model = onnx.load(str(artifacts["onnx_float32"].path))
    onnx.checker.check_model(model, full_check=True)
    image, answer = model.graph.input[0], model.graph.output[0]
    assert (image.name, answer.name) == ("image", "logits")
    assert [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim] == ["batch", 16, 16, 1]
    assert [d.dim_param or d.dim_value for d in answer.type.tensor_type.shape.dim] == ["batch", 10]
    assert model.opset_import[0].version == 17


def test_a_file_is_the_same_whatever_is_written_with_it(digits, artifacts: dict[str, Artifact], tmp_path: Path):
    """Hashes are the keys of the store and of a replay: neither company, order nor folder may change a byte."""
    written = write_many(
        digits.model_path, ["bundle", "onnx_float32", "tflite_int8"], tmp_path, name="small", labels=LABELS,
        calibration=digits.calibration,
    )
    again = {artifact.format: artifact for artifact in written.artifacts}
    assert list(again) == ["bundle", "onnx_float32", "tflite_int8"]
    for format_id in ("tflite_int8", "onnx_float32"):
        assert again[format_id].sha256 == artifacts[format_id].sha256
        assert again[format_id].contract == artifacts[format_id].contract


def test_grouped_convolutions_reach_onnx_and_agree(tmp_path: Path):
    from zoo.keras import keras

    keras.utils.set_random_seed(5)
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(8, 3, groups=4, padding="same")(keras.layers.Conv2D(8, 3, activation="relu")(image))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))
    save_model(model, tmp_path / "m.keras")
    artifact = write(tmp_path / "m.keras", "onnx_float32", tmp_path, name="m", labels="abc")
    assert artifact.contract.operators["Conv"] == 2
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    logits = predict(artifact.path, artifact.contract, images)
    assert np.abs(logits - model.predict(images / np.float32(255), verbose=0)).max() < 1e-4


def test_a_format_that_crashes_its_process_is_reported_and_the_others_are_written(tmp_path: Path):
    """Int16 activations with layer normalisation convert, and the first run of the file ends in SIGABRT."""
    from zoo.keras import keras

    keras.utils.set_random_seed(5)
    image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.LayerNormalization()(keras.layers.Conv2D(8, 3)(image))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))
    save_model(model, tmp_path / "m.keras")
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 1), np.uint8)
    written = write_many(
        tmp_path / "m.keras", ["tflite_float32", "tflite_int16x8", "tflite_dynamic"], tmp_path / "out", name="m",
        labels="abc", calibration=images,
    )
    assert [artifact.format for artifact in written.artifacts] == ["tflite_float32", "tflite_dynamic"]
    (failure,) = written.failures
    assert failure.format == "tflite_int16x8"
    assert "SIGABRT" in failure.cause
    assert not failure.by_person
    assert not list((tmp_path / "out").glob("*int16x8*"))


def test_a_write_that_runs_out_of_time_fails_with_the_limit_named(digits, tmp_path: Path):
    with pytest.raises(ExportFailed, match=r"did not finish within 0\.3 s"):
        write(digits.model_path, "tflite_float32", tmp_path, name="m", labels=LABELS, timeout_s=0.3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../up"}, "cannot be a file name"),
        ({"labels": ["a", ""]}, "a label is empty"),
        ({"resize": "magic"}, "bilinear antialias"),
        ({"channel_order": "BGR"}, "RGB, grey"),
        ({"int8_aware": True}, "stored as .h5"),
        ({"format_id": "tflite_int4"}, "tflite_int"),
        ({"model_path": "/nowhere/m.keras"}, "no model file"),
    ],
)
def test_what_a_person_can_mend_is_said_before_any_process_starts(
    change: dict[str, Any], words: str, digits, tmp_path: Path
):
    call: dict[str, Any] = {"model_path": digits.model_path, "format_id": "tflite_int8", "out_dir": tmp_path / "out",
                            "name": "m", "labels": LABELS, **change}
    with pytest.raises(ValueError, match=words):
        write(**call)


def test_missing_calibration_and_wrong_labels_are_the_persons_error_and_spare_the_other_formats(
    digits, tmp_path: Path
):
    written = write_many(digits.model_path, ["tflite_int8", "tflite_float32"], tmp_path, name="m", labels=LABELS)
    assert [artifact.format for artifact in written.artifacts] == ["tflite_float32"]
    assert written.failures[0].by_person
    assert "calibration images" in written.failures[0].cause
    with pytest.raises(ValueError, match="2 labels were given for a model with 10 classes"):
        write(digits.model_path, "tflite_float32", tmp_path, name="m", labels=("a", "b"))


def test_bundles_of_equal_files_are_equal_and_hold_no_date(digits, artifacts: dict[str, Artifact], tmp_path: Path):
    from exports.writers.bundle import write_bundle

    members = [(artifacts[one].path, artifacts[one].contract) for one in ("tflite_int8", "onnx_float32")]
    write_bundle(members, tmp_path / "a.zip")
    write_bundle(members, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as bundle:
        assert {entry.date_time for entry in bundle.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        names = set(bundle.namelist())
    assert names >= {"classify.py", "labels.txt", "bundle.json", "small_tflite_int8.contract.json",
                     "small_tflite_int8.selftest.npz", "small_onnx_float32.onnx"}


def test_the_scripts_of_a_bundle_run_files_whose_contract_is_older_than_offsets(
    artifacts: dict[str, Artifact], tmp_path: Path
):
    from exports.writers.bundle import write_bundle

    artifact = artifacts["tflite_int8"]
    write_bundle([(artifact.path, artifact.contract)], tmp_path / "bundle.zip")
    with zipfile.ZipFile(tmp_path / "bundle.zip") as bundle:
        bundle.extractall(tmp_path)
    place = tmp_path / artifact.contract_path.name
    older = json.loads(place.read_text())
    del older["input"]["pixel_offset"]
    place.write_text(json.dumps(older))
    Image.new("L", (16, 16)).save(tmp_path / "digit.png")
    for script, argument in (("classify.py", "digit.png"), ("time_files.py", "times.json")):
        subprocess.run(
            [sys.executable, "-P", script, argument], capture_output=True, text=True, check=True, cwd=tmp_path
        )


@pytest.mark.parametrize("format_id", ["tflite_int8", "tflite_float32", "tflite_int16x8", "onnx_float32"])
def test_the_sample_in_the_bundle_names_the_class_of_a_real_picture(
    format_id: str, digits, artifacts: dict[str, Artifact], tmp_path: Path
):
    from exports.writers.bundle import write_bundle

    artifact = artifacts[format_id]
    write_bundle([(artifact.path, artifact.contract)], tmp_path / "bundle.zip")
    with zipfile.ZipFile(tmp_path / "bundle.zip") as bundle:
        bundle.extractall(tmp_path / "unpacked")
    with np.load(tmp_path / "unpacked" / artifact.files["selftest"].name) as stored:
        picture, expected = stored["pixels"][0], stored["output"][0]
    Image.fromarray(picture[..., 0]).save(tmp_path / "digit.png")
    done = subprocess.run(
        [sys.executable, "-P", str(tmp_path / "unpacked" / "classify.py"), str(tmp_path / "digit.png")],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )
    assert done.stdout.strip() == LABELS[int(expected.argmax())]
    (tmp_path / "notes.png").write_text("no picture")
    for argument, code, said in (("--help", 0, "the self-test"), ("notes.png", 1, "cannot identify"),
                                 ("gone.png", 1, "No such file")):  # fmt: skip
        odd = subprocess.run(
            [sys.executable, "-P", str(tmp_path / "unpacked" / "classify.py"), argument],
            capture_output=True, text=True, check=False, cwd=tmp_path,
        )
        assert odd.returncode == code
        assert said in odd.stdout + odd.stderr
        assert "Traceback" not in odd.stderr
    lines = (tmp_path / "unpacked" / "classify.py").read_text().splitlines()
    assert len(lines) <= 24
