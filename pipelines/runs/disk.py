"""Room on the disk: what a home uses, by kind, and the error for a disk that is full."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

# EFBIG is what a limited file size (ulimit -f) gives, EDQUOT a used-up quota: to the person all three are "no room".
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskFull(OSError):
    """There is no room for a file. Nothing half-written stays behind; free some space and resume."""

    def __init__(self, what: str, needed: int, free: int, where: Path) -> None:
        super().__init__(
            errno.ENOSPC,
            f"no room for {what}: {needed:,} bytes needed, {free:,} bytes free at {where}; "
            "free some space and resume the run",
        )
        self.needed = needed
        self.free = free

    def __str__(self) -> str:
        return str(self.strerror)


@dataclass(frozen=True)
class DiskUse:
    """Bytes a home takes, by kind, and what is free beside it."""

    artifacts: int
    checkpoints: int
    data_cache: int
    logs: int
    database: int
    free: int
    trash: int = 0  # the part of artifacts that emptying the trash gives back

    @property
    def total(self) -> int:
        return self.artifacts + self.checkpoints + self.data_cache + self.logs + self.database

    def as_dict(self) -> dict[str, int]:
        return {**asdict(self), "total": self.total}


def is_no_room(error: BaseException) -> bool:
    """Tells whether an error, or one that caused it, says that the disk is full.

    HDF5 and TensorFlow wrap the system's error and keep only its words, so those count as well.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in NO_ROOM:
            return True
        if "No space left on device" in str(seen) or "database or disk is full" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def free_bytes(folder: Path) -> int:
    """Returns the bytes free for us at `folder`."""
    return shutil.disk_usage(folder).free


def folder_bytes(folder: Path) -> int:
    """Returns the summed sizes of the files below `folder`; 0 if it is missing. Links are not followed."""
    total = 0
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return 0
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            total += folder_bytes(Path(entry.path))
        else:
            try:
                total += entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue  # a worker removed it between the listing and the look
    return total
