"""Two hundred damaged files whose hashes were made to fit: what answers wrongly is refused, and nothing crashes.

What a file really answers is found out here by the runtime alone, in a process of its own; the gate is not asked.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from exports import LIMITS, Artifact, Contract, contract_path, gate, selftest_path, write_many
from exports.tflite_file import parse
from tests.exports.conftest import LABELS
from tests.zips import rezipped

COUNT = 200
KINDS = ("bytes", "scale", "shape", "operator")
FORMATS = ("tflite_float32", "tflite_int8", "onnx_float32", "onnx_int8", "bundle")
PATIENCE_S = 120

ALONE = """\
import sys
import numpy as np
path, raw, out = sys.argv[1:]
raw = np.load(raw)
if path.endswith(".onnx"):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    net = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = net.get_inputs()[0].name
    answers = [net.run(None, {name: one[None]})[0][0] for one in raw]
else:
    from ai_edge_litert.interpreter import Interpreter
    net = Interpreter(path, num_threads=1)
    net.allocate_tensors()
    answers = []
    for one in raw:
        net.set_tensor(net.get_input_details()[0]["index"], one[None])
        net.invoke()
        answers.append(net.get_tensor(net.get_output_details()[0]["index"])[0])
np.save(out, np.stack(answers))
"""


def damaged(data: bytes, kind: str, onnx: bool, rng: np.random.Generator) -> bytes:
    """The file with one thing wrong. Kinds other than bytes leave a file that can be read."""
    if kind == "bytes":
        content = bytearray(data)
        for at in rng.integers(0, len(content), rng.choice([1, 16, 256])):
            content[at] = (content[at] + int(rng.integers(1, 256))) % 256
        return bytes(content)
    return _damaged_onnx(data, kind, rng) if onnx else _damaged_tflite(data, kind, rng)


def _damaged_tflite(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    import flatbuffers

    model = parse(data).model
    main = model.subgraphs[0]
    if kind == "operator":
        code = model.operatorCodes[int(rng.integers(len(model.operatorCodes)))]
        code.builtinCode = code.deprecatedBuiltinCode = int(rng.integers(0, 120))
    elif kind == "shape":
        shaped = [one for one in main.tensors if one.shape is not None and len(one.shape)]
        tensor = shaped[int(rng.integers(len(shaped)))]
        tensor.shape = np.array(tensor.shape)
        tensor.shape[int(rng.integers(len(tensor.shape)))] += int(rng.choice([-1, 1, 7, 1000]))
    else:
        scaled = [one for one in main.tensors if one.quantization is not None and one.quantization.scale is not None]
        if scaled:
            tensor = scaled[int(rng.integers(len(scaled)))]
            tensor.quantization.scale = np.array(tensor.quantization.scale) * float(rng.choice([0.1, 0.5, 2, 30]))
        else:  # a float file has no scales: one of its constants becomes another multiple
            _scaled_constant(model, main, float(rng.choice([0.1, 0.5, 2, 30])), rng)
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _scaled_constant(model, main, factor: float, rng: np.random.Generator) -> None:
    held = [one for one in main.tensors if one.type == 0 and model.buffers[one.buffer].data is not None]
    held = [one for one in held if len(model.buffers[one.buffer].data)]
    buffer = model.buffers[held[int(rng.integers(len(held)))].buffer]
    values = np.frombuffer(bytes(buffer.data), np.float32) * np.float32(factor)
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)


def _damaged_onnx(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(data)
    graph = model.graph
    if kind == "operator":
        node = graph.node[int(rng.integers(len(graph.node)))]
        node.op_type = str(rng.choice(["Add", "Conv", "Relu", "Softmax", "Neg", "Loop", "Nonsense"]))
    elif kind == "shape":
        constant = graph.initializer[int(rng.integers(len(graph.initializer)))]
        if constant.dims:
            constant.dims[int(rng.integers(len(constant.dims)))] += int(rng.choice([-1, 1, 7, 1000]))
        else:
            constant.dims.append(7)
    else:
        numbers = [at for at, one in enumerate(graph.initializer) if one.data_type == onnx.TensorProto.FLOAT]
        constant = graph.initializer[int(rng.choice(numbers))]
        values = numpy_helper.to_array(constant) * np.float32(rng.choice([0.1, 0.5, 2, 30]))
        constant.CopyFrom(numpy_helper.from_array(np.asarray(values, np.float32), constant.name))
    return bytes(model.SerializeToString())


def rehashed(contract: Contract, data: bytes) -> Contract:
    return dataclasses.replace(contract, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def beyond_limits(path: Path, contract: Contract, digits, folder: Path) -> bool:
    """Whether the file runs no more, or answers otherwise than its limits allow, by the runtime alone."""
    np.save(folder / "raw.npy", contract.raw_from_pixels(digits.images))
    command = [sys.executable, "-c", ALONE, str(path), str(folder / "raw.npy"), str(folder / "answers.npy")]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        return True
    if done.returncode:
        return True
    raw = np.load(folder / "answers.npy")
    if raw.shape != digits.logits.shape:
        return True
    logits = contract.logits_from_raw(raw).astype(np.float64)
    if not np.isfinite(logits).all():
        return True
    limit = LIMITS[contract.format]
    errors = np.abs(logits - digits.logits) / float(digits.logits.max() - digits.logits.min())
    agreement = (logits.argmax(1) == digits.logits.argmax(1)).mean()
    drop = (digits.logits.argmax(1) == digits.labels).mean() - (logits.argmax(1) == digits.labels).mean()
    return bool(
        agreement < limit.agreement
        or errors.mean() > limit.mean_error
        or errors.max() > limit.max_error
        or drop > limit.accuracy_drop
    )


@pytest.fixture(scope="module")
def files(artifacts: dict[str, Artifact], digits, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """The files of every format, and a bundle of the int8 file alone: more members would only take longer."""
    alone = write_many(
        digits.model_path, ["tflite_int8", "bundle"], tmp_path_factory.mktemp("bundle"), name="small", labels=LABELS,
        calibration=digits.calibration,
    )  # fmt: skip
    return {**artifacts, **{one.format: one for one in alone.artifacts}}


@pytest.mark.slow
@pytest.mark.parametrize("number", range(COUNT))
def test_a_damaged_file_is_refused_when_it_answers_wrongly(number, files: dict[str, Artifact], digits, tmp_path):
    rng = np.random.default_rng(number)
    format_id, kind = FORMATS[number % len(FORMATS)], KINDS[number // len(FORMATS) % len(KINDS)]
    artifact = files[format_id]
    member = files["tflite_int8"] if format_id == "bundle" else artifact
    whole = data = member.path.read_bytes()
    while data == whole:  # a drawn value may be the one that stood there
        data = damaged(whole, kind, member.path.suffix == ".onnx", rng)
    fitting = rehashed(member.contract, data)
    place = tmp_path / member.path.name
    place.write_bytes(data)
    fitting.save(contract_path(place))
    selftest_path(place).write_bytes(selftest_path(member.path).read_bytes())
    wrong = beyond_limits(place, fitting, digits, tmp_path)
    if format_id == "bundle":
        place, unfitting, fitting = _bundled(artifact, member, place, fitting)
    else:
        unfitting = artifact.contract
    left_alone = gate(place, unfitting, digits.images, digits.logits, digits.labels, timeout_s=PATIENCE_S)
    assert not left_alone.passed
    report = gate(place, fitting, digits.images, digits.logits, digits.labels, timeout_s=PATIENCE_S)
    assert not (wrong and report.passed), f"{kind} of {format_id}: {report.as_dict()}"
    assert report.passed or report.cause


def _bundled(bundle: Artifact, member: Artifact, place: Path, fitting: Contract) -> tuple[Path, Contract, Contract]:
    """The bundle with the damaged member, every hash in it made to fit; and its contracts before and after."""

    def damage(entries: dict[str, bytes]) -> None:
        entries[member.path.name] = place.read_bytes()
        entries[contract_path(member.path).name] = contract_path(place).read_bytes()
        listing = json.loads(entries["bundle.json"])
        for row in listing["files"]:
            if row["file"] == member.path.name:
                row["sha256"] = fitting.sha256
        entries["bundle.json"] = json.dumps(listing).encode()

    path = rezipped(Path(shutil.copy(bundle.path, place.with_name("bundle.zip"))), damage)
    return path, bundle.contract, rehashed(bundle.contract, path.read_bytes())
