"""The sketch of a .tflite or .onnx file, read in a child process: a damaged file may do anything to its reader."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from exports.isolated import run_isolated
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
    job = {"action": "sketch", "path": str(path.resolve()), "kind": kind}
    ended = run_isolated(job, timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES)
    last = ended.reports[-1] if ended.reports else {}
    if last.get("stage") != "sketched":
        raise ValueError(f"{path.name} cannot be read: {last.get('cause') or ended.cause}")
    sketch = Sketch([_op(row) for row in last["ops"]], tuple(last["outputs"]))
    if kind == ".tflite":
        view = "as written: operators of the file, without what its converter has folded"
        return FileSketch(sketch, last["element_bytes"], False, view)
    view = "folded: operators of the file, without the norms and ReLUs that ONNX Runtime folds when it loads it"
    return FileSketch(sketch, last["element_bytes"], True, view)


def sketch_here(job: dict[str, Any], report: Any) -> None:
    """The child's part: read the file `job["path"]` and report its operations."""
    path = Path(job["path"])
    try:
        if job["kind"] == ".tflite":
            from exports import tflite_sketch

            sketch, element_bytes = tflite_sketch.read_sketch(path.read_bytes())
        else:
            from exports import onnx_sketch

            sketch, element_bytes = onnx_sketch.read_sketch(path)
    except Exception as error:
        # Readers fail in any way on damaged bytes; the file is then unreadable, which is the answer.
        report("unreadable", cause=f"{type(error).__name__}: {error}"[:800])
        return
    report("sketched", ops=[asdict(op) for op in sketch.ops], outputs=sketch.outputs, element_bytes=element_bytes)


def _op(row: dict[str, Any]) -> Op:
    return Op(**{**row, "inputs": tuple(row["inputs"]), "shape": tuple(row["shape"])})
