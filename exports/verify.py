"""Whether a bundle is what it says: every file in it is opened, run and held against what was recorded, anywhere."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from exports.checks import Check
from exports.contract import Contract
from exports.gate import opens, unpacked

IMAGES = 4


@contextmanager
def opened_bundle(path: Path | str) -> Iterator[tuple[Path, list[str]]]:
    """The bundle's files in a folder that is gone afterwards, and the names of the artifacts it lists.

    Raises: ValueError when it is no bundle of ours, or is too large.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    with tempfile.TemporaryDirectory(prefix="litesmith-verify-") as scratch:
        folder = Path(scratch)
        try:
            names = unpacked(path, folder)
        except (zipfile.BadZipFile, KeyError, json.JSONDecodeError, ValueError, OSError, NotImplementedError) as error:
            raise ValueError(f"{path.name} is no bundle that can be unpacked ({error})") from None
        yield folder, names


def verify_files(folder: Path, names: list[str]) -> list[Check]:
    """The checks of every artifact of an unpacked bundle: bytes, contract, operators, finite answers, self-test."""
    rows = json.loads((folder / "bundle.json").read_text("utf-8"))["files"]
    listed = {row["file"]: row.get("sha256") for row in rows}
    checks = []
    for name in names:
        member = folder / name
        found = _one(member, listed[name])
        checks += [replace(check, name=f"{name}: {check.name}") for check in found]
    return checks


def _one(member: Path, listed: str | None) -> list[Check]:
    if not member.is_file():
        return [Check("file", False, "it is listed, but not in the bundle")]
    same = hashlib.sha256(member.read_bytes()).hexdigest() == listed
    checks = [Check("listed", same, "its SHA-256 is the listed one" if same else "its SHA-256 is not the listed one")]
    try:
        contract = Contract.beside(member)
    except ValueError as error:
        return [*checks, Check("contract", False, str(error))]
    image = contract.input
    noise = np.random.default_rng(0).integers(0, 256, (IMAGES, image.height, image.width, image.channels), np.uint8)
    return [*checks, *opens(member, contract, noise, selftest=True).checks]
