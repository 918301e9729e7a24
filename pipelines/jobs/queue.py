"""The durable queue: every change of a run's state, each in one transaction.

A claim gives a run to one attempt. From then on whoever wants to change the run names that attempt; a change for an
attempt that is no longer in charge does nothing and says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CursorResult, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from pipelines.runs import states
from pipelines.runs.attempt import LEASE_S, LostAttempt
from pipelines.runs.home import Home
from pipelines.runs.process import ProcessMark, host_name, is_alive
from pipelines.runs.reading import run_of
from pipelines.runs.records import Run
from pipelines.runs.registry import DEFAULT_SLOT, next_number
from pipelines.runs.tables import RunRow

log = logging.getLogger(__name__)

# How often a run is tried before the machine gives up on it; a person can always resume it after that.
ATTEMPTS = 3


@dataclass(frozen=True)
class Claim:
    """A run that was given to an attempt."""

    run_id: str
    attempt: int


class Queue:
    """The runs of a home as jobs."""

    def __init__(self, home: Home) -> None:
        self.home = home

    # -- what a person asks for --------------------------------------------------------------------------------------

    def resume(self, run_id: str, *, foreground: bool = False) -> None:
        """Queues a run that is created, failed or cancelled; it goes on from its checkpoint.

        In the foreground it is only made ready ("created"), so that no supervisor takes it.

        Raises ValueError for a run that is unknown, in the trash, done, queued or running.
        """

        def requeue(session: Session) -> None:
            row = _known(session, run_id)
            if row.state not in states.RESUMABLE:
                raise ValueError(f"run {run_id} is {row.state}; only {', '.join(states.RESUMABLE)} runs can be resumed")
            row.state = states.CREATED if foreground else states.QUEUED
            row.position = next_number(session, "last_position")
            row.deaths, row.cancel_asked, row.error, row.error_kind = 0, None, None, None
            row.finished, row.lease = None, None

        self.home.database.write(requeue)

    def cancel(self, run_id: str) -> str:
        """Cancels a waiting run at once and asks a running one to stop; returns the state it has now.

        Raises ValueError for a run that is unknown or over.
        """

        def ask(session: Session) -> str:
            row = _known(session, run_id)
            if row.state in states.FINAL:
                raise ValueError(f"run {run_id} is {row.state}; only waiting or running runs can be cancelled")
            if row.state == states.RUNNING:
                row.cancel_asked = row.cancel_asked or time.time()
            else:
                row.state, row.finished = states.CANCELLED, time.time()
            return row.state

        return self.home.database.write(ask)

    # -- giving runs to workers --------------------------------------------------------------------------------------

    def claim(
        self,
        slot: str = DEFAULT_SLOT,
        *,
        run_id: str | None = None,
        lease_s: float = LEASE_S,
        worker: ProcessMark | None = None,
    ) -> Claim | None:
        """Gives the next queued run of a slot, or the named one, to a new attempt; None when there is none to give.

        Refuses while another run holds the slot. Until the worker names itself (`begin`) the claim lasts for
        `lease_s`; a caller that is itself the worker gives its mark at once.
        """
        if run_id is None:
            wanted = (
                select(RunRow.id)
                .where(RunRow.state == states.QUEUED, RunRow.slot == slot, RunRow.deleted.is_(None))
                .order_by(RunRow.position)
                .limit(1)
                .scalar_subquery()
            )
            chosen = RunRow.id == wanted
        else:
            waiting = RunRow.state.in_((states.QUEUED, states.CREATED))
            chosen = (RunRow.id == run_id) & waiting & RunRow.deleted.is_(None)
        busy = aliased(RunRow)
        slot_is_busy = select(busy.id).where(busy.state == states.RUNNING, busy.slot == RunRow.slot).exists()

        def take(session: Session) -> Claim | None:
            now = time.time()  # within the transaction: after whatever it had to wait for
            statement = (
                update(RunRow)
                .where(chosen, ~slot_is_busy)
                .values(
                    state=states.RUNNING,
                    attempt=RunRow.attempt + 1,
                    started=func.coalesce(RunRow.started, now),
                    finished=None,
                    cancel_asked=None,
                    error=None,
                    error_kind=None,
                    progress=None,
                    lease=now + lease_s,
                    heartbeat=now if worker else None,
                    worker_host=worker.host if worker else host_name(),
                    worker_pid=worker.pid if worker else None,
                    worker_created=worker.created if worker else None,
                    foreground=worker is not None,
                )
                .returning(RunRow.id, RunRow.attempt)
                .execution_options(synchronize_session=False)
            )
            row = session.execute(statement).one_or_none()
            return Claim(row.id, row.attempt) if row else None

        try:
            return self.home.database.write(take)
        except IntegrityError:
            return None  # another machine took the slot between our look and our claim

    def name_worker(self, run_id: str, attempt: int, worker: ProcessMark) -> bool:
        """Records which process works on an attempt; False when the attempt is no longer in charge.

        The supervisor does this for the process it started, and the worker for itself: if the supervisor dies in
        between, the worker is known all the same.
        """
        now = time.time()
        values: dict[str, Any] = {
            "worker_host": worker.host,
            "worker_pid": worker.pid,
            "worker_created": worker.created,
        }
        return self._change(run_id, attempt, heartbeat=now, lease=now + LEASE_S, **values)

    def begin(self, run_id: str, attempt: int, worker: ProcessMark, environment: dict[str, Any]) -> None:
        """The worker takes its attempt. Raises LostAttempt when it is not in charge (any more)."""
        if not self.name_worker(run_id, attempt, worker) or not self._change(run_id, attempt, environment=environment):
            raise LostAttempt(f"attempt {attempt} of {run_id} is not in charge")

    def heartbeat(self, run_id: str, attempt: int) -> bool | None:
        """Says that the worker lives. Returns whether it was asked to stop, None when it is no longer in charge."""
        now = time.time()
        statement = _owned(run_id, attempt).values(heartbeat=now, lease=now + LEASE_S).returning(RunRow.cancel_asked)

        def beat(session: Session) -> bool | None:
            row = session.execute(statement.execution_options(synchronize_session=False)).one_or_none()
            return None if row is None else row.cancel_asked is not None

        return self.home.database.write(beat)

    # -- how an attempt ends -----------------------------------------------------------------------------------------

    def finish(self, run_id: str, attempt: int) -> bool:
        """The attempt did all steps. False when it was not in charge; nothing changed then. So for all below."""
        return self._end(run_id, attempt, state=states.DONE)

    def fail(self, run_id: str, attempt: int, message: str, kind: str) -> bool:
        """The attempt ended with an error of this kind (see `states.ERROR_KINDS`); it can be resumed."""
        return self._end(run_id, attempt, state=states.FAILED, error=message, error_kind=kind)

    def stopped(self, run_id: str, attempt: int, *, by_person: bool = False) -> str | None:
        """The attempt was stopped by a signal: cancelled if a person asked, else queued again at its old place.

        Without a person it is the machine that shuts down, and the run goes on when it is back.

        Returns the new state, None when the attempt was not in charge.
        """

        def end(session: Session) -> str | None:
            row = session.get(RunRow, run_id, with_for_update=True)
            if row is None or row.attempt != attempt or row.state != states.RUNNING:
                return None
            row.state = states.CANCELLED if by_person or row.cancel_asked is not None else states.QUEUED
            row.finished = None if row.state == states.QUEUED else time.time()
            _no_worker(row)
            return row.state

        return self.home.database.write(end)

    def died(self, run_id: str, attempt: int, how: str) -> str | None:
        """The attempt's worker vanished. Returns the new state, None when the attempt was not in charge.

        Cancelled if that was asked for, queued again at its old place while there are attempts left, else failed.
        """

        def end(session: Session) -> str | None:
            row = session.get(RunRow, run_id, with_for_update=True)
            if row is None or row.attempt != attempt or row.state != states.RUNNING:
                return None
            row.deaths += 1
            if row.cancel_asked is not None:
                row.state, row.finished = states.CANCELLED, time.time()
            elif row.deaths < ATTEMPTS:
                row.state = states.QUEUED
            else:
                row.state, row.finished = states.FAILED, time.time()
                row.error = (
                    f"{row.deaths} workers in a row were lost, the last one {how}. A common reason is too little "
                    "memory: try a smaller batch, width or resolution. The checkpoint is kept; the run can be resumed"
                )
                row.error_kind = states.KILLED
            _no_worker(row)
            return row.state

        return self.home.database.write(end)

    # -- looking after -----------------------------------------------------------------------------------------------

    def running(self) -> Sequence[Run]:
        """Returns the runs that some attempt is in charge of."""
        return self._in_state(states.RUNNING)

    def waiting(self) -> Sequence[Run]:
        """Returns the queued runs in the order they will start."""
        return self._in_state(states.QUEUED)

    def has_work(self) -> bool:
        """Tells whether anything is queued or running."""
        query = select(RunRow.id).where(RunRow.state.in_((states.QUEUED, states.RUNNING))).limit(1)
        with self.home.database.read() as session:
            return session.scalar(query) is not None

    def settle_dead(self) -> list[str]:
        """Ends every attempt whose worker is gone; returns the runs concerned. Safe for anybody at any time."""
        settled = []
        for run in self.running():
            how = what_happened_to(run)
            if how is not None and self.died(run.id, run.attempt, how) is not None:
                log.warning("run %s attempt %d: worker %s", run.id, run.attempt, how)
                settled.append(run.id)
        return settled

    def _in_state(self, state: str) -> Sequence[Run]:
        query = select(RunRow).where(RunRow.state == state, RunRow.deleted.is_(None)).order_by(RunRow.position)
        with self.home.database.read() as session:
            return [run_of(row) for row in session.scalars(query)]

    def _end(self, run_id: str, attempt: int, **values: Any) -> bool:
        return self._change(run_id, attempt, now="finished", worker_pid=None, lease=None, **values)

    def _change(self, run_id: str, attempt: int, *, now: str | None = None, **values: Any) -> bool:
        """Changes a run if the attempt is in charge, and notes the time of that in the column `now`."""

        def change(session: Session) -> bool:
            when = {now: time.time()} if now else {}
            result = session.execute(_owned(run_id, attempt).values(**values, **when))
            assert isinstance(result, CursorResult)
            return result.rowcount == 1

        return self.home.database.write(change)


def what_happened_to(run: Run) -> str | None:
    """Returns how a running run's worker was lost, None while it lives or may still show up."""
    now = time.time()
    lease_ran_out = run.lease is not None and run.lease < now
    if run.worker_pid is None:
        return "never started" if lease_ran_out else None
    if run.worker_host != host_name():
        return f"on {run.worker_host} fell silent" if lease_ran_out else None
    if is_alive(run.worker_pid, run.worker_created or 0.0, seen_lately=not lease_ran_out):
        return None
    return "vanished"


def _owned(run_id: str, attempt: int) -> Any:
    return update(RunRow).where(RunRow.id == run_id, RunRow.attempt == attempt, RunRow.state == states.RUNNING)


def _no_worker(row: RunRow) -> None:
    row.worker_pid, row.lease, row.progress = None, None, None


def _known(session: Session, run_id: str) -> RunRow:
    row = session.get(RunRow, run_id, with_for_update=True)
    if row is None or row.deleted is not None:
        raise ValueError(f"run {run_id!r} is not in this home; `python -m pipelines runs` lists its runs")
    return row
