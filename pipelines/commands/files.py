"""What `evaluate` and `measure` share: a file of this home by id or hash, or a path with its contract beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from exports import Contract, opens
from pipelines.runs import ArtifactRecord, Home, Registry


def file_named(reference: str) -> tuple[Path, Contract, str]:
    """Gives (path, contract, shown name) of a file that was opened and run in a child process.

    Raises: ValueError when there is no such file, it has no contract, is not the one its contract was written for, or
    does not run.
    """
    path = Path(reference)
    if path.is_file():
        contract = Contract.beside(path)
        image = contract.input
        noise = np.random.default_rng(0).integers(0, 256, (2, image.height, image.width, image.channels), np.uint8)
        report = opens(path, contract, noise)
        if not report.passed:
            raise ValueError(f"{path.name} was not run: {report.cause}")
        return path, contract, path.name
    path, item = stored_file(reference)
    return path, Contract.from_dict(item.contract or {}), item.id


def stored_file(reference: str) -> tuple[Path, ArtifactRecord]:
    """Where an artifact of this home lies, and its record. Raises: ValueError when there is none of this id."""
    if Path(reference).suffix in (".tflite", ".onnx"):
        raise ValueError(f"there is no file {reference}")
    home = Home.open()
    found = Registry(home).artifacts(id=reference)
    if not found:
        raise ValueError(
            f"{reference!r} is neither a file nor an artifact of this home; `show RUN` lists a run's artifacts"
        )
    return home.store.path_of(found[0].sha256), found[0]
