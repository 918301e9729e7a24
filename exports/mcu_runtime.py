"""What TensorFlow Lite Micro itself allocates for a .tflite file, where its Python package is installed.

The package runs the runtime's own planner and reference kernels on this host. Activations, with the scratch memory of
single kernels, are the same bytes as on a board; the runtime's structures hold pointers and are larger here.
"""

from __future__ import annotations

import ctypes
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from exports.isolated import read_isolated, report_read

PACKAGE = "tflite-micro"
TIMEOUT_S = 60.0
MEMORY_BYTES = 2 * 2**30
# What it prints when all is laid out: the activations' part of the arena, and the whole.
FIGURES = re.compile(r"allocation (head|total) (\d+)")


def installed() -> str | None:
    """The version of the package; None where it is not installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return None


def allocated(path: Path) -> dict[str, Any] | None:
    """`version`, and `activation_bytes` and `arena_bytes` on this host, or `refused`: what it said against the file.

    None where the package is not installed. A child process runs it, for a file may end the runtime's process.
    """
    found = installed()
    if found is None:
        return None
    try:
        values = read_isolated("mcu_runtime", path, timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES)
    except ValueError as error:
        return {"version": found, "refused": str(error)}
    return {"version": found, **values}


def allocate_here(job: dict[str, Any], report: Callable[..., None]) -> None:
    """The child's part."""
    report_read(report, lambda: figures(Path(job["path"]).read_bytes()))


def figures(data: bytes) -> dict[str, int]:
    """Bytes for the flatbuffer `data`. Raises: ValueError with the runtime's words when it does not take the file."""
    from tflite_micro.python.tflite_micro import runtime

    said = ""
    # The runtime writes to the process's own output, past Python's streams.
    with tempfile.TemporaryFile() as sink, ExitStack() as stack:
        for stream in (1, 2):
            stack.callback(os.dup2, os.dup(stream), stream)
            os.dup2(sink.fileno(), stream)
        try:
            runtime.Interpreter.from_bytes(data).print_allocations()
        except RuntimeError as error:
            said = str(error)
        ctypes.CDLL(None).fflush(None)
        sink.seek(0)
        said = f"{sink.read().decode('utf-8', 'replace')} {said}"
    sizes = dict(FIGURES.findall(said))
    if set(sizes) != {"head", "total"}:
        raise ValueError(" ".join(said.split())[:400] or "it gave no figures")
    return {"activation_bytes": int(sizes["head"]), "arena_bytes": int(sizes["total"])}
