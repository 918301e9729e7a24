"""The child process holds its limits and its deaths become reasons, not crashes."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.data import sandbox
from pipelines.data.limits import USUAL, Limits
from pipelines.data.sandbox import Picture, Refused, read_picture, read_pictures, unpack


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def all_of(sources: list, limits: Limits = USUAL) -> list[Picture | Refused]:
    outcomes = dict(read_pictures(sources, resolution=(4, 4), channels=3, limits=limits))
    assert sorted(outcomes) == list(range(len(sources)))
    return [outcomes[index] for index in range(len(sources))]


def test_an_upload_is_read_upright_and_sized() -> None:
    pixels = read_picture(png(Image.new("RGB", (20, 10), (9, 8, 7))), resolution=(4, 6), channels=3)
    assert pixels.shape == (4, 6, 3)
    np.testing.assert_array_equal(pixels[0, 0], (9, 8, 7))
    assert read_picture(png(Image.new("RGB", (20, 10), (9, 8, 7)))).shape == (10, 20, 3)


def test_an_upload_that_is_no_image_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="cannot be used: not an image file"):
        read_picture(b"hello, I am a text")
    with pytest.raises(ValueError, match="at most 10 are read"):
        read_picture(b"x" * 11, limits=Limits(max_file_bytes=10))


def test_the_child_never_imports_tensorflow() -> None:
    check = sandbox._START.replace("main()", "sys.exit(any(n.startswith(('tensorflow', 'keras', 'tf_keras', 'sklearn'))"
                                   " for n in sys.modules))")  # fmt: skip
    assert "sys.exit" in check
    assert subprocess.run([sys.executable, "-I", "-c", check], timeout=60, check=False).returncode == 0


def test_many_files_come_back_once_each_with_the_bad_ones_named(tmp_path: Path) -> None:
    sources = []
    for number in range(150):
        path = tmp_path / f"{number} ü '\"\n.png"
        path.write_bytes(b"no" if number % 10 == 3 else png(Image.new("L", (8, 8), number)))
        sources.append(path)
    outcomes = all_of(sources)
    assert [number for number, outcome in enumerate(outcomes) if isinstance(outcome, Refused)] == list(
        range(3, 150, 10)
    )
    assert all(o.pixels[0, 0, 0] == n for n, o in enumerate(outcomes) if isinstance(o, Picture))


def test_memory_is_limited_and_the_next_image_still_read(tmp_path: Path) -> None:
    (tmp_path / "big.png").write_bytes(png(Image.new("RGB", (7000, 7000))))
    (tmp_path / "small.png").write_bytes(png(Image.new("RGB", (8, 8))))
    big, small = all_of([tmp_path / "big.png", tmp_path / "small.png"], Limits(memory_bytes=400 * 1024 * 1024))
    assert isinstance(big, Refused)
    assert "memory" in big.reason
    assert isinstance(small, Picture)


def slow_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> list[Path]:
    """Three files, and children whose decoder runs `body` first for the middle one, whose size is 9x9."""
    start = sandbox._START.replace(
        "from pipelines.data.child import main; main()",
        "import pipelines.data.child as child, os, time\n"
        "plain = child.decode\n"
        "def decode(data, limits):\n"
        "    image = plain(data, limits)\n"
        f"    if image.size == (9, 9): {body}\n"
        "    return image\n"
        "child.decode = decode\n"
        "child.main()",
    )
    monkeypatch.setattr(sandbox, "_START", start)
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(png(Image.new("RGB", (9, 9) if number == 1 else (8, 8))))
    return paths


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("os.kill(os.getpid(), 11)", "crashed the reader (SIGSEGV)"),
        ("os._exit(3)", "ended the reader (exit 3)"),
        ("\n        while True: pass", "took more than 1 seconds of processor time"),
    ],
)
def test_a_child_that_dies_costs_one_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, reason: str
) -> None:
    before, killed, after = all_of(slow_reader(tmp_path, monkeypatch, body), Limits(image_seconds=1))
    assert isinstance(before, Picture)
    assert isinstance(after, Picture)
    assert isinstance(killed, Refused)
    assert reason in killed.reason


@pytest.mark.slow
def test_a_child_that_sleeps_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, killed, after = all_of(slow_reader(tmp_path, monkeypatch, "time.sleep(600)"), Limits(image_seconds=1))
    assert killed == Refused("took more than 1 seconds")
    assert isinstance(after, Picture)


def test_closing_the_iterator_ends_the_children(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(Image.new("RGB", (8, 8))))
    outcomes = read_pictures([tmp_path / "a.png"] * 200, resolution=(4, 4), channels=3, limits=USUAL)
    next(outcomes)
    children = _children()
    assert len(children) == 2
    outcomes.close()
    assert not set(children) & set(_children())


def _children() -> list[int]:
    task = Path(f"/proc/{os.getpid()}/task")
    return [int(pid) for thread in task.iterdir() for pid in (thread / "children").read_text().split()]


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(Image.new("RGB", (8, 8))))
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom pipelines.data.limits import USUAL\n"
        "from pipelines.data import sandbox\n"
        f"paths = [Path({str(tmp_path / 'a.png')!r})] * 9\n"
        "it = sandbox.read_pictures(paths, resolution=None, channels=3, limits=USUAL)\n"
        "next(it); print('ready', flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=sandbox._ROOT)
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        (child,) = [int(pid) for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()]
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        status = Path(f"/proc/{child}/status")
        for _ in range(100):
            if not status.exists() or "State:\tZ" in status.read_text():
                return
            signal.sigtimedwait([], 0.1)
    raise AssertionError("the child is still there")


def test_zips_are_unpacked_in_a_child_and_refusals_come_back(tmp_path: Path) -> None:
    for name, entry in (("good", "a/1.jpg"), ("evil", "../1.jpg")):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr(entry, b"x")
    (tmp_path / "out").mkdir()
    heard: list[int] = []
    unpacked = unpack(tmp_path / "good.zip", tmp_path / "out", USUAL, lambda done, total: heard.append(done))
    assert [member.name for member in unpacked.members] == ["a/1.jpg"]
    assert 1 in heard
    with pytest.raises(ValueError, match="zip slip"):
        unpack(tmp_path / "evil.zip", tmp_path / "out", USUAL)


def test_a_zip_with_a_huge_directory_is_stopped_by_memory(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(60_000):
            archive.writestr(f"a/{number:0100d}", b"")
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="memory"):
        unpack(tmp_path / "many.zip", tmp_path / "out", Limits(memory_bytes=160 * 1024 * 1024))
