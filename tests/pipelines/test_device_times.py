"""Times from a person's device: the bundle's own script takes them, and Compare shows them in place of ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipelines.__main__ import main
from pipelines.proof import write_proof
from pipelines.runs import Home, Registry


@pytest.fixture(scope="module")
def taken(judged_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report's bundle after its script ran there, as it would on a device."""
    folder = tmp_path_factory.mktemp("device")
    home = Home.open(judged_home)
    (run,) = Registry(home).list()
    write_proof(Registry(home), [run.id], folder / "report.zip")
    home.close()
    with zipfile.ZipFile(folder / "report.zip") as archive:
        archive.extractall(folder / "there")
    done = subprocess.run(
        [sys.executable, "-I", "time_files.py"], cwd=folder / "there", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "there" / "times.json"


@pytest.fixture
def home(judged_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "home"
    shutil.copytree(judged_home, copy, symlinks=True)
    monkeypatch.setenv("LITESMITH_HOME", str(copy))
    return copy


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_times_of_a_device_stand_in_place_of_ours_when_asked_for(home, taken, capsys):
    (run,) = Registry(Home.open(home)).list()
    ours = {row["id"]: row["latency_ms"] for row in answer(capsys, "compare", run.id)["rows"]}
    found = answer(capsys, "device-times", str(taken), "--name", "Pixel 8")
    assert found["device"] == "Pixel 8"
    assert found["unknown"] == []
    assert {row["artifact"] for row in found["rows"]} == set(ours)
    again = {row["id"]: row["latency_ms"] for row in answer(capsys, "compare", run.id)["rows"]}
    assert again == ours, "a device's times must not stand in for this machine's unasked"
    there = answer(capsys, "compare", run.id, "--device", "Pixel 8")["rows"]
    assert {row["id"]: row["latency_ms"] for row in there} == {
        row["artifact"]: row["median_ms"] for row in found["rows"]
    }
    assert all(row["ratio"] is not None for row in there)
    assert {row["machine"]["where"] for row in there} == {"Pixel 8"}
    answer(capsys, "device-times", str(taken), "--name", "Pixel 8")
    assert Registry(Home.open(home)).devices(list(ours)) == ["Pixel 8"], "the same device again replaces its times"
    assert main(["compare", run.id, "--device", "Pixel 9"]) == 2
    assert "there are those of Pixel 8" in capsys.readouterr().err


def test_files_of_another_home_are_named_and_left_out(home, taken, tmp_path, capsys):
    times = json.loads(taken.read_text())
    times["rows"][0]["sha256"] = "0" * 64
    (tmp_path / "some.json").write_text(json.dumps(times))
    assert answer(capsys, "device-times", str(tmp_path / "some.json"))["unknown"] == [times["rows"][0]["file"]]
    for row in times["rows"]:
        row["sha256"] = "0" * 64
    (tmp_path / "none.json").write_text(json.dumps(times))
    assert main(["device-times", str(tmp_path / "none.json")]) == 2
    assert "is in this home" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda times: times.update(version=2), "version"),
        (lambda times: times["rows"][0]["round_ms"].__setitem__(0, -1), "greater than 0"),
        (lambda times: times["rows"][0]["round_ms"].__setitem__(0, float("nan")), "finite number"),
        (lambda times: times["rows"][0].update(round_ms=[1.0] * 3), "at least 8"),
        (lambda times: times["rows"][0].update(round_ms=[1.0] * 9), "same rounds"),
        (lambda times: times["rows"].clear(), "at least 1"),
        (lambda times: times["rows"][0].update(sha256="../../etc"), "pattern"),
    ],
)
def test_times_that_cannot_be_are_refused(change, said, home, taken, tmp_path, capsys):
    times = json.loads(taken.read_text())
    change(times)
    (tmp_path / "bad.json").write_text(json.dumps(times))
    assert main(["device-times", str(tmp_path / "bad.json")]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b"[]", b"null"])
def test_what_is_no_times_file_is_refused(content, home, tmp_path, capsys):
    (tmp_path / "bad.json").write_bytes(content)
    assert main(["device-times", str(tmp_path / "bad.json")]) == 2
    assert "holds no times of ours" in capsys.readouterr().err


def test_a_device_that_lacks_a_runtime_times_the_other_files(tmp_path, judged_home):
    home = Home.open(judged_home)
    registry = Registry(home)
    (run,) = registry.list()
    write_proof(registry, [run.id], tmp_path / "report.zip")
    home.close()
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        archive.extractall(tmp_path / "there")
    broken = next((tmp_path / "there").glob("*int8.tflite"))
    broken.write_bytes(b"no file that opens")
    done = subprocess.run(
        [sys.executable, "-I", "time_files.py", "out.json"], cwd=tmp_path / "there", capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"left out {broken.name}" in done.stderr
    assert len(json.loads((tmp_path / "there" / "out.json").read_text())["rows"]) == 1
