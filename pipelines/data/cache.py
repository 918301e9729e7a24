"""Prepared sets on disk: built once, in one move, even when two processes start at the same time.

A set is built in `building-KEY` and renamed to `KEY` when complete, so a folder named KEY is always whole.
A lock file per key (released by the system when its holder dies) lets one process build while others wait;
whoever holds it may remove what a killed builder left behind.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)


def open_or_build(cache: Path, key: str, build: Callable[[Path, Path], None], waiting: Callable[[], None]) -> Path:
    """The folder of `key`, built first when it is not there.

    `build(folder, work)` fills `folder`; `work` is scratch space beside it. `waiting` is called while another
    process builds the same key; it may raise to give up.
    """
    home = cache / "prepared"
    home.mkdir(parents=True, exist_ok=True)
    finished = home / key
    if finished.is_dir():
        return finished
    with _locked(home / f"{key}.lock", waiting):
        if finished.is_dir():
            return finished
        _sweep(home, key)
        building = home / f"building-{key}"
        try:
            for folder in (building, building / "set", building / "work"):
                folder.mkdir()
            build(building / "set", building / "work")
            _to_disk(building / "set")
            os.rename(building / "set", finished)
            _sync_folder(home)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return finished


def discard(folder: Path) -> None:
    """Removes a set, taken away in one move first so that nobody opens half of it."""
    doomed = folder.with_name(f"discarded-{os.getpid()}-{time.monotonic_ns()}")
    try:
        os.rename(folder, doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed, ignore_errors=True)


@contextmanager
def _locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waiting()
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def _sweep(home: Path, key: str) -> None:
    """Removes what killed builders left: of this key, whose lock we hold, and of keys nobody holds."""
    for left in home.glob("building-*"):
        other = left.name.removeprefix("building-")
        if other == key:
            logger.info("removing the remains of an import that was stopped")
            discard(left)  # an orphaned child may still write there for a moment, so not deleted in place
            continue
        handle = os.open(home / f"{other}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            pass  # somebody is building it now
        finally:
            os.close(handle)
    for left in home.glob("discarded-*"):
        shutil.rmtree(left, ignore_errors=True)


def _to_disk(folder: Path) -> None:
    # Without this a power cut after the rename could leave a complete name with empty files.
    for path in folder.iterdir():
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
