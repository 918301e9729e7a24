"""A zip with one sub-folder per class. It is unpacked into scratch space; only the prepared pixels are kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipelines.data.collection import Collection, Decoded, Request
from pipelines.data.dataset import Problem
from pipelines.data.files import NATURAL, decode_files, look_up
from pipelines.data.layout import arrange
from pipelines.data.sandbox import unpack


def open_zip(argument: str, cache: Path) -> Collection:
    """Hashes the zip without reading it as one. Raises ValueError when it is missing."""
    path = find_zip(argument)
    with path.open("rb") as file:
        fingerprint = hashlib.file_digest(file, "sha256").hexdigest()

    def decode(request: Request) -> Decoded:
        try:
            return _decode(path, request)
        except ValueError as error:
            raise ValueError(f"zip:{argument} cannot be used: {error}") from None

    return Collection("zip", path.stem, fingerprint, NATURAL, 0.15, 0.2, decode)


def find_zip(argument: str) -> Path:
    """The file, which is there; whether it is a zip is not looked at. Raises: ValueError when it is not there."""
    path, is_file, is_folder = look_up("zip", argument)
    if is_folder:
        raise ValueError(f"zip:{argument} is a folder; use folder:{argument}")
    if not is_file:
        raise ValueError(f"zip:{argument} does not exist (looked for {path.absolute()})")
    return path


def _decode(path: Path, request: Request) -> Decoded:
    files = request.folder / "unpacked"
    files.mkdir()
    unpacked = unpack(path, files, request.limits, request.progress)
    whole = [(member.name, member.file) for member in unpacked.members if not member.reason]
    broken = [Problem(member.name, member.reason) for member in unpacked.members if member.reason]
    layout = arrange(whole, unpacked.folders)
    layout.problems.extend(broken)
    return decode_files(layout, files, request)
