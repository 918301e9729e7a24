"""Imports that are killed, cancelled, raced or out of disk leave whole sets or none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.data import open_dataset
from pipelines.data.sandbox import _ROOT

Folders = Callable[..., Path]


def finished(cache: Path) -> list[str]:
    return [path.name for path in (cache / "prepared").iterdir() if path.is_dir()]


def importer(source: str, cache: Path, body: str = "") -> list[str]:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom pipelines.data import open_dataset\n"
        f"def progress(done, total):\n    print(done, flush=True)\n    {body or 'pass'}\n"
        f"d = open_dataset({source!r}, resolution=8, cache=Path({str(cache)!r}), progress=progress)\n"
        "print(d.manifest_sha256)"
    )
    return [sys.executable, "-c", script]


def test_cancelled_import_leaves_nothing_and_can_be_repeated(class_folder: Folders, tmp_path: Path) -> None:
    source = f"folder:{class_folder({'cat': 6, 'dog': 6})}"

    class Cancelled(Exception):
        pass

    def cancel(done: int, total: int) -> None:
        if done == 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        open_dataset(source, cache=tmp_path / "cache", progress=cancel)
    assert finished(tmp_path / "cache") == []
    open_dataset(source, cache=tmp_path / "cache")
    assert len(finished(tmp_path / "cache")) == 1


def test_killed_import_leaves_no_half_set_and_is_swept_away(class_folder: Folders, tmp_path: Path) -> None:
    source, cache = f"folder:{class_folder({'cat': 6, 'dog': 6})}", tmp_path / "cache"
    with subprocess.Popen(
        importer(source, cache, "time.sleep(60) if done == 5 else None"), stdout=subprocess.PIPE, cwd=_ROOT
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline() != b"5\n":
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    assert [name.startswith("building-") for name in finished(cache)] == [True]
    open_dataset("digits", cache=cache)  # another set: whoever comes next tidies up
    assert not any(name.startswith(("building-", "discarded-")) for name in finished(cache))
    assert len(open_dataset(source, resolution=8, cache=cache).splits["train"]) == 8


def test_two_imports_at_once_build_one_set(class_folder: Folders, tmp_path: Path) -> None:
    source, cache = f"folder:{class_folder({'cat': 20, 'dog': 20})}", tmp_path / "cache"
    both = [
        subprocess.Popen(importer(source, cache, "time.sleep(0.02)"), stdout=subprocess.PIPE, cwd=_ROOT, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert outputs[0][-1] == outputs[1][-1]
    assert sum("40" in output for output in outputs) == 1  # one decoded, the other waited
    assert len(finished(cache)) == 1


def test_a_full_disk_is_an_error_that_leaves_nothing(class_folder: Folders, tmp_path: Path) -> None:
    source, cache = f"folder:{class_folder({'cat': 6, 'dog': 6})}", tmp_path / "cache"
    command = importer(source, cache)
    # A limit on file sizes stands in for a full disk: both make an ordinary write fail half way.
    command[2] = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))\n{command[2]}"
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "OSError: [Errno 27]" in done.stderr
    assert finished(cache) == []


@pytest.mark.parametrize("damage", ["cut", "missing", "manifest"])
def test_a_damaged_stored_set_is_prepared_anew(tmp_path: Path, damage: str) -> None:
    before = open_dataset("digits", cache=tmp_path)
    (name,) = finished(tmp_path)
    stored = tmp_path / "prepared" / name
    if damage == "cut":
        os.truncate(stored / "test.npy", 500)
    elif damage == "missing":
        (stored / "train.labels.npy").unlink()
    else:
        (stored / "manifest.json").write_text("{}")
    after = open_dataset("digits", cache=tmp_path)
    assert after.manifest_sha256 == before.manifest_sha256
    assert finished(tmp_path) == [name]
    np.testing.assert_array_equal(after.splits["test"].labels, before.splits["test"].labels)


def test_a_second_opening_decodes_no_image_again(
    class_folder: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"folder:{class_folder({'cat': 30, 'dog': 30})}"
    before = open_dataset(source, resolution=16, cache=tmp_path / "cache")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the set was prepared anew")

    monkeypatch.setattr("pipelines.data._build", refuse)
    assert open_dataset(source, resolution=16, cache=tmp_path / "cache").manifest_sha256 == before.manifest_sha256
