"""Other ways to round to int8: narrower ranges, biases that were wrong put right, layers that stay float."""

from __future__ import annotations

import numpy as np
import pytest

from exports import Rounding, gate, localise, write, write_many
from exports.bias_correction import corrected
from exports.int8_noise import int8_noise
from exports.model_file import save_model
from exports.ranges import silent_layers, some_of
from exports.run_file import LiteRtRunner
from exports.tflite_file import pack, parse, read_facts
from exports.tflite_rounding import pairs_of
from exports.writers import WRITERS
from exports.writers.source import Source
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
    broken = pack(file.model)
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


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")
def test_layers_that_put_out_nothing_leave_a_file_that_runs(tmp_path) -> None:
    """A gate whose ReLU is always 0, and a sum of two maps that are: the converter's own scales XNNPACK refuses."""
    from zoo import layers
    from zoo.keras import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.relu(layers.conv(image, 8, 3, name="stem_conv", bias=True), name="stem_relu")
    seen = layers.global_pool(x, name="se_pool", keep_map=True)
    seen = layers.relu(layers.conv(seen, 4, name="se_reduce", bias=True), name="se_relu")
    x = layers.gate(x, layers.sigmoid(layers.conv(seen, 8, name="se_expand", bias=True), name="se_sigmoid"), name="se")
    dead = [layers.relu(layers.conv(x, 8, name=f"dead{n}_conv", bias=True), name=f"dead{n}_relu") for n in range(2)]
    x = layers.add([x, layers.add(dead, name="dead_sum")], name="sum")
    model = keras.Model(image, layers.dense(layers.global_pool(x, name="head_pool"), 10, name="logits"))
    model.get_layer("se_expand").bias.assign([1.0] * 8)
    for name in ("se_reduce", "dead0_conv", "dead1_conv"):
        model.get_layer(name).bias.assign([-100.0] * model.get_layer(name).filters)
    save_model(model, tmp_path / "model.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)
    notes = WRITERS["tflite_int8"](Source(tmp_path / "model.keras", pixels), "tflite_int8", tmp_path / "int8.tflite")
    assert len(notes) == 1
    assert notes[0].startswith("se_reduce, dead0_conv, dead1_conv: 0 on every calibration image")
    content = (tmp_path / "int8.tflite").read_bytes()
    assert silent_layers(content) == []
    run = LiteRtRunner(tmp_path / "int8.tflite")
    file = read_facts(content)
    steps = np.concatenate([run((one.astype(np.int16) - 128).astype(np.int8)[None]) for one in pixels])
    answers = (steps.astype(np.float32) - file.outputs[0].zero_point) * file.outputs[0].scale
    wanted = model(pixels.astype(np.float32) / 255.0, training=False).numpy()
    assert np.abs(answers - wanted).max() <= 0.05 * np.abs(wanted).max()
