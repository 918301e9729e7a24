"""The compiler itself is on no package index; what is tested is how its word is taken, with small stand-in scripts."""

from __future__ import annotations

import shutil
from pathlib import Path

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from exports import Artifact
from exports.writers.edgetpu import COMPILER, READY, CompilerRefused, compile_beside, compiled_path, mapping

SAID = """\
Edge TPU Compiler version 16.0.384591198
Model compiled successfully in 11 ms.

Input model: small.tflite
On-chip memory used for caching model parameters: 32.00KiB
Number of Edge TPU subgraphs: 1
Total number of operations: 5
Operation log: small_edgetpu.log
"""


def stand_in(folder: Path, body: str) -> str:
    """A script in the compiler's place; `$3` is its output folder, `$4` the file."""
    folder.mkdir(exist_ok=True)
    script = folder / COMPILER
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def model(artifacts: dict[str, Artifact], tmp_path: Path) -> Path:
    return Path(shutil.copy(artifacts["edgetpu"].path, tmp_path))


def test_without_a_compiler_the_file_is_marked_ready(artifacts: dict[str, Artifact]):
    if shutil.which(COMPILER):
        pytest.skip("the compiler is installed here")
    assert READY in artifacts["edgetpu"].notes
    assert "compiled" not in artifacts["edgetpu"].files


def test_dense_weights_have_one_scale_and_convolutions_one_per_channel(artifacts: dict[str, Artifact]):
    def scales(format_id: str) -> dict[str, int]:
        data = artifacts[format_id].path.read_bytes()
        parsed = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(data), 0))
        graph = parsed.subgraphs[0]
        return {
            str(parsed.operatorCodes[one.opcodeIndex].builtinCode): len(graph.tensors[one.inputs[1]].quantization.scale)
            for one in graph.operators
            if parsed.operatorCodes[one.opcodeIndex].builtinCode
            in {schema.BuiltinOperator.FULLY_CONNECTED, schema.BuiltinOperator.CONV_2D}
        }

    dense, conv = str(schema.BuiltinOperator.FULLY_CONNECTED), str(schema.BuiltinOperator.CONV_2D)
    assert scales("edgetpu") == {dense: 1, conv: 32}
    assert scales("tflite_int8") == {dense: 10, conv: 32}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo all fine; exit 0", "status 0 but wrote no"),
        ("echo Internal compiler error. Aborting! >&2; exit 1", "status 1: Internal compiler error"),
        ('cp "$4" "$3/small_edgetpu_edgetpu.tflite"', "mapped nothing"),
        ('echo rubbish > "$3/small_edgetpu_edgetpu.tflite"', "not TFLite"),
    ],
)
def test_a_stand_in_compiler_without_a_usable_result_is_refused(body: str, words: str, model: Path, tmp_path: Path):
    before = model.read_bytes()
    with pytest.raises(CompilerRefused, match=words):
        compile_beside(model, stand_in(tmp_path / "bin", body))
    assert model.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [model.name]


def test_a_stand_in_compiler_that_hangs_is_ended(model: Path, tmp_path: Path):
    with pytest.raises(CompilerRefused, match="within"):
        compile_beside(model, stand_in(tmp_path / "bin", "exec sleep 30"), timeout_s=0.3)


def test_a_stand_in_result_with_the_chips_operator_is_accepted_and_its_report_read(model: Path, tmp_path: Path):
    parsed = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(model.read_bytes()), 0))
    parsed.operatorCodes[0].builtinCode = parsed.operatorCodes[0].deprecatedBuiltinCode = 32
    parsed.operatorCodes[0].customCode = b"edgetpu-custom-op"
    builder = flatbuffers.Builder(1024)
    builder.Finish(parsed.Pack(builder), b"TFL3")
    (tmp_path / "done.bin").write_bytes(bytes(builder.Output()))
    (tmp_path / "said.txt").write_text(SAID)
    body = f'cat {tmp_path}/said.txt; cp {tmp_path}/done.bin "$3/small_edgetpu_edgetpu.tflite"'
    notes = compile_beside(model, stand_in(tmp_path / "bin", body))
    assert notes[0].startswith("compiled")
    assert "Number of Edge TPU subgraphs: 1" in notes
    assert compiled_path(model).is_file()
    assert mapping(SAID)[0].endswith("16.0.384591198")
