"""The child process that touches files of unknown origin. Started by `sandbox`, never imported by it.

Speaks over its pipes: one JSON line in per request, one JSON line out per answer, followed by as many raw bytes
as its "bytes" says. Ends when its input ends, so it does not outlive its parent for longer than one image.
Imports Pillow and numpy only.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from pipelines.data.decode import SCALED, Unreadable, decode, read_bytes
from pipelines.data.limits import Limits
from pipelines.data.prepare import pixel_sha256, prepare
from pipelines.data.unpack import Member, unpack_zip


def main() -> None:
    source, answers = sys.stdin.buffer, _claim_stdout()
    job = json.loads(source.readline())
    limits = Limits(**job["limits"])
    try:
        if job["task"] == "unpack":
            _limit_process(limits, file_bytes=limits.zip_file_bytes + 1024 * 1024)
            _answer(answers, {"ready": True})
            _unpack(job, limits, answers)
        else:
            _limit_process(limits, file_bytes=0)
            _answer(answers, {"ready": True})
            _decode(source, limits, answers)
    except BrokenPipeError:
        os._exit(0)  # the parent is gone and nobody will read an error
    except OSError as error:
        _answer(answers, {"os_error": error.errno, "message": str(error)})
    except Exception:
        _answer(answers, {"bug": traceback.format_exc()})


def _limit_process(limits: Limits, file_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))


def _allow_seconds(seconds: int) -> None:
    """Grants this much processor time from now on; the system ends the process beyond it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds + 1, hard))


def _claim_stdout() -> BinaryIO:
    """Keeps the answer pipe to ourselves: a codec that prints would otherwise garble it."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _answer(answers: BinaryIO, header: dict[str, Any], payload: bytes = b"") -> None:
    answers.write(json.dumps(header | {"bytes": len(payload)}).encode() + b"\n" + payload)
    answers.flush()


def _decode(source: BinaryIO, limits: Limits, answers: BinaryIO) -> None:
    import hashlib

    for line in source:
        request = json.loads(line)
        _allow_seconds(limits.image_seconds)
        try:
            data = source.read(request["size"]) if "size" in request else read_bytes(Path(request["path"]), limits)
            image = decode(data, limits)
            height, width = request["resolution"] or (image.height, image.width)
            pixels = prepare(image, (height, width), request["channels"], request["resize"])
            header = {
                "shape": pixels.shape,
                "pixel_sha256": pixel_sha256(image),
                "file_sha256": hashlib.sha256(data).hexdigest(),
                "scaled": image.info.get(SCALED, ""),
            }
        except Unreadable as error:
            _answer(answers, {"reason": str(error)})
        except MemoryError:
            _answer(answers, {"reason": f"needs more memory than the {limits.memory_bytes:,} bytes allowed"})
        else:
            _answer(answers, header, pixels.tobytes())


def _unpack(job: dict[str, Any], limits: Limits, answers: BinaryIO) -> None:
    def report(member: Member) -> None:
        _answer(answers, {"member": asdict(member)})

    _allow_seconds(limits.zip_seconds)
    try:
        unpacked = unpack_zip(Path(job["path"]), Path(job["destination"]), limits, report)
    except MemoryError:
        _answer(answers, {"refused": f"opening the zip needs more than {limits.memory_bytes:,} bytes of memory"})
    except ValueError as error:
        _answer(answers, {"refused": str(error)})
    else:
        for folder in unpacked.folders:
            _answer(answers, {"folder": folder})
        _answer(answers, {"finished": True})


if __name__ == "__main__":
    main()
