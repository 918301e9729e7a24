"""Progress of a command as lines on stderr, with the time that is left."""

from __future__ import annotations

import sys
import time


class Lines:
    """Progress as lines on stderr, at most one in `every` seconds of a phase; the time left in it once it is known."""

    def __init__(self, every: float = 2.0) -> None:
        self.every, self.begun, self.last = every, 0.0, 0.0

    def __call__(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        if done == 0:
            self.begun = now
        elif now - self.last < self.every:
            return
        self.last = now
        left = f", about {(now - self.begun) / done * (total - done):.0f} s left" if done else ""
        print(f"{what} ({100 * done / total:.0f} %{left})", file=sys.stderr, flush=True)
