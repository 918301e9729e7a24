"""Keras models on disk: `.keras` for plain models, `.h5` for int8-aware ones.

Equal models give equal bytes: the optimiser is left out and the date of saving is fixed, so that a replayed run can be
compared by hash. An int8-aware model saved as `.keras` does not load again (tfmot 0.8.1 with tf_keras 2.21: the number
of variables differs), as `.h5` inside tfmot's scope it does. Only files Litesmith wrote itself are opened here.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.keras import keras


def is_int8_aware(path: Path | str) -> bool:
    """Whether the file at `path` holds a model prepared for int8 (decided by its suffix alone)."""
    return Path(path).suffix == ".h5"


def save_model(model: keras.Model, path: Path | str) -> None:
    """Write `model` without its optimiser to `path`, whose suffix decides the kind.

    Raises:
        ValueError: the suffix is neither `.keras` nor `.h5`.
    """
    path = _checked(path)
    if not is_int8_aware(path):
        from zoo.cloning import clone

        # A compiled model would bring its optimiser, whose state is twice the weights; a clone is not compiled.
        clone(model).save(path)
        _fix_dates(path)
        return
    from zoo import int8_aware

    with int8_aware.scope(), warnings.catch_warnings():
        # Keras advises its newer format, which does not come back for these models.
        warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file")
        model.save(path, include_optimizer=False, save_format="h5")


def load_model(path: Path | str) -> keras.Model:
    """The uncompiled model stored at `path` by `save_model`."""
    from zoo import int8_aware, keras_layers
    from zoo.keras import keras

    path = _checked(path)
    if not path.is_file():
        raise ValueError(f"there is no model file at {path}")
    if is_int8_aware(path):
        with int8_aware.scope():
            return keras.models.load_model(path, compile=False)
    with keras.utils.custom_object_scope(keras_layers.custom_objects()):
        return keras.models.load_model(path, compile=False)


def _fix_dates(path: Path) -> None:
    """Write the zip at `path` again with the dates of 1980, the zip format's zero."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(entries["metadata.json"])
    entries["metadata.json"] = json.dumps({**metadata, "date_saved": "1980-01-01@00:00:00"}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data)


def _checked(path: Path | str) -> Path:
    path = Path(path)
    if path.suffix not in {".keras", ".h5"}:
        raise ValueError(f"{path.name} has suffix {path.suffix!r}; use .keras, or .h5 for an int8-aware model")
    return path
