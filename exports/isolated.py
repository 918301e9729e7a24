"""Running one job in a child process with limits on time and memory, and saying in words how it ended.

Converters and kernels are native code that can abort the process (measured: int16 activations with layer
normalisation end in SIGABRT on the first call). The parent starts `python -m exports.child job.json` in its own
process group, reads the lines the child reports as it goes, watches its memory, and kills the whole group at a limit.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

MEMORY_BYTES = 6 * 2**30
TIMEOUT_S = 600.0
POLL_S = 0.05
LAST_LINES = 12
Told = Callable[[Sequence[dict[str, Any]]], None]
READ = "read"  # the stage that a child which has read a file ends with


@dataclass(frozen=True)
class Ended:
    """How a child ended: `cause` is None when it finished, else one sentence; `reports` are its lines in order."""

    cause: str | None
    reports: tuple[dict[str, Any], ...]
    log: str


def run_isolated(
    job: dict[str, Any],
    *,
    timeout_s: float = TIMEOUT_S,
    memory_bytes: int = MEMORY_BYTES,
    folder: Path | None = None,
    told: Told | None = None,
) -> Ended:
    """Run `job` (see `exports.child`) and wait for it. `memory_bytes` bounds the resident memory of all its processes.

    The child dies with its parent, so an interrupted worker leaves no converter behind. `told` gets the reports so far
    whenever the child has made another.
    """
    if timeout_s <= 0 or memory_bytes < 2**28:
        raise ValueError(
            f"a child needs time and memory: got {timeout_s} s and {memory_bytes} bytes; at least 1 s and 256 MiB"
        )
    with tempfile.TemporaryDirectory(prefix="litesmith-child-", dir=folder) as scratch:
        job_path, reports, output = (Path(scratch) / name for name in ("job.json", "reports.jsonl", "log.txt"))
        job_path.write_text(json.dumps({**job, "reports": str(reports), "memory_bytes": memory_bytes}), "utf-8")
        with output.open("wb") as sink:
            # Converters walk over sets of names; a fixed hash seed makes their files the same in every process.
            environment = {**os.environ, "TMPDIR": scratch, "PYTHONHASHSEED": "0"}
            child = subprocess.Popen(
                [sys.executable, "-m", "exports.child", str(job_path)],
                stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True,
                cwd=Path(__file__).parent.parent, env=environment,
            )
            cause = _watch(child, timeout_s, memory_bytes, partial(_tell_new, reports, [0], told) if told else None)
        log = output.read_text("utf-8", "replace")
        return Ended(cause or _status(child.returncode, log), _read(reports), log)


def read_isolated(
    action: str, path: Path, *, timeout_s: float, memory_bytes: int = MEMORY_BYTES, **more: Any
) -> dict[str, Any]:
    """What an action of `exports.child` reads in the file at `path` and tells with `report_read`.

    Raises: ValueError that says why the file cannot be read.
    """
    job = {"action": action, "path": str(path.resolve()), **more}
    ended = run_isolated(job, timeout_s=timeout_s, memory_bytes=memory_bytes)
    last = ended.reports[-1] if ended.reports else {}
    if last.get("stage") != READ:
        raise ValueError(f"{path.name} cannot be read: {last.get('cause') or ended.cause}")
    return {key: value for key, value in last.items() if key != "stage"}


def report_read(report: Callable[..., None], read: Callable[[], dict[str, Any]]) -> None:
    """The child's part of `read_isolated`."""
    try:
        found = read()
    except Exception as error:
        # Readers fail in any way on damaged bytes; the file is then unreadable, which is the answer.
        report("unreadable", cause=f"{type(error).__name__}: {error}"[:800])
        return
    report(READ, **found)


def _watch(
    child: subprocess.Popen[bytes], timeout_s: float, memory_bytes: int, poll: Callable[[], None] | None
) -> str | None:
    """Wait for the child; kill its group when it takes too long or too much, and say so."""
    deadline = time.monotonic() + timeout_s
    try:
        while child.poll() is None:
            if time.monotonic() > deadline:
                return f"it did not finish within {timeout_s:g} s"
            if _resident(child.pid) > memory_bytes:
                return f"it needed more than {memory_bytes / 2**20:.0f} MiB of memory"
            if poll is not None:
                poll()
            time.sleep(POLL_S)
        return None
    finally:
        # Also reached when the caller is interrupted: nothing of the group may go on computing.
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _resident(pid: int) -> int:
    try:
        process = psutil.Process(pid)
        return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
    except psutil.Error:
        return 0


def _status(code: int, log: str) -> str | None:
    if code == 0:
        return None
    lines = [line for line in log.splitlines() if line.strip()]
    if code < 0:
        name = signal.Signals(-code).name
        return f"the process was ended by {name}" + (f"; its last words: {lines[-1][:300]}" if lines else "")
    return f"the process ended with status {code}: " + " / ".join(line.strip() for line in lines[-2:])[:500]


def _tell_new(path: Path, seen: list[int], told: Told) -> None:
    """Tells the reports when the file has grown beyond the size in `seen`; it is asked many times a second."""
    size = path.stat().st_size if path.is_file() else 0
    if size > seen[0]:
        seen[0] = size
        told(_read(path))


def _read(path: Path) -> tuple[dict[str, Any], ...]:
    if not path.is_file():
        return ()
    # A child killed in the middle of a line leaves half of it.
    lines = path.read_text("utf-8").split("\n")[:-1]
    return tuple(json.loads(line) for line in lines)
