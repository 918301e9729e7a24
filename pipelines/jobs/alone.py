"""A latency measurement has the machine to itself: nothing else of ours computes meanwhile.

Whoever computes shares the machine's lock; who measures holds it alone. A worker shares it as long as it executes and
turns its share into the whole for the time of a measurement. The lock lies in the home, so two homes do not see each
other.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.runs.home import Home
from pipelines.runs.locks import open_lock, try_lock, unlock

ASK_EVERY_S = 0.2
# The lock this process shares, by home. A second one on another descriptor would lock the process against itself.
_shares: dict[Path, int] = {}


class MachineBusy(ValueError):
    """Something of ours kept computing for longer than the caller wanted to wait."""


@contextmanager
def sharing_machine(home: Home, check: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Computes beside others, but waits while a measurement is going on. `check` may raise to give up."""
    descriptor = open_lock(home.locks / "machine.lock")
    try:
        _wait(descriptor, shared=True, check=check, timeout_s=None)
        _shares[home.folder] = descriptor
        yield
    finally:
        _shares.pop(home.folder, None)
        os.close(descriptor)


@contextmanager
def alone_on_machine(
    home: Home, check: Callable[[], None] = lambda: None, *, timeout_s: float | None = None
) -> Iterator[None]:
    """Computes while nothing else of this home does; waits for others to finish.

    `check` is called while waiting and may raise to give up. Raises MachineBusy, a ValueError, after `timeout_s`.
    """
    share = _shares.get(home.folder)
    descriptor = open_lock(home.locks / "machine.lock") if share is None else share
    try:
        _wait(descriptor, shared=False, check=check, timeout_s=timeout_s)
        yield
    finally:
        if share is None:
            os.close(descriptor)
        else:
            # Others may measure now; we go on computing when they are done.
            fcntl.flock(descriptor, fcntl.LOCK_SH)


def _wait(descriptor: int, *, shared: bool, check: Callable[[], None], timeout_s: float | None) -> None:
    begun = time.monotonic()
    while not try_lock(descriptor, shared=shared):
        # A share is given up while we wait for the whole: two workers that both want it would wait forever.
        unlock(descriptor)
        check()
        if timeout_s is not None and time.monotonic() - begun > timeout_s:
            raise MachineBusy(
                f"the machine was busy with other work of this home for {timeout_s:g} s; "
                "wait for its run to end or cancel it, then measure again"
            )
        time.sleep(ASK_EVERY_S)
