"""Files for the Coral Edge TPU: int8 with dense layers per tensor, then `edgetpu_compiler` where it is installed.

The model gets the form of `zoo/chip.py`. Grouped convolutions stay in slices, as they were trained: the native operator
is newer than the compiler (CONV_2D version 6, runtime 2.9).

The compiler is closed source, x86-64 Debian only, last released as 16.0 in 2021 on the base of TensorFlow 2.5. It is
not part of any package index, so most machines do not have it: the file is then left as it is and marked so.
Its result counts only when it exits 0, writes its output, and that output holds the chip's own operator. It lies
beside the int8 file, which stays the artifact: only that one can be run and judged on a host without the chip.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from exports.edgetpu_rules import is_newer
from exports.tflite_file import EDGETPU_OPERATOR, read_facts
from exports.writers import tflite
from exports.writers.source import Source

COMPILER = "edgetpu_compiler"
TIMEOUT_S = 240
READY = f"ready, not compiled: {COMPILER} is not on the PATH"


class CompilerRefused(RuntimeError):
    """The compiler gave no file that the chip would run; the message says what it said."""


def write(source: Source, format_id: str, path: Path) -> list[str]:
    """Write the int8 file for the Edge TPU to `path`, and compile it beside when the compiler is there; notes say."""
    path.write_bytes(tflite.convert(source, "tflite_int8", edgetpu=True))
    notes = newer_than_compiler(path)
    compiler = shutil.which(COMPILER)
    if compiler is None:
        return [*notes, READY]
    try:
        return [*notes, *compile_beside(path, compiler)]
    except CompilerRefused as refusal:
        return [*notes, f"not compiled: {refusal}"]


def compiled_path(path: Path) -> Path:
    """`net_edgetpu.tflite` -> `net_edgetpu_compiled.tflite`."""
    return path.with_name(f"{path.stem}_compiled{path.suffix}")


def newer_than_compiler(path: Path) -> list[str]:
    """A note when the file needs a runtime newer than the compiler's, which then refuses it whole."""
    runtime = read_facts(path.read_bytes()).min_runtime
    if is_newer(runtime):
        return [f"the file needs runtime {runtime}; the compiler knows operators up to 2.5 and should refuse it"]
    return []


def compile_beside(path: Path, compiler: str, *, timeout_s: float = TIMEOUT_S) -> list[str]:
    """Write `compiled_path(path)`; returns what the compiler said about the mapping.

    Raises:
        CompilerRefused: the compiler failed, ran out of time, or left no file with the chip's operator.
    """
    out = path.with_name(path.stem + "_compiler")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    try:
        # Same process group as this child, so that killing the child's group ends the compiler too.
        done = subprocess.run(
            [compiler, "-s", "-o", str(out), str(path)],
            capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False,
        )
        said = (done.stdout + "\n" + done.stderr).strip()
        if done.returncode != 0:
            raise CompilerRefused(f"{COMPILER} ended with status {done.returncode}: {_last_words(said)}")
        compiled = out / f"{path.stem}_edgetpu.tflite"
        if not compiled.is_file():
            raise CompilerRefused(f"{COMPILER} ended with status 0 but wrote no {compiled.name}: {_last_words(said)}")
        try:
            custom = read_facts(compiled.read_bytes()).custom
        except (ValueError, IndexError, TypeError, AttributeError) as error:
            raise CompilerRefused(f"{COMPILER} wrote a file that is not TFLite: {error}") from error
        if EDGETPU_OPERATOR not in custom:
            words = _last_words(said)
            raise CompilerRefused(f"{COMPILER} mapped nothing: its file holds no {EDGETPU_OPERATOR} ({words})")
        compiled.replace(compiled_path(path))
        return ["compiled, not run here (only the chip runs the compiled file)", *mapping(said)]
    except subprocess.TimeoutExpired as error:
        raise CompilerRefused(f"{COMPILER} did not finish within {timeout_s:g} s") from error
    finally:
        shutil.rmtree(out, ignore_errors=True)


def mapping(said: str) -> list[str]:
    """The lines of the compiler's report that tell where operators run and what the parameter cache holds."""
    wanted = (
        "Edge TPU Compiler version", "On-chip memory used", "Off-chip memory used", "Number of Edge TPU subgraphs",
        "Total number of operations", "Number of operations that will run",
    )
    return [line.strip() for line in said.splitlines() if line.strip().startswith(wanted)]


def _last_words(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return " / ".join(lines[-3:]) if lines else "it printed nothing"
