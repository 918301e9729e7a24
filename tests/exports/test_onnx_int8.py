"""ONNX int8: the same numbers as the int8 TFLite file, for the trained digits and for every network of the zoo."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnx.reference
import pytest

from exports import Artifact, predict, write_many
from exports.model_file import save_model
from exports.onnx_constants import give_each_its_own
from exports.tflite_file import KERNEL_CHANNELS
from exports.writers import WRITERS
from exports.writers.onnx_int8 import ends_of
from exports.writers.source import Source
from tests.exports.conftest import LABELS
from tests.exports.onnx_layers import layers_apart
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
    assert np.array_equal(answers, predict(plain.path, plain.contract, digits.images))


def test_two_layers_that_read_one_constant_get_one_each():
    # As the sixth of hard sigmoids is read in what tf2onnx writes.
    model = onnx.parser.parse_model(SHARED)
    assert readers_of_constants(model) == {"sixth": 2, "other": 1, "six": 2, "none": 4}
    image = {"x": np.arange(-2, 2, dtype=np.float32)}
    answers = onnx.reference.ReferenceEvaluator(model).run(None, image)
    give_each_its_own(model.graph)
    onnx.checker.check_model(model, full_check=True)
    assert max(readers_of_constants(model).values()) == 1
    assert np.array_equal(onnx.reference.ReferenceEvaluator(model).run(None, image), answers)
    again = model.SerializeToString()
    give_each_its_own(model.graph)
    assert model.SerializeToString() == again


SHARED = """
<ir_version: 8, opset_import: ["": 19]>
shared (float[4] x) => (float[4] answer)
<int8[1] six = {6}, float scale = {0.5}, int8 none = {0}, float[4] six_2 = {9, 9, 9, 9}>
{
  sixth = DequantizeLinear(six, scale, none)
  other = DequantizeLinear(six, scale, none)
  first = Mul(x, sixth)
  second = Mul(first, sixth)
  third = Add(second, other)
  q = QuantizeLinear(third, scale, none)
  d = DequantizeLinear(q, scale, none)
  answer = Add(d, six_2)
}
"""


def readers_of_constants(model: onnx.ModelProto) -> dict[str, int]:
    """How many nodes read each int8 constant, and each node that dequantises one."""
    constants = {one.name for one in model.graph.initializer if one.data_type == onnx.TensorProto.INT8}
    opening = [node for node in model.graph.node if node.op_type == "DequantizeLinear" and node.input[0] in constants]
    read = Counter(name for node in model.graph.node for name in node.input)
    return {name: read[name] for name in (*constants, *(node.output[0] for node in opening))}


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")
def test_a_dense_layer_on_a_map_keeps_its_bias(tmp_path: Path):
    # LiteRT drops the flattening of a map of one pixel, and tf2onnx then the bias.
    from zoo.keras import keras

    keras.utils.set_random_seed(3)
    layers, far = keras.layers, partial(keras.initializers.RandomUniform, -2, 2)
    image = keras.Input((8, 8, 1))
    x = layers.Flatten()(layers.MaxPooling2D(8)(layers.Conv2D(16, 3, padding="same", activation="relu")(image)))
    x = layers.Dense(16, activation="relu", bias_initializer=far())(x)
    model = keras.Model(image, layers.Dense(3, bias_initializer=far())(x))
    save_model(model, tmp_path / "model.keras")
    pixels = np.random.default_rng(5).integers(0, 256, (8, 8, 8, 1), dtype=np.uint8)
    source, paths = Source(tmp_path / "model.keras", pixels), {}
    for format_id in ("tflite_int8", "onnx_int8"):
        paths[format_id] = tmp_path / format_id
        WRITERS[format_id](source, format_id, paths[format_id])
    raw = np.random.default_rng(6).integers(-128, 128, (4, 8, 8, 1), dtype=np.int8)
    apart = layers_apart(paths["tflite_int8"], paths["onnx_int8"], raw, tmp_path)
    assert len(apart) >= 3
    assert max(apart.values()) <= 1


@pytest.mark.parametrize("name", others_slow(NAMES, ("mobilenet_v1",)))
def test_no_layer_is_more_than_a_step_from_the_tflite_files(name: str, tmp_path: Path):
    # Layer by layer: behind fifty layers of an untrained network the last bits of two runtimes have become whole
    # steps, and TFLite's own sets of kernels are 3 to 17 of them apart.
    (tflite, ours), pixels = written(name, ["tflite_int8", "onnx_int8"], tmp_path, 32)
    assert max(readers_of_constants(onnx.load(str(ours.path))).values()) == 1
    apart = layers_apart(tflite.path, ours.path, tflite.contract.raw_from_pixels(pixels[:4]), tmp_path)
    operators = tflite.contract.operators
    assert len(apart) >= sum(operators.get(one, 0) for one in KERNEL_CHANNELS)
    assert {tensor: steps for tensor, steps in apart.items() if steps > 1} == {}
