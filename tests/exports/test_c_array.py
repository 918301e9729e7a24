"""C++ sources: they compile, the self-test finds every changed byte, and the gate looks at them as well."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from exports import Artifact, Contract, gate, write_many
from exports.writers.c_array import bytes_of, sources
from tests.exports.conftest import LABELS

COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler here")
STRICT = ("-std=c++17", "-Wall", "-Wextra", "-Werror", "-pedantic")


@pytest.fixture(scope="module")
def packed(digits, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    written = write_many(
        digits.model_path, ["c_array", "bundle"], tmp_path_factory.mktemp("packed"), name="small", labels=LABELS,
        calibration=digits.calibration,
    )  # fmt: skip
    assert written.failures == ()
    return {artifact.format: artifact for artifact in written.artifacts}


@pytest.fixture
def unpacked(packed, tmp_path: Path) -> Path:
    with zipfile.ZipFile(packed["c_array"].path) as archive:
        archive.extractall(tmp_path)
    return tmp_path


def built(folder: Path) -> Path:
    assert COMPILER is not None
    done = subprocess.run(
        [COMPILER, *STRICT, "model_data.cc", "selftest.cc", "-o", "selftest"], cwd=folder, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "selftest"


def test_the_int8_file_is_written_with_it_and_the_array_holds_its_bytes(packed, unpacked):
    assert set(packed) == {"c_array", "bundle", "tflite_int8"}
    file = packed["tflite_int8"].path.read_bytes()
    assert bytes_of((unpacked / "model_data.cc").read_bytes()) == file
    assert (unpacked / "small_tflite_int8.tflite").read_bytes() == file


@needs_compiler
def test_the_self_test_compiles_without_a_warning_and_names_the_classes(unpacked):
    done = subprocess.run([built(unpacked)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "ok: " in done.stdout
    with np.load(unpacked / "small_tflite_int8.selftest.npz") as stored:
        expected = [LABELS[int(one.argmax())] for one in stored["output"]]
    assert re.findall(r"must answer (\S+)", done.stdout) == expected


@needs_compiler
@pytest.mark.parametrize("place", [0.0, 0.3, 0.999])
def test_a_changed_byte_is_found_by_the_self_test_and_by_the_gate(place, packed, unpacked, digits):
    source = (unpacked / "model_data.cc").read_text("ascii")
    start = source.index("= {\n") + 4
    values = source[start : source.index("};")].split(",")
    at = int(place * (len(values) - 1))
    values[at] = str((int(values[at]) + 1) % 256)
    changed = source[:start] + ",".join(values) + source[source.index("};") :]
    (unpacked / "model_data.cc").write_text(changed, "ascii")
    done = subprocess.run([built(unpacked)], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "the bytes changed" in done.stdout
    zipped = unpacked / "changed.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        for member in unpacked.iterdir():
            if member.suffix not in (".zip", ""):
                archive.write(member, member.name)
    report = judged(zipped, packed["c_array"].contract, digits)
    assert [check.name for check in report.checks if not check.passed] == ["array"]


def judged(path: Path, contract: Contract, digits):
    return gate(path, contract, digits.images, digits.logits, digits.labels, check_hash=False)


def test_the_gate_passes_it_with_the_file_inside(packed, digits):
    report = gate(packed["c_array"].path, packed["c_array"].contract, digits.images, digits.logits, digits.labels)
    assert report.passed, report.cause
    names = [check.name for check in report.checks]
    assert "array" in names
    assert "small_tflite_int8.tflite: agreement" in names


@needs_compiler
def test_labels_of_any_kind_are_c_strings(packed, tmp_path):
    import dataclasses

    artifact = packed["tflite_int8"]
    odd = ('say "cheese"', "Käse ß", "a\\b", "what??/", "日本", "%d", "1", "0x7f", "tab\tbed", "}; {")
    contract = dataclasses.replace(artifact.contract, labels=odd)
    for name, content in sources(artifact.path, contract).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "selftest.cc").write_text(
        '#include <cstdio>\n#include "model_data.h"\n'
        "int main() { for (const char* one : litesmith::kLabels) std::puts(one); }\n"
    )
    done = subprocess.run([built(tmp_path)], capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == list(odd)


def test_every_operator_of_the_file_is_registered_once(packed, unpacked):
    text = (unpacked / "model_operators.h").read_text("ascii")
    calls = re.findall(r"operators\.Add(\w+)\(\)", text)
    assert len(calls) == len(set(calls)) == int(re.findall(r"Resolver<(\d+)>", text)[0])
    assert len(calls) == len(packed["tflite_int8"].contract.operators)
    assert "FullyConnected" in calls


def test_the_sample_runs_where_there_is_only_the_runtime_and_numpy(packed, tmp_path):
    # Nothing but the interpreter's own library and what the runtime itself declares: no Pillow, nothing of ours.
    with zipfile.ZipFile(packed["bundle"].path) as archive:
        archive.extractall(tmp_path / "unpacked")
    bare = tmp_path / "bare"
    bare.mkdir()
    wanted = ["ai-edge-litert"]
    wanted += [re.split(r"[^\w.-]", one)[0] for one in metadata.requires("ai-edge-litert") or [] if "extra" not in one]
    for package in wanted:
        for file in metadata.files(package) or []:
            top = Path(file.parts[0])
            if ".." in file.parts or top.suffix == ".dist-info" or (bare / top).exists():
                continue
            (bare / top).symlink_to(Path(str(metadata.distribution(package).locate_file(top))))
    code = (
        f"import sys, runpy; sys.path.append({str(bare)!r}); sys.argv = ['classify.py', *sys.argv[1:]]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, cwd=tmp_path / "unpacked", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "self-test: 2 of 2 as expected" in done.stdout
    check = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(bare)!r}); import PIL"]
    assert subprocess.run(check, capture_output=True, check=False).returncode != 0
    asked = subprocess.run(
        [*command, "photo.png"], cwd=tmp_path / "unpacked", capture_output=True, text=True, check=False
    )
    assert (asked.returncode, asked.stdout) == (1, "")
    assert asked.stderr.splitlines()[-1] == "photo.png: No module named 'PIL'; photos need Pillow: pip install pillow"
    with np.load(tmp_path / "unpacked" / "small_tflite_int8.selftest.npz") as stored:
        wrong = {**stored, "output": stored["output"][:, ::-1]}
    np.savez(tmp_path / "unpacked" / "small_tflite_int8.selftest.npz", **wrong)
    done = subprocess.run(command, cwd=tmp_path / "unpacked", capture_output=True, text=True, check=False)
    assert done.returncode == 1
