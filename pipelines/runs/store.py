"""Files by content: a file's name is the SHA-256 of its bytes.

A file appears whole or not at all: it is written beside its place, flushed to the disk and then renamed. What a process
left half-written when it died is cleared away the next time the store is opened.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from pipelines.runs.disk import NO_ROOM, DiskFull, free_bytes
from pipelines.runs.process import is_alive, this_process

CHUNK_BYTES = 1 << 20
SHA256 = re.compile(r"[0-9a-f]{64}")


class ArtifactStore:
    """A folder of files named by their SHA-256, spread over 256 sub-folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.unfinished = self.folder / "unfinished"
        self.unfinished.mkdir(parents=True, exist_ok=True)
        self.clean()

    def put_file(self, path: Path | str) -> str:
        """Copies a file in and returns its SHA-256. The same bytes twice are kept once.

        Raises DiskFull when there is no room, with nothing left behind.
        """
        path = Path(path)
        with path.open("rb") as source:
            return self._put(iter(lambda: source.read(CHUNK_BYTES), b""), path.stat().st_size, path.name)

    def put_bytes(self, data: bytes, name: str = "data") -> str:
        """Keeps `data` as a file and returns its SHA-256; `name` only serves the error message. Raises DiskFull."""
        return self._put([data], len(data), name)

    def path_of(self, sha256: str) -> Path:
        """Returns where the file lies. Raises FileNotFoundError when the store does not hold it."""
        place = self._place(sha256)
        if not place.is_file():
            raise FileNotFoundError(f"the artifact store at {self.folder} does not hold {sha256}")
        return place

    def open(self, sha256: str) -> BinaryIO:
        """Opens the file for reading."""
        return self.path_of(sha256).open("rb")

    def size(self, sha256: str) -> int:
        """Returns the file's bytes."""
        return self.path_of(sha256).stat().st_size

    def holds(self, sha256: str) -> bool:
        """Tells whether the file is here."""
        return self._place(sha256).is_file()

    def verify(self, sha256: str) -> bool:
        """Reads the file again and tells whether its content still is what its name says."""
        digest = hashlib.sha256()
        with self.open(sha256) as source:
            while chunk := source.read(CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest() == sha256

    def delete(self, sha256: str) -> int:
        """Removes the file and returns the bytes that became free; 0 if it was not here."""
        place = self._place(sha256)
        try:
            size = place.stat().st_size
            place.unlink()
        except FileNotFoundError:
            return 0
        return size

    def __iter__(self) -> Iterator[str]:
        """Goes over the SHA-256 of every file held."""
        for shard in sorted(self.folder.iterdir()):
            if shard != self.unfinished and shard.is_dir():
                yield from (entry.name for entry in sorted(shard.iterdir()) if SHA256.fullmatch(entry.name))

    def clean(self) -> int:
        """Removes half-written files of processes that are gone; returns how many."""
        removed = 0
        for leftover in self.unfinished.iterdir():
            pid, created, _ = leftover.name.split("_", 2)
            if not is_alive(int(pid), float(created)):
                leftover.unlink(missing_ok=True)
                removed += 1
        return removed

    def _place(self, sha256: str) -> Path:
        if not SHA256.fullmatch(sha256):
            raise ValueError(f"{sha256!r} is not a SHA-256 (64 hexadecimal digits)")
        return self.folder / sha256[:2] / sha256

    def _put(self, chunks: Iterable[bytes], size: int, name: str) -> str:
        free = free_bytes(self.folder)
        if size > free:
            raise DiskFull(name, size, free, self.folder)
        me = this_process()
        beside = self.unfinished / f"{me.pid}_{me.created:.2f}_{uuid.uuid4().hex}"
        digest = hashlib.sha256()
        try:
            with beside.open("xb") as target:
                for chunk in chunks:
                    digest.update(chunk)
                    target.write(chunk)
                target.flush()
                os.fsync(target.fileno())
            beside.chmod(0o444)  # a stored file is never edited in place
            place = self._place(digest.hexdigest())
            place.parent.mkdir(exist_ok=True)
            # Also replaces a file that is already there: the bytes are the same, and damage on the disk is healed.
            beside.replace(place)
            _flush_folder(place.parent)
        except OSError as error:
            beside.unlink(missing_ok=True)
            if error.errno in NO_ROOM:
                raise DiskFull(name, size, free_bytes(self.folder), self.folder) from error
            raise
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        return digest.hexdigest()


def _flush_folder(folder: Path) -> None:
    """Makes a rename durable: without it a power cut may forget the name of a file whose bytes are safe."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
