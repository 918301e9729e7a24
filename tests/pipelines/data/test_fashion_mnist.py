"""Fashion-MNIST: where it is looked for, what is checked, and the official files where this machine has them."""

from __future__ import annotations

import gzip
import http.server
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.data import describe, fashion_mnist, open_dataset
from pipelines.data.fashion_mnist import DEBIAN, FILES, IdxFile


def idx(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def contents(train: int = 60, test: int = 20) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    arrays = (
        rng.integers(0, 256, (train, 28, 28), np.uint8), np.arange(train, dtype=np.uint8) % 10,
        rng.integers(0, 256, (test, 28, 28), np.uint8), np.arange(test, dtype=np.uint8) % 10,
    )  # fmt: skip
    return {file.name: idx(array) for file, array in zip(FILES, arrays, strict=True)}


def write(folder: Path, files: dict[str, bytes], packed: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}{'.gz' if packed else ''}").write_bytes(gzip.compress(content) if packed else content)
    return folder


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No usual place holds the files, and the mirror is a closed port of this machine."""
    monkeypatch.delenv("LITESMITH_FASHION_MNIST", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(fashion_mnist, "MIRROR", "http://127.0.0.1:9/")
    return tmp_path


@pytest.mark.skipif(not (DEBIAN / f"{FILES[0].name}.gz").is_file(), reason="needs the package dataset-fashion-mnist")
def test_official_files_give_the_official_test_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITESMITH_FASHION_MNIST", str(DEBIAN))
    dataset = open_dataset("fashion_mnist", cache=tmp_path)
    counts = describe(dataset)["splits"]
    assert {name: split["images"] for name, split in counts.items()} == {
        "train": 55_000, "validation": 5_000, "test": 10_000
    }  # fmt: skip
    assert set(counts["validation"]["counts"].values()) == {500}
    with gzip.open(DEBIAN / f"{FILES[2].name}.gz") as file:
        official = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28, 1)
    np.testing.assert_array_equal(dataset.splits["test"].images, official)
    assert dataset.splits["test"].ids[:2] == ("t10k/00000", "t10k/00001")
    for file in FILES:
        content = gzip.decompress((DEBIAN / f"{file.name}.gz").read_bytes())
        assert len(content) == file.bytes


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    "place", ["variable", "debian", "keras/datasets/fashion-mnist", "cache/downloads/fashion-mnist"]
)
def test_every_place_is_searched(nowhere: Path, monkeypatch: pytest.MonkeyPatch, place: str, packed: bool) -> None:
    folder = write(nowhere / place, contents(), packed)
    if place == "variable":
        monkeypatch.setenv("LITESMITH_FASHION_MNIST", str(folder))
    dataset = open_dataset("fashion_mnist", cache=nowhere / "cache")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 50, "validation": 10, "test": 20}


def test_nothing_found_names_every_place(nowhere: Path) -> None:
    with pytest.raises(ValueError, match="LITESMITH_FASHION_MNIST") as error:
        open_dataset("fashion_mnist", cache=nowhere / "cache")
    for place in ("debian", "keras/datasets/fashion-mnist", "cache/downloads/fashion-mnist", "http://127.0.0.1:9/"):
        assert place in str(error.value)


def test_a_chosen_folder_without_the_files_is_not_replaced_by_another(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(nowhere / "debian", contents())
    files = contents()
    del files[FILES[3].name]
    monkeypatch.setenv("LITESMITH_FASHION_MNIST", str(write(nowhere / "mine", files)))
    with pytest.raises(ValueError, match="lacks t10k-labels-idx1-ubyte"):
        open_dataset("fashion_mnist", cache=nowhere / "cache")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (FILES[0].name, b"hello", "not an IDX file"),
        (FILES[0].name, idx(np.zeros((60, 28, 28), np.uint8))[:-1], "holds 47,039 values"),
        (FILES[1].name, idx(np.zeros(59, np.uint8)), "do not belong together"),
        (FILES[1].name, idx(np.full(60, 10, np.uint8)), "labels go up to 10"),
        (FILES[0].name, idx(np.zeros((60, 27, 28), np.uint8)), "must be alike"),
    ],
)
def test_damaged_files_are_named(nowhere: Path, name: str, content: bytes, message: str) -> None:
    write(nowhere / "debian", contents() | {name: content})
    with pytest.raises(ValueError, match=message):
        open_dataset("fashion_mnist", cache=nowhere / "cache")


def test_train_images_that_equal_a_test_image_are_dropped_and_counted(nowhere: Path) -> None:
    files = contents()
    test = bytearray(files[FILES[2].name])
    test[16 : 16 + 784] = files[FILES[0].name][16 : 16 + 784]
    write(nowhere / "debian", files | {FILES[2].name: bytes(test)})
    dataset = open_dataset("fashion_mnist", cache=nowhere / "cache")
    assert len(dataset.splits["test"]) == 20
    assert len(dataset.splits["train"]) + len(dataset.splits["validation"]) == 59
    assert dataset.notes == ("1 train images dropped: their pixels equal an image of the test split",)
    assert dataset.manifest["set_aside"] == ["train/00000"]


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "mirror"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", folder
        server.shutdown()


def test_download_is_checked_and_kept(nowhere: Path, mirror: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    address, folder = mirror
    files = contents()
    write(folder, files, packed=True)
    monkeypatch.setattr(fashion_mnist, "MIRROR", address)
    expected = tuple(
        IdxFile(name, len(gzip.compress(content)), len(content), hashlib.sha256(content).hexdigest())
        for name, content in files.items()
    )
    monkeypatch.setattr(fashion_mnist, "FILES", expected)
    open_dataset("fashion_mnist", cache=nowhere / "cache")
    kept = {path.name for path in (nowhere / "cache" / "downloads" / "fashion-mnist").iterdir()}
    assert kept == {f"{name}.gz" for name in files}
    monkeypatch.setattr(fashion_mnist, "MIRROR", "http://127.0.0.1:9/")
    open_dataset("fashion_mnist", resolution=14, cache=nowhere / "cache")  # from the kept files


@pytest.mark.parametrize("answer", ["other", "longer", "bomb", "missing"])
def test_wrong_downloads_are_refused(
    nowhere: Path, mirror: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    address, folder = mirror
    monkeypatch.setattr(fashion_mnist, "MIRROR", address)
    file = FILES[0]
    content = {"other": bytes(file.bytes), "longer": b"", "bomb": bytes(file.bytes + 10_000_000), "missing": b""}[
        answer
    ]
    if answer == "longer":
        (folder / f"{file.name}.gz").write_bytes(bytes(file.packed_bytes + 1))
    elif answer != "missing":
        (folder / f"{file.name}.gz").write_bytes(gzip.compress(content))
    message = {
        "other": "its SHA-256 differs", "longer": "is longer than", "bomb": "something else", "missing": "404"
    }[answer]  # fmt: skip
    with pytest.raises(ValueError, match=message):
        open_dataset("fashion_mnist", cache=nowhere / "cache")
    assert not list((nowhere / "cache").rglob("*idx*"))
