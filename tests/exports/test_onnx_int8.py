"""ONNX int8: the same numbers as the int8 TFLite file, for the trained digits and for every network of the zoo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from exports import Artifact, predict, write_many
from exports.writers.onnx_int8 import ends_of
from tests.exports.conftest import LABELS
from tests.exports.test_zoo_files import written
from tests.zoo.designs import NAMES, others_slow

# Weights and ranges are equal; what is left is how a runtime rounds a value that lies between two steps.
STEPS = 2


def steps_apart(one: Artifact, other: Artifact, images: np.ndarray) -> np.ndarray:
    """How many steps of the output the two files' answers differ by, `(n, classes)`."""
    scale = one.contract.output.scale
    assert scale == pytest.approx(other.contract.output.scale)
    assert one.contract.output.zero_point == other.contract.output.zero_point
    return np.abs(predict(one.path, one.contract, images) - predict(other.path, other.contract, images)) / scale


def test_it_takes_and_gives_what_the_tflite_file_does(artifacts: dict[str, Artifact], digits):
    tflite, onnx = artifacts["tflite_int8"], artifacts["onnx_int8"]
    assert onnx.contract.input.dtype == "int8"
    assert onnx.contract.input.scale == pytest.approx(tflite.contract.input.scale)
    assert onnx.contract.input.zero_point == tflite.contract.input.zero_point
    assert onnx.bytes < 0.8 * artifacts["onnx_float32"].bytes
    assert steps_apart(tflite, onnx, digits.images).max() <= STEPS


def test_a_float_file_has_no_quantised_ends(artifacts: dict[str, Artifact]):
    with pytest.raises(ValueError, match=r"image of .* is not quantised"):
        ends_of(artifacts["onnx_float32"].path)


def test_the_same_model_gives_the_same_bytes(artifacts: dict[str, Artifact], digits, tmp_path: Path):
    # In another order, and so with other counters inside the converter.
    again = write_many(
        digits.model_path, ["onnx_float32", "onnx_int8"], tmp_path, name="small", labels=LABELS,
        calibration=digits.calibration,
    )  # fmt: skip
    assert [one.sha256 for one in again.artifacts] == [artifacts[one.format].sha256 for one in again.artifacts]


def test_constants_may_be_shared_by_files_from_elsewhere(artifacts: dict[str, Artifact], digits, tmp_path: Path):
    plain = artifacts["onnx_int8"]
    graph = onnx.load(str(plain.path))
    constants = {one.name: one for one in graph.graph.initializer if one.data_type == onnx.TensorProto.INT8}
    first: dict[tuple[bytes, tuple[int, ...]], str] = {}
    for node in graph.graph.node:
        for place, name in enumerate(node.input):
            own = constants.get(name)
            if own is not None:
                node.input[place] = first.setdefault((own.raw_data, tuple(own.dims)), name)
    path = tmp_path / "shared.onnx"
    onnx.save(graph, str(path))
    assert len(first) < len(constants)
    answers = predict(path, plain.contract, digits.images)
    assert np.mean(answers.argmax(1) == predict(plain.path, plain.contract, digits.images).argmax(1)) >= 0.95


@pytest.mark.parametrize("name", others_slow(NAMES, ("mobilenet_v1",)))
def test_every_network_answers_alike(name: str, tmp_path: Path):
    files, pixels = written(name, ["tflite_int8", "onnx_int8"], tmp_path, 32)
    apart = steps_apart(*files, pixels)
    assert apart.mean() <= 1, apart
