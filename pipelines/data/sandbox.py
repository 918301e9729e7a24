"""Opens files of unknown origin in child processes with limits on memory, time and output.

What this guards against: files that eat memory, time or disk, and codecs that crash. The child runs as the same
user, so it is no guard against a codec that is taken over; run the container for that.
Children decode many images each, because starting one costs as much as a hundred small photos.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import pipelines
from pipelines.data.collection import Progress
from pipelines.data.limits import USUAL, Limits
from pipelines.data.prepare import RESIZE
from pipelines.data.unpack import Member, Unpacked

START_SECONDS = 60
LONGEST_HEADER = 256 * 1024
IN_FLIGHT = 2  # requests a child holds: one at work, one waiting; more would fill the pipe before it is read
_ROOT = Path(next(iter(pipelines.__path__))).parent
# -I: nothing of the caller's environment or working folder decides what the child imports.
_START = f"import sys; sys.path.insert(0, {str(_ROOT)!r}); from pipelines.data.child import main; main()"


@dataclass(frozen=True)
class Picture:
    """A decoded file: pixels uint8 (height, width, 1 or 3), hashes, and the range it was scaled from, if any."""

    pixels: np.ndarray
    pixel_sha256: str
    file_sha256: str
    scaled: str


@dataclass(frozen=True)
class Refused:
    """A file that gives no picture, and the reason."""

    reason: str


def read_picture(
    source: Path | bytes,
    *,
    resolution: tuple[int, int] | None = None,
    channels: int | None = None,
    limits: Limits = USUAL,
) -> np.ndarray:
    """One file or upload as pixels uint8 (height, width, channels), prepared like the images of a data set.

    `resolution` None keeps the picture's own size. Raises ValueError with the reason when it is not usable.
    """
    if isinstance(source, bytes) and len(source) > limits.max_file_bytes:
        raise ValueError(f"{len(source):,} bytes, at most {limits.max_file_bytes:,} are read")
    for _, outcome in read_pictures([source], resolution=resolution, channels=channels, limits=limits):
        if isinstance(outcome, Refused):
            raise ValueError(f"the picture cannot be used: {outcome.reason}")
        return outcome.pixels
    raise AssertionError("a request without an outcome")


def read_pictures(
    sources: Sequence[Path | str | bytes],
    *,
    resolution: tuple[int, int] | None,
    channels: int | None,
    limits: Limits,
    resize: str = RESIZE,
) -> Generator[tuple[int, Picture | Refused], None, None]:
    """(index, outcome) of every source, in the order they finish. Close the iterator to stop the children.

    Bytes are for a single source: sending a second upload to a child that is still answering would block both.
    """
    assert len(sources) == 1 or not any(isinstance(source, bytes) for source in sources)
    asked = {"resolution": resolution, "channels": channels, "resize": resize}
    waiting = deque(range(len(sources)))
    # A second child pays only when there is work for it.
    team = [_Child({"task": "decode"}, limits) for _ in range(min(limits.processes, 1 + len(sources) // 64))]
    try:
        while waiting or any(child.held for child in team):
            for child in team:
                while waiting and len(child.held) < IN_FLIGHT:
                    _ask(child, waiting.popleft(), sources, asked)
            _wait(team)
            for child in list(team):
                failure = child.failure(limits)
                while (answer := child.answer()) is not None:
                    yield child.next_done(), _outcome(*answer)
                if failure:
                    if child.held:
                        yield child.next_done(), Refused(failure)
                    waiting.extendleft(reversed(child.held))  # those it had not begun
                    child.end()
                    team[team.index(child)] = _Child({"task": "decode"}, limits)
    finally:
        for child in team:
            child.end()


def unpack(path: Path, destination: Path, limits: Limits, progress: Progress | None = None) -> Unpacked:
    """`unpack_zip` in a child. `progress(done, 0)` hears of each entry. Raises ValueError for a zip that is refused."""
    child = _Child({"task": "unpack", "path": str(path), "destination": str(destination)}, limits)
    unpacked = Unpacked()
    end = time.monotonic() + limits.zip_seconds
    try:
        while True:
            ended = child.receive(timeout=1.0)
            while (answer := child.answer()) is not None:
                header, _ = answer
                if "member" in header:
                    unpacked.members.append(Member(**header["member"]))
                    if progress:
                        progress(len(unpacked.members), 0)
                elif "folder" in header:
                    unpacked.folders.append(header["folder"])
                elif "refused" in header:
                    raise ValueError(header["refused"])
                elif "finished" in header:
                    return unpacked
                else:
                    _raise(header)
            if ended:
                raise ValueError(f"unpacking was stopped by the system ({child.cause(limits.zip_seconds)})")
            if time.monotonic() > end:
                raise ValueError(f"unpacking took more than {limits.zip_seconds} seconds")
            if progress:
                progress(len(unpacked.members), 0)
    finally:
        child.end()


class _Child:
    """One process, its pipes, and the indexes of the requests it holds."""

    def __init__(self, job: dict[str, Any], limits: Limits) -> None:
        self.held: deque[int] = deque()
        self._since = time.monotonic()
        self._buffer = bytearray()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in end()
        environment = {"PATH": os.environ.get("PATH", ""), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", "-c", _START],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0,
            env=environment, cwd="/",
        )  # fmt: skip
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        try:
            self.send(job | {"limits": asdict(limits)})
            end = time.monotonic() + START_SECONDS
            while (answer := self.answer()) is None:
                if self.receive(timeout=1.0) or time.monotonic() > end:
                    raise RuntimeError(f"the child for untrusted files did not start: {self._complaint()}")
            if "ready" not in answer[0]:
                _raise(answer[0])
        except BaseException:
            self.end()
            raise

    def send(self, request: dict[str, Any], payload: bytes = b"") -> None:
        assert self.process.stdin is not None
        data = memoryview(json.dumps(request).encode() + b"\n" + payload)
        try:
            while data:
                data = data[self.process.stdin.write(data) :]
        except BrokenPipeError:
            pass  # it died; the reading side finds out and says why

    def hold(self, index: int) -> None:
        if not self.held:
            self._since = time.monotonic()
        self.held.append(index)

    def next_done(self) -> int:
        self._since = time.monotonic()
        return self.held.popleft()

    def receive(self, timeout: float) -> bool:
        """Takes in what has arrived, waiting up to `timeout` seconds; True when the child has ended."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout):
                return False
        return self.take()

    def take(self) -> bool:
        assert self.process.stdout is not None
        try:
            arrived = os.read(self.process.stdout.fileno(), 1024 * 1024)
        except BlockingIOError:
            return False
        self._buffer += arrived
        return not arrived

    def answer(self) -> tuple[dict[str, Any], bytes] | None:
        """The next complete answer, if there is one."""
        end = self._buffer.find(b"\n", 0, LONGEST_HEADER)
        if end < 0:
            if len(self._buffer) >= LONGEST_HEADER:
                raise RuntimeError("the child for untrusted files broke the protocol")
            return None
        header = json.loads(self._buffer[:end])
        after = end + 1 + header["bytes"]
        if len(self._buffer) < after:
            return None
        payload = bytes(self._buffer[end + 1 : after])
        del self._buffer[:after]
        return header, payload

    def failure(self, limits: Limits) -> str:
        """Why this child has to be replaced, or "". Reads what has arrived on the way."""
        if self.take():
            return self.cause(limits.image_seconds)
        if self.held and time.monotonic() - self._since > limits.image_seconds + 5:
            return f"took more than {limits.image_seconds} seconds"
        return ""

    def cause(self, seconds: int) -> str:
        code = self.process.wait(timeout=10)
        if code == -signal.SIGXCPU:
            return f"took more than {seconds} seconds of processor time"
        if code < 0:
            return f"crashed the reader ({signal.Signals(-code).name})"
        return f"ended the reader (exit {code}): {self._complaint()}"

    def _complaint(self) -> str:
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 2000))
        return self._errors.read().decode(errors="replace").strip() or "it said nothing"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._errors):
            if pipe is not None:
                pipe.close()


def _ask(child: _Child, index: int, sources: Sequence[Path | str | bytes], request: dict[str, Any]) -> None:
    source = sources[index]
    child.hold(index)
    if isinstance(source, bytes):
        child.send(request | {"size": len(source)}, source)
    else:
        child.send(request | {"path": os.path.abspath(source)})


def _wait(team: list[_Child]) -> None:
    """Returns when a child has news, or after a second, so that deadlines are looked at."""
    with selectors.DefaultSelector() as selector:
        for child in team:
            assert child.process.stdout is not None
            selector.register(child.process.stdout, selectors.EVENT_READ)
        selector.select(1.0)


def _outcome(header: dict[str, Any], payload: bytes) -> Picture | Refused:
    if "reason" in header:
        return Refused(header["reason"])
    if "shape" not in header:
        _raise(header)
    pixels = np.frombuffer(payload, np.uint8).reshape(header["shape"])
    return Picture(pixels, header["pixel_sha256"], header["file_sha256"], header["scaled"])


def _raise(header: dict[str, Any]) -> None:
    if "os_error" in header:  # a full disk, for one: not the file's fault
        raise OSError(header["os_error"], header["message"])
    raise RuntimeError(f"the child for untrusted files failed:\n{header.get('bug', header)}")
