"""Weight files of Keras, read without Keras: layer -> its arrays, in the order of the file.

Three layouts: HDF5 with a list of layer names (what `keras.applications` publishes, and whole models in `.h5`), the
newer `.weights.h5`, whose layers are numbered by class, and `.keras`, a zip that holds one of these and the names. A
file comes from elsewhere, so a child process opens it, follows no link out of it, and reads plain numbers within
limits; nothing of the file is ever run.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from exports.isolated import run_isolated

MOST_BYTES = 2 * 2**30  # of a file, and of all its numbers; VGG-16, the largest published here, has 0.55 GB
MOST_LAYERS, MOST_ARRAYS = 10_000, 100  # layers of a file, arrays of a layer
MODELS, MOST_DEPTH = ("Functional", "Model", "Sequential"), 8  # classes that are models; models within models
MOST_CONFIG_BYTES = 64 * 2**20
SUFFIXES = (".h5", ".hdf5", ".keras")
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class KerasWeights:
    """What a weight file holds: layer -> its arrays, only layers that have some; and the file's hash."""

    path: Path
    sha256: str
    tensors: dict[str, list[np.ndarray]] = field(repr=False)


def read_weights(path: Path | str) -> KerasWeights:
    """Reads the file at `path` in a child process.

    Raises: ValueError when it is not a weight file of Keras, or larger than one may be.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ValueError(f"there is no weight file at {path}")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes; at most {MOST_BYTES:,} are read")
    with tempfile.TemporaryDirectory(prefix="litesmith-weights-") as scratch:
        arrays = Path(scratch) / "arrays.npz"
        ended = run_isolated(
            {"action": "weights", "path": str(path.resolve()), "arrays": str(arrays)}, timeout_s=TIMEOUT_S
        )
        last = ended.reports[-1] if ended.reports else {}
        if last.get("stage") == "refused":
            raise ValueError(f"{path} cannot be read as weights of Keras: {last['cause']}")
        if last.get("stage") != "read":
            raise ValueError(f"{path} cannot be read as weights of Keras: {ended.cause or 'the reader gave no answer'}")
        with np.load(arrays, allow_pickle=False) as stored:
            tensors = {
                name: [stored[f"{place}_{at}"] for at in range(count)]
                for place, (name, count) in enumerate(last["layers"])
            }
    return KerasWeights(path, sha256_of(path), tensors)


def sha256_of(path: Path) -> str:
    """The hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_here(job: dict[str, Any], report: Any) -> None:
    """The child's part: reads `job["path"]` and writes its arrays to `job["arrays"]` (.npz)."""
    path, arrays = Path(job["path"]), Path(job["arrays"])
    try:
        tensors = read_arrays(path, arrays.parent)
    except Exception as error:
        # HDF5 fails in any way on damaged bytes; the file is then unreadable, which is the answer.
        report("refused", cause=str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}")
        return
    np.savez(
        arrays,
        allow_pickle=False,
        **{f"{place}_{at}": array for place, layer in enumerate(tensors.values()) for at, array in enumerate(layer)},
    )
    report("read", layers=[[name, len(layer)] for name, layer in tensors.items()])


def read_arrays(path: Path, scratch: Path) -> dict[str, list[np.ndarray]]:
    """Layer -> its arrays, read in this process; `scratch` is a folder for what has to be unpacked.

    Raises: ValueError, and whatever HDF5 raises on damaged bytes: call it in a child process only.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            described = json.loads(unpacked(archive, "config.json", MOST_CONFIG_BYTES))
            _numbered_layers(described)  # refuses what describes no layers before anything large is unpacked
            inner = scratch / "model.weights.h5"
            inner.write_bytes(unpacked(archive, "model.weights.h5", MOST_BYTES))
        return _read_hdf5(inner, described)
    return _read_hdf5(path)


def _read_hdf5(path: Path, described: Any = None) -> dict[str, list[np.ndarray]]:
    """Arrays by layer; those inside a nested model that is `described` by NAME/INNER NAME."""
    import h5py

    if not h5py.is_hdf5(path):
        raise ValueError(f"it is no HDF5 file; {', '.join(SUFFIXES)} as Keras writes them are read")
    with h5py.File(path, "r") as file:
        root = _child(file, "model_weights") if "model_weights" in file else file
        reader = _Reader(h5py)
        if "layer_names" in root.attrs or "layer_names0" in root.attrs:
            names = _texts(root, "layer_names")
            found = {name: reader.named(_child(root, name)) for name in names}
        elif (layers := _layers_of(root)) is not None:
            if described is None:
                found = {name: reader.numbered(_child(layers, name)) for name in layers}
            else:
                found = reader.described(layers, described, "", 0)
        else:
            raise ValueError("it is HDF5, but holds neither layer_names nor layers as Keras writes them")
    return {name: arrays for name, arrays in found.items() if arrays}


class _Reader:
    """Reads arrays while counting their bytes against the limit."""

    def __init__(self, h5py: Any) -> None:
        self.h5py, self.left = h5py, MOST_BYTES

    def named(self, group: Any) -> list[np.ndarray]:
        """The arrays that the group's attribute `weight_names` lists."""
        return [self._array(_child(group, name)) for name in _texts(group, "weight_names")]

    def numbered(self, group: Any) -> list[np.ndarray]:
        """The arrays called 0, 1, 2 ... in the group's `vars`."""
        if "vars" not in group:
            return []
        variables = _child(group, "vars")
        if len(variables) > MOST_ARRAYS:
            raise ValueError(f"{group.name} has {len(variables)} arrays; at most {MOST_ARRAYS} are read")
        return [self._array(_child(variables, name)) for name in sorted(variables, key=_as_number)]

    def described(self, layers: Any, config: Any, prefix: str, depth: int) -> dict[str, list[np.ndarray]]:
        """The arrays of the layers that `config` describes, nested models laid open."""
        if depth > MOST_DEPTH:
            raise ValueError(f"it has models within models, more than {MOST_DEPTH} deep")
        found: dict[str, list[np.ndarray]] = {}
        for numbered, layer in _numbered_layers(config).items():
            if numbered not in layers:
                continue
            group, name = _child(layers, numbered), f"{prefix}{layer['config']['name']}"
            inner = _layers_of(group) if layer["class_name"] in MODELS else None
            if inner is None:
                found[name] = self.numbered(group)
            else:
                found |= self.described(inner, layer, f"{name}/", depth + 1)
        return found

    def _array(self, found: Any) -> np.ndarray:
        if not isinstance(found, self.h5py.Dataset) or found.dtype.kind not in "fiu":
            raise ValueError(f"{found.name} is not an array of numbers")
        if found.is_virtual or found.external:
            raise ValueError(f"{found.name} lies in another file, which is not followed")
        self.left -= found.size * max(found.dtype.itemsize, 4)
        if self.left < 0:
            raise ValueError(f"it holds more than {MOST_BYTES:,} bytes of numbers")
        return np.asarray(found[()], np.float32)


def _layers_of(group: Any) -> Any:
    """The group of a model's layers, None where there is none."""
    name = next((name for name in ("layers", "_layer_checkpoint_dependencies") if name in group), None)
    if name is None:
        return None
    layers = _child(group, name)
    if len(layers) > MOST_LAYERS:
        raise ValueError(f"it has {len(layers)} layers; at most {MOST_LAYERS} are read")
    return layers


def _child(group: Any, path: str) -> Any:
    """What lies at `path` below `group`, when no link on the way leads anywhere else."""
    import h5py

    for part in path.split("/"):
        if not isinstance(group, h5py.Group) or part not in group:
            raise ValueError(f"it lists {path!r}, which is not there")
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"{path!r} is a link, which is not followed")
        group = group[part]
    return group


def _texts(group: Any, name: str) -> list[str]:
    """An attribute that is a list of names; Keras cuts a long one into NAME0, NAME1, ..."""
    attributes = group.attrs
    if name in attributes:
        parts = [attributes[name]]
    else:
        parts = []
        while f"{name}{len(parts)}" in attributes:
            parts.append(attributes[f"{name}{len(parts)}"])
    found = [one.decode("utf-8") if isinstance(one, bytes) else str(one) for part in parts for one in np.ravel(part)]
    if len(found) > MOST_LAYERS:
        raise ValueError(f"{name} has {len(found)} entries; at most {MOST_LAYERS} are read")
    return found


def _numbered_layers(config: Any) -> dict[str, Any]:
    """For each layer of a described model what its weights are called in a `.keras` file, class and number, and it."""
    try:
        layers = [(layer["class_name"], layer) for layer in config["config"]["layers"] if layer["config"]["name"]]
    except (KeyError, TypeError):
        raise ValueError("its config.json lists no layers; only functional models can be read") from None
    counts: Counter[str] = Counter()
    names = {}
    for kind, layer in layers:
        kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", str(kind))).lower()
        names[f"{kind}_{counts[kind]}" if counts[kind] else kind] = layer
        counts[kind] += 1
    return names


def unpacked(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """One entry of a zip, of at most `most` bytes. Raises: ValueError when it is missing or larger."""
    if name not in archive.namelist():
        raise ValueError(f"it is a zip without {name}; a .keras file has one")
    with archive.open(name) as entry:
        content = entry.read(most + 1)
    if len(content) > most:
        raise ValueError(f"its {name} unpacks to more than {most:,} bytes")
    return content


def _as_number(name: str) -> int:
    if not name.isdigit():
        raise ValueError(f"array {name!r} is not called by a number, as Keras does")
    return int(name)
