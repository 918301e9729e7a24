"""Transactions that wait for others instead of failing."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from pipelines.runs import DiskFull, Home, Registry


@pytest.fixture
def locker(home):
    """Starts a second process that holds the database exclusively for some seconds; returns when it holds it."""
    started = []

    def lock(seconds):
        code = f"""
            import sqlite3, time
            connection = sqlite3.connect({str(home.database.file)!r}, isolation_level=None)
            connection.execute("BEGIN EXCLUSIVE")
            print("locked", flush=True)
            time.sleep({seconds})
            connection.execute("ROLLBACK")
            """
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "locked\n"
        return process

    yield lock
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_writes_wait_for_a_database_locked_by_another_process(home, start, locker):
    impatient = Home.open(home.folder, busy_timeout_s=0.1)  # SQLite itself gives up long before the lock ends
    handle = start()
    handle.home = impatient
    process = locker(1.5)
    began = time.monotonic()
    handle.metrics(0, [("loss", 1, 0.5)])
    assert time.monotonic() - began > 1.0
    assert process.wait(timeout=30) == 0
    assert [(point.name, point.value) for point in Registry(home).metrics(handle.id)] == [("loss", 0.5)]
    impatient.close()


def test_reads_go_on_while_the_database_is_locked(home, make, registry, locker):
    run_id = make()
    process = locker(30)
    assert registry.get(run_id).id == run_id
    process.kill()


def test_patience_ends_with_the_error_of_the_database(home, registry, make, locker):
    run_id = make()
    impatient = Home.open(home.folder, busy_timeout_s=0.05, patience_s=0.2)
    process = locker(30)
    with pytest.raises(OperationalError, match="locked"):
        Registry(impatient).rename(run_id, "new")
    process.kill()
    process.wait()
    Registry(impatient).rename(run_id, "new")
    impatient.close()


def test_a_transaction_that_reads_before_it_writes_is_not_thrown_out(home, make):
    run_id = make()
    other = Home.open(home.folder)

    def read_then_write(session):
        count = session.scalar(text("SELECT count(*) FROM runs"))
        session.execute(text("UPDATE runs SET name = :name"), {"name": f"one of {count}"})

    for _ in range(3):
        home.database.write(read_then_write)
        other.database.write(read_then_write)
    assert Registry(other).get(run_id).name == "one of 1"
    other.close()


def test_a_database_without_room_says_so_and_keeps_what_it_had(home, registry, make):
    kept = make(name="kept")
    before = registry.count()

    def fill(session):
        pages = session.scalar(text("PRAGMA page_count"))
        session.execute(text(f"PRAGMA max_page_count = {pages}"))
        session.execute(text("UPDATE runs SET error = :long"), {"long": "x" * 500_000})

    with pytest.raises(DiskFull, match="no room for the database"):
        home.database.write(fill)
    home.database.close()  # the limit belongs to the connection
    assert registry.count() == before
    assert registry.get(kept).error is None
