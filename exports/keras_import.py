"""A model from elsewhere, brought in: description and weights are read in a child process and built anew there.

What comes out is a file of our own kind, which the rest of the workbench opens. The original is never loaded by Keras:
its description passes `exports/keras_config.py`, its weights are read as plain numbers, and the child has limits on
time and memory. A SavedModel has operations for a description: `exports/saved_model.py` reads them.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from exports.isolated import run_isolated
from exports.keras_config import RANGES, Cleaned, clean
from exports.keras_weights import (
    MOST_BYTES,
    MOST_CONFIG_BYTES,
    SUFFIXES,
    read_arrays,
    sha256_of,
    unpacked,
)
from exports.saved_model import hash_of, is_saved_model, read_saved_model
from exports.saved_model_layers import IMAGE, plan_of
from zoo.layers import AFFINE
from zoo.plans import Call, Plan

MODEL_SUFFIXES = (*SUFFIXES, ".zip")  # a zip is a SavedModel's folder, which can be named as well
# No folder is called so, and no file of this kind is read: refused before anything is looked for.
FOREIGN_SUFFIXES = (".ckpt", ".json", ".npz", ".onnx", ".pb", ".pkl", ".pt", ".pth", ".safetensors", ".tflite")

TIMEOUT_S = 180.0
MEMORY_BYTES = 6 * 2**30


@dataclass(frozen=True)
class Imported:
    """What was read: input (height, width, channels), number of classes, sizes, and sentences for the person."""

    sha256: str
    input_shape: tuple[int, int, int]
    classes: int
    layers: int
    params: int
    softmax: bool
    notes: tuple[str, ...]
    barriers: tuple[str, ...]  # layers whose channels cannot be followed

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def import_model(
    path: Path | str,
    out: Path | str | None = None,
    *,
    input_range: str = "0..1",
    resolution: tuple[int, int] | None = None,
) -> Imported:
    """Reads the model at `path` and writes it anew to `out` (.keras); without `out` only reads.

    It is a `.keras` or `.h5` file, the folder of a SavedModel, or a zip of that folder.

    `resolution` (height, width) fills in a size that the file leaves open.

    Raises: ValueError saying what of the file cannot be read.
    """  # fmt: skip
    path = Path(path).expanduser()
    check_named(path)
    if not path.exists():
        raise ValueError(f"there is no model file at {path}")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes; at most {MOST_BYTES:,} are read")
    if input_range not in RANGES:
        raise ValueError(f"input_range {input_range!r} is not known; one of {', '.join(RANGES)}")
    job = {
        "action": "import",
        "path": str(path.resolve()),
        "out": str(Path(out).resolve()) if out else None,
        "input_range": input_range,
        "resolution": list(resolution) if resolution else None,
    }
    ended = run_isolated(job, timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES)
    last = ended.reports[-1] if ended.reports else {}
    if last.get("stage") != "imported":
        raise ValueError(
            f"{path.name} cannot be read: {last.get('cause') or ended.cause or 'the reader gave no answer'}"
        )
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in last["model"].items()
    }
    return Imported(sha256=hash_of(path) if path.is_dir() else sha256_of(path), **values)


def check_named(path: Path) -> None:
    """Raises ValueError when `path` is not named like a model that is read; nothing is opened."""
    if path.suffix not in MODEL_SUFFIXES and not path.is_dir():
        raise ValueError(
            f"{path.name} does not end in {', '.join(MODEL_SUFFIXES)}, the model files that are read, and is no folder "
            "of a SavedModel"
        )


def import_here(job: dict[str, Any], report: Any) -> None:
    """The child's part: reads `job["path"]`, builds the model and writes it to `job["out"]`."""
    try:
        values = _import(Path(job["path"]), job)
    except Exception as error:
        # Damaged bytes and impossible layers fail in any way inside HDF5 and Keras; that is the answer then.
        cause = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        report("refused", cause=" ".join(cause.split())[:600])
        return
    report("imported", model=values)


def _import(path: Path, job: dict[str, Any]) -> dict[str, Any]:
    read = _from_saved_model if is_saved_model(path) else _from_keras
    model, softmax, notes = read(path, job)
    shape, answer = model.input_shape, model.output_shape
    if len(shape) != 4 or None in shape[1:] or shape[-1] not in (1, 3):
        raise ValueError(f"its input is {shape}; images of a fixed size with 1 or 3 channels are read")
    if len(answer) != 2 or answer[-1] < 2:
        raise ValueError(f"its answer is {answer}; a classifier gives one number for each of at least two classes")
    if job["out"]:
        from exports.model_file import save_model

        save_model(model, job["out"])
    from zoo.read_model import sketch_of

    sketch = sketch_of(model)
    return {
        "input_shape": [int(side) for side in shape[1:]],
        "classes": int(answer[-1]),
        "layers": len(model.layers),
        "params": int(model.count_params()),
        "softmax": softmax,
        "notes": notes,
        "barriers": sketch.unknown,
    }


def _from_keras(path: Path, job: dict[str, Any]) -> tuple[Any, bool, list[str]]:
    """The model that Keras describes, whether a softmax was taken off its end, and notes."""
    cleaned = clean(_description(path), job["input_range"])
    _fill_size(cleaned, job["resolution"])
    arrays = read_arrays(path, Path(job["reports"]).parent)
    model = _built(cleaned)
    _set_weights(model, arrays)
    if job["input_range"] != "0..1":
        model.get_layer(AFFINE).set_weights(_range_weights(job["input_range"], model.input_shape[-1]))
    if any(hasattr(layer, "_nodes_by_depth") for layer in model.layers):
        from zoo.cut import laid_open

        model = laid_open(model)
        cleaned.notes.append("models nested in it are laid open: each of their layers is one of its own")
    return model, cleaned.softmax, cleaned.notes


def _from_saved_model(path: Path, job: dict[str, Any]) -> tuple[Any, bool, list[str]]:
    """The same of a SavedModel."""
    graph = read_saved_model(path, Path(job["reports"]).parent)
    plan, softmax = plan_of(graph, job["resolution"])
    read = f"{len(graph.operations)} operations of its signature {graph.signature}"
    notes = [f"{read} are {len(plan.calls)} layers here"]
    if softmax:
        notes.append("the softmax at its end is left off: files here give logits")
    if None in graph.image_shape[1:]:
        notes.append(f"its input size was open; taken as {job['resolution'][0]}x{job['resolution'][1]}")
    if job["input_range"] != "0..1":
        _put_range(plan, job["input_range"])
        notes.append(f"a layer {AFFINE} in front turns 0..1 into {job['input_range']}")
    return plan.build(), softmax, notes


def _put_range(plan: Plan, input_range: str) -> None:
    """Puts the layer that changes the range of pixels between the image and all that read it."""
    channels = plan.channels_of(IMAGE)
    config = {"kernel_size": (1, 1), "padding": "same", "use_bias": True, "trainable": False}
    weights = tuple(_range_weights(input_range, channels))
    behind = {
        name: replace(call, inputs=tuple(AFFINE if one == IMAGE else one for one in call.inputs))
        for name, call in plan.calls.items()
    }
    plan.calls = {AFFINE: Call(AFFINE, "DepthwiseConv2D", config, (IMAGE,), channels, weights), **behind}


def _range_weights(input_range: str, channels: int) -> list[np.ndarray]:
    scale, offset = RANGES[input_range]
    return [np.full((1, 1, channels, 1), scale, np.float32), np.full(channels, offset, np.float32)]


def _description(path: Path) -> Any:
    """The JSON text in which Keras describes the model."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return json.loads(unpacked(archive, "config.json", MOST_CONFIG_BYTES))
    import h5py

    if not h5py.is_hdf5(path):
        raise ValueError("it is neither a .keras zip nor HDF5")
    with h5py.File(path, "r") as file:
        text = file.attrs.get("model_config")
        if text is None:
            raise ValueError("it holds weights but no description of a model; name it as weights of an architecture")
        text = text.decode("utf-8") if isinstance(text, bytes) else str(text)
    if len(text) > MOST_CONFIG_BYTES:
        raise ValueError(f"its description has more than {MOST_CONFIG_BYTES:,} letters")
    return json.loads(text)


def _fill_size(cleaned: Cleaned, resolution: list[int] | None) -> None:
    row = next(one for one in cleaned.config["layers"] if one["name"] == cleaned.config["input_layers"][0][0])
    shape = list(row["config"].get("batch_input_shape") or [])
    if len(shape) == 4 and None in shape[1:3] and resolution:
        shape[1:3] = resolution
        cleaned.notes.append(f"its input size was open; taken as {resolution[0]}x{resolution[1]}")
    row["config"] = {"name": row["name"], "batch_input_shape": [None, *shape[1:]]}


def _built(cleaned: Cleaned) -> Any:
    from zoo.keras import keras
    from zoo.keras_layers import custom_objects

    with keras.utils.custom_object_scope(custom_objects()):
        return keras.Model.from_config(cleaned.config)


def _set_weights(model: Any, arrays: dict[str, list[np.ndarray]], prefix: str = "") -> None:
    """Puts arrays into layers of the same name, in the order in which Keras writes them: learning ones first.

    HDF5 files list the arrays of a nested model with it, `.keras` files with each of its layers (NAME/INNER NAME).
    """
    for layer in model.layers:
        wanted = [*layer.trainable_weights, *layer.non_trainable_weights]
        if not wanted or layer.name == AFFINE:
            continue
        name = prefix + layer.name
        if hasattr(layer, "_nodes_by_depth") and name not in arrays:
            _set_weights(layer, arrays, f"{name}/")
            continue
        given = arrays.get(name, [])
        if len(given) != len(wanted):
            raise ValueError(f"layer {layer.name} has {len(wanted)} arrays, the file {len(given)} for it")
        for variable, array in zip(wanted, given, strict=True):
            if tuple(variable.shape) != array.shape:
                raise ValueError(f"layer {layer.name}: an array of {array.shape} where {tuple(variable.shape)} belongs")
            if not np.isfinite(array).all():
                raise ValueError(f"layer {layer.name} holds numbers that are not finite")
            variable.assign(array)
