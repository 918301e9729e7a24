"""Written files as sketches: the same work as the model they came from, and never more traffic than all its layers."""

from __future__ import annotations

import json

import pytest

import zoo
from exports import load_model
from exports.file_sketch import FileSketch, file_sketch
from tests.exports.conftest import Digits
from zoo import lint

READ = ("tflite_float32", "tflite_float16", "tflite_dynamic", "tflite_int8", "tflite_uint8", "tflite_int16x8",
        "onnx_float32")  # fmt: skip


def macs(sketch: zoo.Sketch) -> int:
    return sum(op.macs for op in sketch.ops)


def traffic(found: FileSketch) -> lint.Traffic:
    return lint.Traffic(found.sketch, found.element_bytes, found.folded)


@pytest.fixture(scope="module")
def whole(digits: Digits) -> zoo.Sketch:
    return zoo.sketch_of(load_model(digits.model_path))


@pytest.fixture(scope="module")
def sketches(artifacts) -> dict[str, FileSketch]:
    return {name: file_sketch(artifacts[name].path) for name in READ}


@pytest.mark.parametrize("name", READ)
def test_a_file_does_the_work_of_its_model(name, sketches, whole):
    found = sketches[name]
    assert macs(found.sketch) == macs(whole)
    kinds = [op.kind for op in found.sketch.ops]
    assert [kinds.count(kind) for kind in ("conv", "depthwise", "dense")] == [2, 1, 1]
    convolution = next(op for op in found.sketch.ops if op.kind == "conv")
    assert (convolution.shape, tuple(convolution.config["kernel_size"])) == ((8, 8, 16), (3, 3))
    assert found.element_bytes == {"tflite_int8": 1, "tflite_uint8": 1, "tflite_int16x8": 2}.get(name, 4)
    assert found.sketch.outputs[-1] in found.sketch


@pytest.mark.parametrize("name", READ)
def test_a_file_moves_no_more_than_all_layers_of_its_model(name, sketches, whole):
    found = sketches[name]
    as_laid = lint.Traffic(whole, found.element_bytes, folded=False)
    assert traffic(found).all_bytes < as_laid.all_bytes


def test_a_float_file_moves_what_the_folded_model_does(sketches, whole):
    # The converter leaves a bias where a norm was, and may put a scaling of pixels in front.
    folded = lint.Traffic(whole).all_bytes
    assert traffic(sketches["tflite_float32"]).all_bytes == pytest.approx(folded, rel=0.03)
    assert traffic(sketches["onnx_float32"]).all_bytes == pytest.approx(folded, rel=0.08)


def test_small_weights_beside_float_maps_count_their_own_bytes(sketches):
    # Convolutions hold 16 * 9, 16 * 9 and 32 * 9 * 16 weights, the dense layer 10 * 32: 3 bytes each are saved by int8
    # and 2 by float16; the converter leaves arrays of less than 1,024 numbers as they are when it makes them int8.
    whole, half, dynamic = (
        traffic(sketches[name]).all_bytes for name in ("tflite_float32", "tflite_float16", "tflite_dynamic")
    )
    assert whole - dynamic == 3 * 32 * 9 * 16
    biases = 16 + 16 + 32 + 10
    assert whole - half == pytest.approx(2 * (16 * 9 + 16 * 9 + 32 * 9 * 16 + 10 * 32 + biases), abs=8)


@pytest.mark.parametrize("name", READ)
def test_a_file_can_be_linted(name, sketches):
    found = traffic(sketches[name])
    report = lint.report(found, lint.look(found), sketches[name].view)
    assert json.loads(json.dumps(report))["view"].startswith(("as written", "folded"))
    assert 0 < report["elementwise_share"] < 1


def test_a_file_that_cannot_be_read_says_why(tmp_path, artifacts):
    whole = artifacts["tflite_int8"].path.read_bytes()
    for name, content in (
        ("cut.tflite", whole[: len(whole) // 3]),
        ("text.tflite", b"not a model"),
        ("a.onnx", b"x" * 99),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} cannot be read: .+"):
            file_sketch(tmp_path / name)
    with pytest.raises(ValueError, match="there is no file"):
        file_sketch(tmp_path / "gone.tflite")
    with pytest.raises(ValueError, match=r"is not a \.tflite or \.onnx file"):
        file_sketch(artifacts["keras"].path)
