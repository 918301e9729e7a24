"""A report goes out with its files, and whoever gets it finds every figure and every byte that was changed."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.__main__ import main
from pipelines.proof import write_proof
from pipelines.runs import Home, Registry
from tests.zips import rezipped


@pytest.fixture(scope="module")
def made(judged_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A home with a finished run, and the bundle of its report."""
    bundle = tmp_path_factory.mktemp("proof") / "report.zip"
    home = Home.open(judged_home)
    (run,) = Registry(home).list()
    write_proof(Registry(home), [run.id], bundle)
    home.close()
    return judged_home, bundle


@pytest.fixture
def elsewhere(made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundle on a machine whose home is empty."""
    monkeypatch.setenv("LITESMITH_HOME", str(tmp_path / "other"))
    copy = tmp_path / "report.zip"
    copy.write_bytes(made[1].read_bytes())
    return copy


def verified(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["verify", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def int8_file(entries: dict[str, bytes]) -> str:
    return next(name for name in entries if name.endswith("int8.tflite"))


def relisted(entries: dict[str, bytes], name: str, data: bytes) -> None:
    """Puts other bytes in the place of a file and makes every hash in the bundle fit them."""
    was, now = hashlib.sha256(entries[name]).hexdigest(), hashlib.sha256(data).hexdigest()
    entries[name] = data
    for other, content in entries.items():
        if other.endswith(".json"):
            entries[other] = content.replace(was.encode(), now.encode())


def test_a_stranger_verifies_bytes_accuracy_and_time(elsewhere, capsys):
    code, found = verified(capsys, str(elsewhere), "--data", "digits", "--time", "--rounds", "8")
    assert (code, found["verdict"]) == (0, "verified"), [one for one in found["checks"] if not one["passed"]]
    names = {check["name"].split(": ")[1] for check in found["checks"]}
    assert names >= {"listed", "hash", "finite outputs", "self-test", "report", "accuracy"}
    assert len(found["times"]) == 2
    assert found["times"][0]["ratio"] == 1
    assert main(["verify", str(elsewhere)]) == 0
    assert "bytes and self-tests only" in capsys.readouterr().out


def test_the_page_holds_the_figures_and_runs_nothing(elsewhere):
    with zipfile.ZipFile(elsewhere) as archive:
        page = archive.read("report.html").decode()
        report = json.loads(archive.read("report.json"))
    assert "<script" not in page
    assert "judged &lt;script&gt;" in page
    assert "default-src 'none'" in page
    for row in report["rows"]:
        assert row["sha256"] in page
        assert f"{row['top1']:.4f}" in page
    assert "host" not in report["runs"][0]["environment"]


def test_a_prettier_accuracy_is_found(elsewhere, capsys):
    def flatter(entries: dict[str, bytes]) -> None:
        report = json.loads(entries["report.json"])
        report["rows"][0]["top1"] += 0.02
        entries["report.json"] = json.dumps(report).encode()

    code, found = verified(capsys, str(rezipped(elsewhere, flatter)), "--data", "digits")
    assert (code, found["verdict"]) == (2, "not verified")
    assert any("its own answers are right on" in check["message"] for check in found["checks"])


@pytest.mark.parametrize("content", [None, b"no archive", b"PK\x03\x04 cut short"])
def test_answers_that_cannot_be_read_are_a_failed_check(content, elsewhere, capsys):
    def damage(entries: dict[str, bytes]) -> None:
        del entries["answers.npz"]
        if content is not None:
            entries["answers.npz"] = content

    code, found = verified(capsys, str(rezipped(elsewhere, damage)), "--data", "digits")
    assert (code, found["verdict"]) == (2, "not verified")
    assert any("answers of the files cannot be read" in check["message"] for check in found["checks"])


def test_prettier_answers_are_found_as_well(elsewhere, capsys):
    def flatter(entries: dict[str, bytes]) -> None:
        report = json.loads(entries["report.json"])
        with np.load(io.BytesIO(entries["answers.npz"])) as stored:
            given = dict(stored)
        row = report["rows"][0]
        given[row["id"]] = (given[row["id"]] + np.arange(len(given[row["id"]])) % 2) % 10
        content = io.BytesIO()
        np.savez(content, **given)
        entries["answers.npz"] = content.getvalue()

    code, found = verified(capsys, str(rezipped(elsewhere, flatter)), "--data", "digits")
    assert code == 2
    assert any(check["name"].endswith(": accuracy") and not check["passed"] for check in found["checks"])


def test_another_file_under_the_same_name_is_found_by_its_self_test(elsewhere, capsys):
    def swapped(entries: dict[str, bytes]) -> None:
        name = int8_file(entries)
        data = bytearray(entries[name])
        rng = np.random.default_rng(0)
        middle = len(data) // 2
        data[middle : middle + 400] = rng.integers(0, 256, 400, np.uint8).tobytes()
        relisted(entries, name, bytes(data))

    code, found = verified(capsys, str(rezipped(elsewhere, swapped)))
    assert code == 2
    failed = [check["name"] for check in found["checks"] if not check["passed"]]
    assert all("int8" in name for name in failed)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda entries: entries.update({int8_file(entries): entries[int8_file(entries)] + b"x"}), "the listed one"),
        (lambda entries: entries.pop(int8_file(entries)), "listed, but not in the bundle"),
        (lambda entries: entries.pop(int8_file(entries).replace(".tflite", ".contract.json")), "has no contract"),
        (lambda entries: entries.pop(int8_file(entries).replace(".tflite", ".selftest.npz")), "is missing"),
    ],
)
def test_what_was_taken_or_added_is_named(change, said, elsewhere, capsys):
    code, found = verified(capsys, str(rezipped(elsewhere, change)))
    assert code == 2
    assert any(said in check["message"] for check in found["checks"] if not check["passed"]), found["checks"]


def test_a_report_of_other_bytes_is_found(elsewhere, capsys):
    def other(entries: dict[str, bytes]) -> None:
        report = json.loads(entries["report.json"])
        report["rows"][0]["sha256"] = "0" * 64
        report["rows"][1]["file"] = "elsewhere.tflite"
        entries["report.json"] = json.dumps(report).encode()

    code, found = verified(capsys, str(rezipped(elsewhere, other)))
    told = [check["message"] for check in found["checks"] if not check["passed"]]
    assert code == 2
    assert told == ["the report speaks of other bytes", "the report speaks of it, but it is not in the bundle"]


@pytest.mark.parametrize("content", [b"[]", b"{}", b"\xff", b"[" * 5000, b'{"version": 9, "rows": []}'])
def test_a_damaged_report_is_refused_with_a_sentence(content, elsewhere, capsys):
    rezipped(elsewhere, lambda entries: entries.update({"report.json": content}))
    assert main(["verify", str(elsewhere)]) == 2
    assert "report.json of the bundle cannot be read" in capsys.readouterr().err


def test_what_is_no_bundle_is_refused(elsewhere, tmp_path, capsys):
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "slip.zip", "w") as archive:
        archive.writestr("../bundle.json", "{}")
    for name, said in (("text.zip", "no bundle"), ("slip.zip", "it holds a path"), ("none.zip", "there is no file")):
        assert main(["verify", str(tmp_path / name)]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path.parent / "bundle.json").exists()


def test_other_images_and_a_bundle_without_a_report_prove_no_accuracy(elsewhere, capsys, monkeypatch):
    code, found = verified(capsys, str(elsewhere), "--data", "fashion_mnist") if _fashion() else (2, {"checks": []})
    assert code == 2
    assert all("not the images" in one["message"] for one in found["checks"] if not one["passed"])

    def bare(entries: dict[str, bytes]) -> None:
        for name in ("report.json", "report.html", "answers.npz"):
            del entries[name]

    rezipped(elsewhere, bare)
    assert main(["verify", str(elsewhere)]) == 0
    capsys.readouterr()
    assert main(["verify", str(elsewhere), "--time"]) == 2
    assert "has no report" in capsys.readouterr().err


def _fashion() -> bool:
    return Path("/usr/share/datasets/fashion-mnist").is_dir()


def test_the_command_writes_what_compare_shows(made, tmp_path, capsys, monkeypatch):
    home, _ = made
    monkeypatch.setenv("LITESMITH_HOME", str(home))
    (run,) = Registry(Home.open(home)).list()
    target = tmp_path / "further" / "r.zip"
    assert main(["report", run.id, "--to", str(target), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert target.is_file()
    assert main(["compare", run.id, "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert {row["id"]: row["top1"] for row in document["rows"]} == {key: row["top1"] for key, row in rows.items()}
    assert main(["report", run.id, "--to", "report.txt"]) == 2
    assert "the bundle is a .zip" in capsys.readouterr().err
