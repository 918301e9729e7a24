"""Brings a database to the tables this program knows, or says that it is newer.

Alembic is imported only when there is something to do, so that opening an up-to-date home stays quick.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import inspect, text

from pipelines.runs.database import Database, turn_on_wal

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"


def known_versions() -> list[str]:
    """Returns the versions this program can bring a database to, oldest first: `["0001", ...]`."""
    return sorted(file.name.split("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def version_of(database: Database) -> str | None:
    """Returns the version of the database, None for an empty one."""
    with database.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def is_current(database: Database) -> bool:
    """Tells whether there is nothing to upgrade. Raises ValueError when the database is newer than this program."""
    found = version_of(database)
    known = known_versions()
    if found is not None and found not in known:
        raise ValueError(
            f"this database has version {found} and was written by a newer Litesmith; this one knows versions up to "
            f"{known[-1]}. Update Litesmith, or set LITESMITH_HOME to another folder"
        )
    return found == known[-1]


def upgrade(database: Database) -> None:
    """Creates or upgrades the tables. An older SQLite file is first copied beside itself.

    The caller makes sure that only one process does this at a time.
    """
    if is_current(database):
        return
    if database.is_sqlite:
        turn_on_wal(database)
        found = version_of(database)
        if found is not None:
            _keep_copy(database, found)
    migrate(database, "head")


def migrate(database: Database, target: str) -> None:
    """Runs the migrations up to `target` in one transaction: all of them happen, or none."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with database.engine.execution_options(writes=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, target)


def _keep_copy(database: Database, version: str) -> None:
    file = database.file
    if file is None:
        return
    copy = file.with_name(f"{file.name}.version-{version}")
    unfinished = copy.with_name(copy.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(unfinished)) as target:
        source.backup(target)
    unfinished.replace(copy)
    log.info("upgrading the database from version %s; a copy is kept at %s", version, copy)
