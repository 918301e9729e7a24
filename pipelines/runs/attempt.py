"""Owning one attempt at a run: may it still write, and should it stop?

Every write first asks, in the same transaction, whether this attempt still owns the run. A worker that was taken for
dead and replaced finds out at its next write and cannot overwrite anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pipelines.runs import states
from pipelines.runs.home import Home
from pipelines.runs.tables import RunRow, StepRow

T = TypeVar("T")
LEASE_S = 60.0
ASK_EVERY_S = 0.5


class Cancelled(Exception):
    """The run was asked to stop. Steps let it pass; their checkpoint stays."""


class LostAttempt(Exception):
    """Another worker owns this run now. Nothing was written; leave without a trace."""


class StepClock:
    """Counts the seconds of a step, those of earlier attempts included."""

    def __init__(self, index: int, earlier_s: float) -> None:
        self.index = index
        self._earlier_s = earlier_s
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        return self._earlier_s + time.monotonic() - self._begun


class Attempt:
    """One attempt at a run. For one thread, except `stop` and `lost`, which anybody may set."""

    def __init__(self, home: Home, run_id: str, attempt: int) -> None:
        self.home = home
        self.id = run_id
        self.attempt = attempt
        self.stop = threading.Event()  # a signal or the heartbeat says: end soon
        self.lost = threading.Event()  # another attempt is in charge
        self._asked = 0.0
        self._clock: StepClock | None = None

    def cancel_requested(self) -> bool:
        """Tells whether the run should end. Cheap: asks the database at most twice a second."""
        if not self.stop.is_set() and time.monotonic() - self._asked > ASK_EVERY_S:
            self._asked = time.monotonic()
            query = select(RunRow.attempt, RunRow.state, RunRow.cancel_asked).where(RunRow.id == self.id)
            with self.home.database.read() as session:
                row = session.execute(query).one_or_none()
            if row is None or row.attempt != self.attempt or row.state != states.RUNNING:
                self.lost.set()
            elif row.cancel_asked is not None:
                self.stop.set()
        return self.stop.is_set() or self.lost.is_set()

    def check(self) -> None:
        """Raises Cancelled when the run should end, LostAttempt when another worker has it."""
        if self.cancel_requested():
            if self.lost.is_set():
                raise LostAttempt(f"attempt {self.attempt} of {self.id} was replaced")
            raise Cancelled(f"{self.id} was asked to stop")

    def _write(self, work: Callable[[Session], T]) -> T:
        """Runs `work` in a transaction that this attempt owns the run in. Raises LostAttempt."""
        own = update(RunRow).where(RunRow.id == self.id, RunRow.attempt == self.attempt, RunRow.state == states.RUNNING)

        def guarded(session: Session) -> T:
            # The update also takes the row's lock, so ownership cannot change before this transaction ends.
            now = time.time()
            owned = session.execute(own.values(heartbeat=now, lease=now + LEASE_S))
            if owned.rowcount != 1:  # type: ignore[attr-defined]
                self.lost.set()
                raise LostAttempt(f"attempt {self.attempt} of {self.id} was replaced")
            result = work(session)
            if self._clock is not None:
                # With every write, so that the time of a killed attempt is not forgotten.
                place = (StepRow.run_id == self.id, StepRow.step_index == self._clock.index)
                session.execute(update(StepRow).where(*place).values(seconds=self._clock.seconds))
            return result

        return self.home.database.write(guarded)
