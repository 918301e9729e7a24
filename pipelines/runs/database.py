"""The connection to the database and the two ways through it: `read` and `write`.

SQLite needs care to be safe between processes:
- WAL, so that readers never wait for the writer;
- synchronous FULL: a run that was reported as queued or done is still so after a power cut. WAL with NORMAL may forget
  the last transactions. A worker writes a few times a second, so the extra flush does not show;
- `BEGIN IMMEDIATE` for writes: a transaction that first reads and then writes would otherwise fail at once with
  "database is locked" when somebody wrote in between, without SQLite's own waiting;
- a locked database is waited for, first by SQLite (`busy_timeout`), then by repeating the whole transaction.
"""

from __future__ import annotations

import json
import logging
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from pipelines.runs.disk import DiskFull, free_bytes

log = logging.getLogger(__name__)

T = TypeVar("T")
BUSY_TIMEOUT_S = 30.0
PATIENCE_S = 300.0


class Database:
    """Reads and writes in transactions, whatever else uses the same database."""

    def __init__(self, url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S, patience_s: float = PATIENCE_S) -> None:
        self.url = make_url(url)
        self.patience_s = patience_s
        self.engine = create_engine(self.url, json_serializer=_to_json)
        if self.is_sqlite:
            _prepare_sqlite(self.engine, busy_timeout_s)
        self._writing = self.engine.execution_options(writes=True)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def file(self) -> Path | None:
        """Returns the database file, None for a server."""
        return Path(self.url.database) if self.is_sqlite and self.url.database else None

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Gives a session that sees one state of the database throughout."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    def write(self, work: Callable[[Session], T]) -> T:
        """Runs `work` in one transaction and returns its result.

        While the database is locked `work` is run again, for up to `patience_s` seconds, so it must touch nothing but
        its session. Raises DiskFull when there is no room, OperationalError when patience ends.
        """
        deadline = time.monotonic() + self.patience_s
        waited = False
        while True:
            try:
                with Session(self._writing, expire_on_commit=False) as session, session.begin():
                    session.connection()  # begins, and so waits, here: a time that `work` notes lies behind the wait
                    return work(session)
            except OperationalError as error:
                if is_full(error):
                    where = (self.file or Path.cwd()).resolve().parent
                    raise DiskFull("the database", 64 * 1024, free_bytes(where), where) from error
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
                if not waited:
                    log.warning("the database is locked by another process; waiting for it")
                    waited = True
                time.sleep(random.uniform(0.02, 0.1))

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()


def is_busy(error: OperationalError) -> bool:
    """Tells whether the same transaction may well succeed a moment later."""
    if isinstance(error.orig, sqlite3.Error):
        return _primary_code(error.orig) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    # Postgres: serialization failure, deadlock.
    return getattr(error.orig, "sqlstate", None) in ("40001", "40P01")


def is_full(error: OperationalError) -> bool:
    """Tells whether SQLite found no room on the disk. A failed write to a full disk may also come as an I/O error."""
    if not isinstance(error.orig, sqlite3.Error):
        return False
    code = getattr(error.orig, "sqlite_errorcode", 0)
    return _primary_code(error.orig) == sqlite3.SQLITE_FULL or code in (
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_SHMSIZE,
    )


def _primary_code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF  # the upper bits hold the extended code


def _prepare_sqlite(engine: Engine, busy_timeout_s: float) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None  # Python's own BEGIN would come too late and never IMMEDIATE
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(busy_timeout_s * 1000)}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def turn_on_wal(database: Database) -> None:
    """Sets the journal to WAL; the file remembers it. A network file system may not offer it: then says so."""
    with database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        mode = raw.execute("PRAGMA journal_mode").fetchone()[0]
        if mode != "wal":
            mode = raw.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            log.warning("this file system offers no write-ahead log (journal mode %s): readers may have to wait", mode)


def _to_json(value: Any) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    """Numpy's numbers and arrays come in from every metric; the database keeps plain ones."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} {value!r} cannot be kept as JSON")
