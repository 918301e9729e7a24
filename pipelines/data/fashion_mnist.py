"""Fashion-MNIST: 70,000 grey 28x28 photos of clothes, split 60,000 / 10,000 by its authors.

Source: H. Xiao, K. Rasul, R. Vollgraf, arXiv:1708.07747 (MIT licence). Read from the four IDX files, packed
by gzip or not. The authors' test images stay the test split; validation is dealt from the others.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.data.arrays import decode_arrays
from pipelines.data.collection import Collection, Decoded, Request

logger = logging.getLogger(__name__)

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # package dataset-fashion-mnist
MIRROR = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
TIMEOUT_SECONDS = 15
MOST_BYTES = 256 * 1024 * 1024  # unpacked, one file


@dataclass(frozen=True)
class IdxFile:
    """One official file: its name, packed size, and the size and hash of its content (packers differ)."""

    name: str
    packed_bytes: int
    bytes: int
    sha256: str


FILES = (
    IdxFile(
        "train-images-idx3-ubyte", 26_421_880, 47_040_016,
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    IdxFile(
        "train-labels-idx1-ubyte", 29_515, 60_008,
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    IdxFile(
        "t10k-images-idx3-ubyte", 4_422_102, 7_840_016,
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    IdxFile(
        "t10k-labels-idx1-ubyte", 5_148, 10_008,
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)  # fmt: skip


def open_fashion_mnist(argument: str, cache: Path) -> Collection:
    """Looks in LITESMITH_FASHION_MNIST, Debian's folder, the Keras cache, our cache, then downloads.

    Raises ValueError naming every place tried.
    """
    paths = _find(cache / "downloads" / "fashion-mnist")
    found = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())

    def decode(request: Request) -> Decoded:
        return _decode(paths, request)

    return Collection(
        "fashion_mnist", "Fashion-MNIST, 28x28 grey", found.hexdigest(), (28, 28),
        5_000 / 60_000, 10_000 / 70_000, decode, keeps_order=True,
    )  # fmt: skip


def _find(downloads: Path) -> list[Path]:
    chosen = os.environ.get("LITESMITH_FASHION_MNIST")
    if chosen:  # asked for by name, so nothing else will do
        paths = _in_folder(Path(chosen).expanduser())
        if paths is None:
            raise ValueError(
                f"LITESMITH_FASHION_MNIST is {chosen}, which lacks {_missing(Path(chosen).expanduser())} (or .gz); "
                "point it to the folder with the four IDX files, or unset it"
            )
        return paths
    keras_home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    places = [DEBIAN, keras_home / "datasets" / "fashion-mnist", downloads]
    for folder in places:
        if (paths := _in_folder(folder)) is not None:
            return paths
    try:
        return [_download(file, downloads) for file in FILES]
    except (OSError, ValueError) as error:
        tried = ", ".join(["LITESMITH_FASHION_MNIST (not set)", *map(str, places)])
        raise ValueError(
            f"Fashion-MNIST was not found in {tried}, and the download from {MIRROR} failed ({error}); "
            "install the Debian package dataset-fashion-mnist, or set LITESMITH_FASHION_MNIST to a folder with "
            "the four IDX files"
        ) from error


def _in_folder(folder: Path) -> list[Path] | None:
    paths = []
    for file in FILES:
        candidates = (folder / f"{file.name}.gz", folder / file.name)
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if path is None:
            return None
        paths.append(path)
    return paths


def _missing(folder: Path) -> str:
    return ", ".join(
        file.name for file in FILES if not any((folder / name).is_file() for name in (file.name, f"{file.name}.gz"))
    )


def _download(file: IdxFile, folder: Path) -> Path:
    """Fetches one file, checks it and puts it in place in one move. Raises OSError or ValueError."""
    path = folder / f"{file.name}.gz"
    if path.is_file():
        return path
    logger.info("downloading %s%s.gz", MIRROR, file.name)
    with urllib.request.urlopen(f"{MIRROR}{file.name}.gz", timeout=TIMEOUT_SECONDS) as answer:
        packed = answer.read(file.packed_bytes + 1)
    if len(packed) > file.packed_bytes:
        raise ValueError(f"{file.name}.gz is longer than the expected {file.packed_bytes:,} bytes")
    content = _unpacked(packed, file.bytes)
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise ValueError(f"{file.name}.gz is not the official file (its SHA-256 differs)")
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{file.name}.{os.getpid()}"
    try:
        partial.write_bytes(packed)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _unpacked(packed: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)  # 31 = gzip; stops at `most`, gzip.decompress would not
    content = unpacker.decompress(packed, most + 1)
    if not unpacker.eof or len(content) > most:
        raise ValueError(f"unpacks to something else than {most:,} bytes")
    return content


def _decode(paths: list[Path], request: Request) -> Decoded:
    train, train_labels, test, test_labels = (_read_idx(path) for path in paths)
    for images, labels, name in ((train, train_labels, "train"), (test, test_labels, "t10k")):
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise ValueError(f"{name} files do not belong together: images {images.shape}, labels {labels.shape}")
        if len(labels) and labels.max() >= len(CLASSES):
            raise ValueError(f"{name} labels go up to {labels.max()}; Fashion-MNIST has labels 0 to 9")
    if train.shape[1:] != test.shape[1:]:
        raise ValueError(f"train images are {train.shape[1:]}, test images {test.shape[1:]}; they must be alike")
    ids = [f"{name}/{number:05d}" for name, part in (("train", train), ("t10k", test)) for number in range(len(part))]
    return decode_arrays(
        np.concatenate([train, test]),
        np.concatenate([train_labels, test_labels]).astype(np.int32),
        ids,
        CLASSES,
        request,
        given=[""] * len(train) + ["test"] * len(test),
    )


def _read_idx(path: Path) -> np.ndarray:
    """The uint8 array of an IDX file: 2 zero bytes, type 8, number of dimensions, sizes as big-endian uint32."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is damaged ({error}); fetch it again") from None
    if len(data) < 4 or data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise ValueError(f"{path} is not an IDX file of bytes (it starts with {data[:4].hex(' ')})")
    shape = tuple(np.frombuffer(data, ">u4", count=data[3], offset=4).tolist())
    pixels = np.frombuffer(data, np.uint8, offset=4 + 4 * data[3])
    if pixels.size != int(np.prod(shape)):
        raise ValueError(f"{path} says {shape} and holds {pixels.size:,} values; fetch it again")
    return pixels.reshape(shape)
