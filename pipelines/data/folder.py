"""A folder on this machine with one sub-folder per class."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pipelines.data.collection import Collection, Decoded, Request
from pipelines.data.dataset import Problem, Unusable
from pipelines.data.files import NATURAL, decode_files, look_up
from pipelines.data.layout import Layout, arrange
from pipelines.data.limits import USUAL

DEPTH = USUAL.zip_depth


def open_folder(argument: str, cache: Path) -> Collection:
    """Lists the folder without opening a file. Raises ValueError when it is missing or not laid out by class.

    The fingerprint is of names, sizes and both change times of all files: every write to a file changes it.
    """
    root = find_folder(argument)
    files, folders, problems = _list(root)
    try:
        layout = arrange(((_shown(name), name) for name, _ in files), map(_shown, folders))
    except ValueError as error:
        raise Unusable(f"folder:{argument} cannot be used: {error}", problems) from None
    layout.problems.extend(problems)
    seen = hashlib.sha256()
    for name, status in files:
        seen.update(os.fsencode(name))
        seen.update(f"\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}\0".encode())
    for name in folders:
        seen.update(os.fsencode(name) + b"/\0")

    def decode(request: Request) -> Decoded:
        return _decode(layout, root, argument, request)

    return Collection("folder", root.resolve().name, seen.hexdigest(), NATURAL, 0.15, 0.2, decode)


def find_folder(argument: str) -> Path:
    """The folder, which is there. Raises: ValueError when it is not."""
    root, is_file, is_folder = look_up("folder", argument)
    if is_file:
        raise ValueError(f"folder:{argument} is a file; for a zip use zip:{argument}")
    if not is_folder:
        raise ValueError(f"folder:{argument} does not exist (looked for {root.absolute()})")
    return root


def _decode(layout: Layout, root: Path, argument: str, request: Request) -> Decoded:
    try:
        return decode_files(layout, root, request)
    except ValueError as error:
        raise ValueError(f"folder:{argument} cannot be used: {error}") from None


def _list(root: Path) -> tuple[list[tuple[str, os.stat_result]], list[str], list[Problem]]:
    """(name below root, status) of files, folders, and what is neither; links to files are followed."""
    files: list[tuple[str, os.stat_result]] = []
    folders: list[str] = []
    problems: list[Problem] = []

    def walk(folder: str) -> None:
        for entry in sorted(os.scandir(os.path.join(root, folder)), key=lambda entry: entry.name):
            name = f"{folder}/{entry.name}" if folder else entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                    if name.count("/") + 1 < DEPTH:
                        walk(name)
                    else:
                        problems.append(Problem(_shown(name), f"lies {DEPTH} folders deep; nothing below it is read"))
                elif entry.is_file():
                    files.append((name, entry.stat()))
                elif entry.is_dir():
                    problems.append(Problem(_shown(name), "a link to a folder is not followed; move the folder here"))
                else:
                    problems.append(Problem(_shown(name), "neither a file nor a folder, or a link to nothing"))
            except OSError as error:
                problems.append(Problem(_shown(name), f"cannot be opened ({error.strerror})"))

    walk("")
    return files, folders, problems


def _shown(name: str) -> str:
    """The name as valid text: bytes that are no UTF-8 are written as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
