"""`evaluate` and `measure` on files of a person: nothing is said of a file that is not what its contract tells."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from exports import Artifact, contract_path, save_model, selftest_path, write_many
from pipelines.__main__ import main
from tests.pipelines.small import network


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Artifact:
    folder = tmp_path_factory.mktemp("files")
    save_model(network(), folder / "model.keras")
    labels = tuple(str(digit) for digit in range(10))
    noise = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), np.uint8)
    found = write_many(folder / "model.keras", ["tflite_int8"], folder, name="small", labels=labels, calibration=noise)
    assert not found.failures
    return found.artifacts[0]


@pytest.fixture
def copied(written, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("LITESMITH_HOME", str(tmp_path / "home"))
    for path in (written.path, contract_path(written.path), selftest_path(written.path)):
        shutil.copy(path, tmp_path)
    return tmp_path / written.path.name


def test_a_sound_file_is_judged(copied, capsys) -> None:
    assert main(["evaluate", str(copied), "--data", "digits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 359


@pytest.mark.parametrize("command", [["evaluate", "--data", "digits"], ["measure"]])
def test_a_file_whose_bytes_changed_is_refused(command, copied, capsys) -> None:
    data = bytearray(copied.read_bytes())
    data[len(data) // 2] ^= 0xFF
    copied.write_bytes(bytes(data))
    assert main([*command, str(copied), "--json"]) == 2
    assert "the bytes changed since the contract was written" in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [("output", "scale", float("nan")), ("input", "scale", 0), ("input", "scale", "x"), ("output", "classes", 3),
     (None, "family", "onnx"), (None, "sha256", "0" * 64)],
)  # fmt: skip
def test_a_contract_that_cannot_be_kept_is_the_persons_to_mend(part, key, value, copied, capsys) -> None:
    path = contract_path(copied)
    values = json.loads(path.read_text())
    (values[part] if part else values)[key] = value
    path.write_text(json.dumps(values))
    assert main(["evaluate", str(copied), "--data", "digits", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["kind"] == "person"


def test_a_damaged_file_with_a_matching_hash_is_refused_by_what_it_does(copied, capsys) -> None:
    import hashlib

    data = copied.read_bytes()[: copied.stat().st_size // 2]
    copied.write_bytes(data)
    values = json.loads(contract_path(copied).read_text())
    values |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    contract_path(copied).write_text(json.dumps(values))
    assert main(["evaluate", str(copied), "--data", "digits", "--json"]) == 2
    assert "was not run" in json.loads(capsys.readouterr().out)["error"]
