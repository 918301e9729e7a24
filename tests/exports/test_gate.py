"""The gate on real files, mostly with the hash check off: damage must be found by what a file does."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from exports import Artifact, Contract, GateReport, Limits, contract_path, gate, save_model, selftest_path
from tests.zips import rezipped


@pytest.fixture
def copied(artifacts: dict[str, Artifact], tmp_path: Path) -> Callable[[str], Path]:
    """Copies an artifact with everything beside it, so that a test may damage it."""

    def copy(format_id: str) -> Path:
        for path in artifacts[format_id].files.values():
            shutil.copy(path, tmp_path)
        return tmp_path / artifacts[format_id].path.name

    return copy


def edit(path: Path, change: Callable[[Any], None]) -> None:
    """Change the flatbuffer at `path` through its object form."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(path.read_bytes()), 0))
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def largest_weight(model: Any) -> Any:
    """The buffer of the largest constant of the file."""
    return max(
        (buffer for buffer in model.buffers if buffer.data is not None), key=lambda buffer: len(buffer.data)
    )


def judge(path: Path, digits: Any, *, contract: Contract | None = None, **more: Any) -> GateReport:
    """The gate with the hash check off unless asked for."""
    more = {"check_hash": False, **more}
    return gate(path, contract or Contract.beside(path), digits.images, digits.logits, digits.labels, **more)


def failed(report: GateReport) -> dict[str, str]:
    """Names and messages of the checks that failed."""
    return {check.name: check.message for check in report.checks if not check.passed}


@pytest.mark.parametrize(
    "format_id",
    ["tflite_float32", "tflite_float16", "tflite_dynamic", "tflite_int8", "tflite_uint8", "tflite_int16x8", "edgetpu",
     "onnx_float32", "onnx_int8", "keras"],
)
def test_every_written_file_passes(format_id: str, digits, artifacts: dict[str, Artifact]):
    artifact = artifacts[format_id]
    report = judge(artifact.path, digits, check_hash=True)
    assert report.passed, report.cause
    assert report.cause is None
    names = {check.name for check in report.checks}
    assert names >= {"hash", "runs", "finite outputs", "self-test", "agreement", "accuracy"}


def test_a_bundle_passes_file_by_file(digits, artifacts: dict[str, Artifact]):
    report = judge(artifacts["bundle"].path, digits, check_hash=True)
    assert report.passed, report.cause
    assert sum(check.name.endswith(": agreement") for check in report.checks) == 9


@pytest.mark.parametrize("format_id", ["tflite_float32", "tflite_int8"])
def test_a_corrupted_weight_block_is_refused_as_a_disagreement(format_id: str, digits, copied):
    path = copied(format_id)

    def overwrite(model: Any) -> None:
        buffer = largest_weight(model)
        noise = np.random.default_rng(0).permutation(np.array(buffer.data, np.uint8))
        if format_id == "tflite_float32":
            values = np.array(buffer.data, np.uint8).view(np.float32)
            noise = np.random.default_rng(0).permutation(values).view(np.uint8)
        buffer.data = noise

    edit(path, overwrite)
    report = judge(path, digits)
    assert not report.passed
    assert set(failed(report)) >= {"agreement", "self-test"}
    assert "weights are damaged" in failed(report)["agreement"]
    assert "parent's answer on" in failed(report)["agreement"]


def test_a_corrupted_block_is_found_without_a_self_test_to_help(digits, copied):
    """Whoever rewrites the recorded answers with the damage still meets the parent's logits."""
    path = copied("tflite_int8")
    edit(path, lambda model: setattr(largest_weight(model), "data", largest_weight(model).data[::-1].copy()))
    from exports.run_file import open_runner

    contract = Contract.beside(path)
    with np.load(selftest_path(path)) as stored:
        values = dict(stored)
    runner = open_runner(path, contract, kernels="reference")
    values["output"] = np.concatenate([runner(values["input"][at : at + 1]) for at in range(len(values["input"]))])
    np.savez(selftest_path(path), **values)
    report = judge(path, digits)
    assert "self-test" not in failed(report)
    assert "weights are damaged" in failed(report)["agreement"]


@pytest.fixture(scope="module")
def unit_range_files(digits, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A float32 and an int8 file of the trained network without the pixel step: they want 0..1."""
    from exports import load_model
    from zoo.keras import keras, tf

    folder = tmp_path_factory.mktemp("unit")
    model = load_model(digits.model_path)
    image = keras.Input((16, 16, 1), batch_size=1)
    found = {}
    for kind in ("tflite_float32", "tflite_int8"):
        converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, model(image)))
        if kind == "tflite_int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            batches = [one[None].astype(np.float32) / 255 for one in digits.calibration]
            converter.representative_dataset = lambda batches=batches: ([one] for one in batches)
            converter.inference_input_type = converter.inference_output_type = tf.int8
        found[kind] = folder / f"unit_{kind}.tflite"
        with warnings.catch_warnings():
            # The converter says it has no statistics although it is about to take them; harmless.
            warnings.filterwarnings("ignore", message="Statistics for quantized inputs")
            found[kind].write_bytes(converter.convert())
    return found


def test_a_file_that_wants_0_to_1_but_is_fed_0_to_255_is_refused_as_wrong_range(
    unit_range_files: dict[str, Path], digits, artifacts: dict[str, Artifact], tmp_path: Path
):
    path = Path(shutil.copy(unit_range_files["tflite_float32"], tmp_path))
    shutil.copy(artifacts["tflite_float32"].files["selftest"], selftest_path(path))
    report = judge(path, digits, contract=artifacts["tflite_float32"].contract)
    assert not report.passed
    assert str(report.cause).count("input range is wrong: the file agrees when pixels are given as 0..1") == 1


def test_a_file_that_wants_0_to_255_but_is_fed_0_to_1_is_refused_as_wrong_range(digits, copied):
    path = copied("tflite_float32")
    contract = Contract.beside(path)
    contract = replace(contract, input=replace(contract.input, pixel_scale=1 / 255))
    report = judge(path, digits, contract=contract)
    assert "input range is wrong: the file agrees when pixels are given as 0..255" in (report.cause or "")


def test_an_int8_file_whose_input_saturates_is_refused_before_it_is_compared(
    unit_range_files: dict[str, Path], digits, artifacts: dict[str, Artifact]
):
    from exports.tflite_file import read_facts

    path = unit_range_files["tflite_int8"]
    facts = read_facts(path.read_bytes())
    contract = artifacts["tflite_int8"].contract
    contract = replace(
        contract,
        input=replace(contract.input, scale=facts.inputs[0].scale, zero_point=facts.inputs[0].zero_point),
        output=replace(contract.output, scale=facts.outputs[0].scale, zero_point=facts.outputs[0].zero_point),
    )
    report = judge(path, digits, contract=contract)
    assert "wrong input range: the int8 input covers pixels 0..1 instead of 0..255" in failed(report)["contract"]


@pytest.mark.parametrize("kind", ["float", "uint8"])
def test_images_given_as_0_to_1_are_refused_as_wrong_range(kind: str, digits, artifacts: dict[str, Artifact]):
    artifact = artifacts["tflite_int8"]
    images = digits.images / np.float32(255) if kind == "float" else (digits.images > 127).astype(np.uint8)
    report = gate(artifact.path, artifact.contract, images, digits.logits, digits.labels, check_hash=False)
    assert set(failed(report)) == {"input range"}
    assert "0..255" in failed(report)["input range"]


def test_images_in_the_wrong_channel_order_are_named(tmp_path: Path):
    """Three channels, told apart by colour alone; the parent saw RGB, the gate is handed BGR."""
    from exports import write
    from zoo.keras import keras

    keras.utils.set_random_seed(1)
    random = np.random.default_rng(0)
    labels = np.arange(300, dtype=np.int32) % 3
    images = random.integers(0, 90, (300, 8, 8, 3), np.uint8)
    images[np.arange(300), :, :, labels] += 140
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(8, 3, activation="relu")(image)
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))
    model.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images / np.float32(255), labels, epochs=15, verbose=0)
    save_model(model, tmp_path / "m.keras")
    artifact = write(tmp_path / "m.keras", "tflite_int8", tmp_path, name="m", labels="abc", calibration=images[:50])
    logits = model.predict(images / np.float32(255), verbose=0)
    assert gate(artifact.path, artifact.contract, images, logits, labels).passed
    swapped = np.ascontiguousarray(images[..., ::-1])
    report = gate(artifact.path, artifact.contract, swapped, logits, labels)
    assert "channel order is wrong" in (report.cause or "")


@pytest.mark.parametrize(("code", "words"), [("NobodyKnowsMe", "a custom operator"), ("FlexErf", "Flex")])
def test_a_file_with_an_operator_that_does_not_run_is_refused_by_its_name(
    code: str, words: str, digits, copied
):
    path = copied("tflite_int8")

    def make_custom(model: Any) -> None:
        for operator in model.operatorCodes:
            if operator.builtinCode == schema.BuiltinOperator.MEAN:
                operator.builtinCode = operator.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
                operator.customCode = code.encode()
        for operator in model.subgraphs[0].operators:
            if model.operatorCodes[operator.opcodeIndex].customCode:
                operator.builtinOptions = None
                operator.builtinOptionsType = 0

    edit(path, make_custom)
    report = judge(path, digits)
    assert code in failed(report)["operators"]
    assert words in failed(report)["operators"]
    assert "the runtime refused the file" in failed(report)["runs"]
    assert code in failed(report)["runs"]


def test_a_known_operator_that_cannot_be_prepared_is_refused_with_the_runtimes_words(digits, copied):
    """Every operator is built in, but one is of a version no kernel exists for."""
    path = copied("tflite_int8")
    edit(path, lambda model: setattr(model.operatorCodes[0], "version", 99))
    report = judge(path, digits)
    assert "operators" not in failed(report)
    assert "the runtime refused the file" in failed(report)["runs"]


def test_a_file_that_was_not_frozen_is_refused_for_its_variables(digits, copied):
    path = copied("tflite_float32")

    def add_variable(model: Any) -> None:
        code = schema.OperatorCodeT()
        code.builtinCode = schema.BuiltinOperator.VAR_HANDLE
        code.deprecatedBuiltinCode = 127
        model.operatorCodes.append(code)
        model.subgraphs[0].operators[0].opcodeIndex = len(model.operatorCodes) - 1

    edit(path, add_variable)
    assert "variables were not frozen" in failed(judge(path, digits))["operators"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_outputs_are_refused(value: float, digits, copied):
    path = copied("tflite_float32")

    def poison(model: Any) -> None:
        for buffer in model.buffers:
            if buffer.data is not None and len(buffer.data) == 40:  # the bias of the ten logits
                values = np.array(buffer.data, np.uint8).view(np.float32).copy()
                values[3] = value
                buffer.data = values.view(np.uint8)

    edit(path, poison)
    report = judge(path, digits)
    assert "NaN or infinite" in failed(report)["finite outputs"]
    assert "weights are damaged" in failed(report)["finite outputs"]


def test_changed_bytes_are_refused_by_their_hash_alone(digits, copied):
    path = copied("tflite_int8")
    path.write_bytes(path.read_bytes() + b"\0")
    assert set(failed(judge(path, digits, check_hash=True))) == {"hash"}
    assert judge(path, digits).passed


@pytest.mark.parametrize("kind", ["cut short", "noise", "empty"])
def test_bytes_that_are_no_model_are_a_refusal_and_not_a_crash(kind: str, digits, copied):
    path = copied("tflite_int8")
    data = path.read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, len(data), np.uint8).tobytes()
    path.write_bytes({"cut short": data[: len(data) // 2], "noise": noise, "empty": b""}[kind])
    report = judge(path, digits)
    assert not report.passed
    assert failed(report).keys() & {"readable", "runs", "contract"}


def test_a_contract_of_another_file_is_refused(digits, artifacts: dict[str, Artifact], copied):
    path = copied("tflite_int8")
    report = judge(path, digits, contract=artifacts["tflite_uint8"].contract)
    assert "input dtype is int8 in the file, uint8 in the contract" in failed(report)["contract"]
    short = replace(Contract.beside(path), labels=("a", "b"))
    assert "number of labels is 10 in the file, 2" in failed(judge(path, digits, contract=short))["contract"]


def test_a_missing_file_or_self_test_is_a_refusal(digits, copied, tmp_path: Path):
    path = copied("tflite_int8")
    selftest_path(path).unlink()
    assert "is missing" in failed(judge(path, digits))["self-test"]
    contract = Contract.beside(path)
    path.unlink()
    assert "file" in failed(judge(path, digits, contract=contract))


def test_stricter_limits_can_be_asked_for(digits, artifacts: dict[str, Artifact]):
    artifact = artifacts["tflite_int8"]
    strict = Limits(agreement=1.0, mean_error=1e-6, max_error=1e-6, accuracy_drop=0.0)
    assert not judge(artifact.path, digits, limits=strict).passed
    assert not judge(artifact.path, digits, limits={"tflite_int8": strict}).passed


def test_arguments_that_do_not_belong_together_are_the_callers_error(digits, artifacts: dict[str, Artifact]):
    artifact = artifacts["tflite_int8"]
    with pytest.raises(ValueError, match="parent logits"):
        gate(artifact.path, artifact.contract, digits.images, digits.logits[:5], digits.labels)
    with pytest.raises(ValueError, match="one label per image"):
        gate(artifact.path, artifact.contract, digits.images, digits.logits, digits.labels[:5])
    with pytest.raises(ValueError, match="parent model itself"):
        gate(artifact.path, artifact.contract, digits.images, digits.logits * np.nan, digits.labels)


def test_a_damaged_bundle_names_the_member(digits, artifacts: dict[str, Artifact], tmp_path: Path):
    path = Path(shutil.copy(artifacts["bundle"].path, tmp_path))
    shutil.copy(artifacts["bundle"].contract_path, contract_path(path))
    rezipped(path, lambda entries: entries.update({"small_tflite_int8.tflite": b"\0" * 100}))
    report = judge(path, digits)
    assert set(failed(report)) == {"small_tflite_int8.tflite: readable"}
    path.write_bytes(b"no zip")
    assert "cannot be unpacked" in failed(judge(path, digits))["readable"]


def rewritten(path: Path, changes: dict[str, bytes | None]) -> None:
    """The bundle at `path` with some members replaced, or left out (None)."""
    def change(entries: dict[str, bytes]) -> None:
        for name, data in changes.items():
            if data is None:
                del entries[name]
            else:
                entries[name] = data

    rezipped(path, change)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bundle.json": b'{"files": []}'}, "does not list the files"),
        ({"bundle.json": b'{"files": 5}'}, "does not list the files"),
        ({"bundle.json": b'{"files": [{}]}'}, "does not list the files"),
        ({"bundle.json": b"[1]"}, "does not list the files"),
        ({"bundle.json": b'{"files": [{"file": "../x"}]}'}, "does not list the files"),
        ({"classify.py": None}, "it is not in the bundle"),
        ({"labels.txt": None}, "it is not in the bundle"),
        ({"labels.txt": b"x"}, "labels.txt lists 1 labels"),
        ({"small_tflite_int8.contract.json": b"{}"}, "not a contract of ours"),
    ],
)
def test_a_bundle_whose_parts_do_not_belong_together_is_refused(changes, said, digits, artifacts, tmp_path):
    path = Path(shutil.copy(artifacts["bundle"].path, tmp_path))
    shutil.copy(artifacts["bundle"].contract_path, contract_path(path))
    rewritten(path, changes)
    report = judge(path, digits)
    assert not report.passed
    assert said in str(report.cause)


@pytest.mark.parametrize(
    ("part", "values", "said"),
    [
        ("input", {"range": (0.0, 1.0)}, "wrong input range"),
        ("input", {"order": "RGB"}, "order 'RGB' does not go with 1 channels"),
        ("input", {"resize": "lanczos"}, "resize 'lanczos' is not one of"),
        ("input", {"scale": float("nan")}, "input scale nan is no number above 0"),
        ("output", {"scale": 0.0}, "output scale 0.0 is no number above 0"),
        ("output", {"zero_point": "x"}, "output zero point 'x' is no whole number"),
        ("input", {"height": 0}, "height 0 is no whole number above 0"),
        (None, {"format": "foo"}, "format 'foo' is not one of"),
        (None, {"family": "onnx"}, "family 'onnx' is not that of tflite_int8"),
        (None, {"operators": {"X": 1}}, "list of operators"),
    ],
)
def test_a_contract_that_lies_is_refused_and_not_read_back(part, values, said, digits, copied):
    path = copied("tflite_int8")
    sound = Contract.beside(path)
    lying = replace(sound, **({part: replace(getattr(sound, part), **values)} if part else values))
    report = judge(path, digits, contract=lying)
    assert said in str(report.cause)
    if lying.faults():
        with pytest.raises(ValueError, match="this contract cannot be kept"):
            Contract.from_dict(lying.as_dict())
