"""The sketch of a .tflite or .onnx file, read in a child process: a damaged file may do anything to its reader."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from exports.isolated import read_isolated, report_read
from zoo.sketches import Op, Sketch

TIMEOUT_S = 120.0
MEMORY_BYTES = 2 * 2**30
SUFFIXES = (".tflite", ".onnx")


@dataclass(frozen=True)
class FileSketch:
    """A file's operators. `folded` says whether its runtime folds more of them; `view` what is counted, in words."""

    sketch: Sketch
    element_bytes: int
    folded: bool
    view: str


def file_sketch(path: Path | str, *, suffix: str = "") -> FileSketch:
    """The sketch of the file at `path`; `suffix` says its kind where the name does not.

    Raises: ValueError for another kind of file, or one that cannot be read; the message says why.
    """
    path = Path(path)
    kind = suffix or path.suffix
    if kind not in SUFFIXES:
        raise ValueError(f"{path.name} is not a {' or '.join(SUFFIXES)} file; export it first")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    found = read_isolated("sketch", path, timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES, kind=kind)
    sketch = Sketch([_op(row) for row in found["ops"]], tuple(found["outputs"]))
    if kind == ".tflite":
        view = "as written: operators of the file, without what its converter has folded"
        return FileSketch(sketch, found["element_bytes"], False, view)
    view = "folded: operators of the file, without the norms and ReLUs that ONNX Runtime folds when it loads it"
    return FileSketch(sketch, found["element_bytes"], True, view)


def sketch_here(job: dict[str, Any], report: Any) -> None:
    """The child's part: read the file `job["path"]` and report its operations."""
    report_read(report, lambda: _read(Path(job["path"]), job["kind"]))


def _read(path: Path, kind: str) -> dict[str, Any]:
    if kind == ".tflite":
        from exports import tflite_sketch

        sketch, element_bytes = tflite_sketch.read_sketch(path.read_bytes())
    else:
        from exports import onnx_sketch

        sketch, element_bytes = onnx_sketch.read_sketch(path)
    ops = [asdict(op) for op in sketch.ops]
    return {"ops": ops, "outputs": sketch.outputs, "element_bytes": element_bytes}


def _op(row: dict[str, Any]) -> Op:
    return Op(**{**row, "inputs": tuple(row["inputs"]), "shape": tuple(row["shape"])})
