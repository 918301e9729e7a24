"""What `evaluate` and `measure` share: a file of this home by id or hash, or a path with its contract beside it."""

from __future__ import annotations

from pathlib import Path

from exports import Contract
from pipelines.runs import Home, Registry


def file_named(reference: str) -> tuple[Path, Contract, str]:
    """Gives (path, contract, shown name). ValueError when there is no such file or it has no contract."""
    path = Path(reference)
    if path.is_file():
        return path, Contract.beside(path), path.name
    if path.suffix in (".tflite", ".onnx"):
        raise ValueError(f"there is no file {reference}")
    home = Home.open()
    found = Registry(home).artifacts(id=reference)
    if not found:
        raise ValueError(
            f"{reference!r} is neither a file nor an artifact of this home; `show RUN` lists a run's artifacts"
        )
    item = found[0]
    return home.store.path_of(item.sha256), Contract.from_dict(item.contract or {}), item.id
