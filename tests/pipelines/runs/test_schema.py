"""The migrations and the models describe one database; older homes are upgraded, newer ones refused."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from pipelines.jobs.command import PROJECT
from pipelines.runs import Home, Registry
from pipelines.runs.database import Database
from pipelines.runs.schema import MIGRATIONS, known_versions, migrate, version_of
from pipelines.runs.tables import Base


def described(file):
    """Everything SQLite knows of its tables, free of how the statement was written."""
    with closing(sqlite3.connect(file)) as connection:
        ask = lambda text: connection.execute(text).fetchall()  # noqa: E731
        tables = [name for (name,) in ask("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        found = {}
        for table in tables:
            if table in ("alembic_version", "sqlite_sequence"):
                continue
            indexes = {
                row[1]: (row[2:], ask(f"PRAGMA index_info({row[1]})")) for row in ask(f"PRAGMA index_list({table})")
            }
            keys = sorted(row[2:] for row in ask(f"PRAGMA foreign_key_list({table})"))
            where = sorted(
                sql.split("WHERE")[1].strip()
                for (sql,) in ask(f"SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = '{table}'")
                if sql and "WHERE" in sql
            )
            (sql,) = ask(f"SELECT sql FROM sqlite_master WHERE name = '{table}'")[0]
            counted_up = "AUTOINCREMENT" in sql
            found[table] = (ask(f"PRAGMA table_info({table})"), indexes, keys, where, counted_up)
        return found


def test_migrations_give_exactly_the_tables_of_the_models(tmp_path):
    by_models = Database(f"sqlite:///{tmp_path / 'models.db'}")
    Base.metadata.create_all(by_models.engine)
    by_migrations = Database(f"sqlite:///{tmp_path / 'migrations.db'}")
    migrate(by_migrations, "head")

    assert described(tmp_path / "migrations.db") == described(tmp_path / "models.db")
    with by_migrations.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    by_models.close()
    by_migrations.close()


def test_the_newest_file_is_alembics_head():
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == known_versions()[-1]


def test_an_older_home_is_upgraded_with_its_runs_and_a_copy_is_kept(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    old = Database(f"sqlite:///{folder / 'litesmith.db'}")
    migrate(old, "0001")
    with closing(sqlite3.connect(folder / "litesmith.db")) as connection, connection:
        connection.execute(
            "INSERT INTO runs (id, number, name, recipe, recipe_sha256, seed, created, state, slot, position, attempt,"
            " deaths, foreground) VALUES ('r00001', 1, 'from before', '{}', '00', 7, 1.0, 'done', 'cpu', 1, 1, 0, 0)"
        )
    old.close()

    home = Home.open(folder)
    assert version_of(home.database) == known_versions()[-1]
    run = Registry(home).get("r00001")
    assert (run.name, run.seed) == ("from before", 7)
    assert Registry(home).artifacts("r00001") == []
    home.close()
    with closing(sqlite3.connect(folder / "litesmith.db.version-0001")) as copy:
        assert copy.execute("SELECT name FROM runs").fetchall() == [("from before",)]


def test_a_newer_database_is_refused_and_left_alone(tmp_path):
    home = Home.open(tmp_path / "home")
    home.close()
    file = tmp_path / "home" / "litesmith.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(ValueError, match=r"version 0999 .* newer Litesmith.* LITESMITH_HOME"):
        Home.open(tmp_path / "home")
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0999",)]


def test_a_failed_migration_leaves_nothing_half(tmp_path, monkeypatch):
    broken = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, broken)
    second = next((broken / "versions").glob("0002*"))
    second.write_text(second.read_text() + '    op.execute("THIS IS NOT SQL")\n')
    monkeypatch.setattr("pipelines.runs.schema.MIGRATIONS", broken)
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(Exception, match="THIS"):
        migrate(database, "head")
    database.close()
    assert described(tmp_path / "x.db") == {}


def test_several_processes_may_open_a_new_home_at_once(tmp_path):
    code = f"from pipelines.runs import Home; Home.open({str(tmp_path / 'home')!r}).close()"
    openers = [subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT) for _ in range(3)]
    assert [opener.wait(timeout=60) for opener in openers] == [0, 0, 0]


def test_a_home_that_cannot_be_a_folder_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="set LITESMITH_HOME"):
        Home.open(tmp_path / "file")


def test_safety_switches_of_sqlite_are_on(home):
    with home.database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        read = {name: raw.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "foreign_keys")}
        assert read == {"journal_mode": "wal", "foreign_keys": 1}
        assert raw.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
        assert raw.execute("PRAGMA busy_timeout").fetchone()[0] == 30_000
