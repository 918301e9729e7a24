"""The Keras model itself as an artifact: the stored file, byte for byte, with a contract that says it sees [0, 1]."""

from __future__ import annotations

import shutil
from pathlib import Path

from exports.writers.source import Source


def write(source: Source, format_id: str, path: Path) -> list[str]:
    """Copy the stored model to `path`, whose suffix is the model's own (`.h5` when it is int8-aware)."""
    shutil.copyfile(source.model_path, path)
    return ["the Keras file sees floats in [0, 1]: divide pixels by 255"]
