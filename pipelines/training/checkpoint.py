"""Checkpoints of a fitting: weights, optimiser, best weights and report in one `.npz`, replaced atomically."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Checkpoint:
    weights: list[np.ndarray]
    optimizer: list[np.ndarray]
    best: list[np.ndarray] | None
    report: dict[str, Any]


def save(path: Path, model: Any, optimizer: Any, best: list[np.ndarray] | None, report: dict[str, Any]) -> None:
    """Writes the state after a whole epoch; a write that fails leaves the checkpoint before it in place."""
    arrays = {f"weight{i}": value for i, value in enumerate(model.get_weights())}
    arrays |= {f"optimizer{i}": variable.numpy() for i, variable in enumerate(optimizer.variables)}
    arrays |= {f"best{i}": value for i, value in enumerate(best or [])}
    arrays["report"] = np.frombuffer(json.dumps(report).encode(), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path) -> Checkpoint | None:
    """Reads a checkpoint; None when there is none."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as file:

        def series(prefix: str) -> list[np.ndarray]:
            return [file[f"{prefix}{i}"] for i in range(sum(name.startswith(prefix) for name in file.files))]

        report = json.loads(file["report"].tobytes())
        return Checkpoint(series("weight"), series("optimizer"), series("best") or None, report)
