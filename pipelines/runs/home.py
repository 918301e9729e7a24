"""Where Litesmith keeps everything: one folder, one database, one artifact store.

litesmith.db   runs, metrics, lineage (or any database named by LITESMITH_DATABASE)
files/         artifacts by content
runs/ID/       a run's checkpoints, until it is done
cache/         decoded data sets
logs/          the supervisor's log and one per run
locks/         lock files
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipelines.runs.database import BUSY_TIMEOUT_S, PATIENCE_S, Database
from pipelines.runs.locks import locked
from pipelines.runs.schema import is_current, upgrade
from pipelines.runs.store import ArtifactStore

PARTS = ("files", "runs", "cache", "logs", "logs/runs", "locks")


@dataclass(frozen=True)
class Home:
    """An opened home."""

    folder: Path
    database: Database
    store: ArtifactStore

    @classmethod
    def open(
        cls,
        path: Path | str | None = None,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        patience_s: float = PATIENCE_S,
    ) -> Home:
        """Opens the home at `path`, else at LITESMITH_HOME, else at ~/.litesmith; makes or upgrades it if need be.

        Raises ValueError when its database was written by a newer Litesmith or the place cannot be a folder.
        """
        folder = cls.place(path)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for part in PARTS:
                (folder / part).mkdir(exist_ok=True)
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise ValueError(
                f"{folder} cannot be Litesmith's home ({error.strerror}); set LITESMITH_HOME to a folder of yours"
            ) from error
        database = Database(
            os.environ.get("LITESMITH_DATABASE") or f"sqlite:///{folder / 'litesmith.db'}",
            busy_timeout_s=busy_timeout_s,
            patience_s=patience_s,
        )
        try:
            if not is_current(database):
                with locked(folder / "locks" / "upgrade.lock"):
                    upgrade(database)
        except BaseException:
            database.close()
            raise
        return cls(folder, database, ArtifactStore(folder / "files"))

    @staticmethod
    def place(path: Path | str | None = None) -> Path:
        """Where the home lies, whether it is there or not."""
        return Path(path or os.environ.get("LITESMITH_HOME") or "~/.litesmith").expanduser().resolve()

    @property
    def cache(self) -> Path:
        """Decoded data sets; may be deleted at any time."""
        return self.folder / "cache"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def locks(self) -> Path:
        return self.folder / "locks"

    def scratch(self, run_id: str) -> Path:
        """A run's folder for checkpoints. It survives attempts and goes when the run is done."""
        return self.folder / "runs" / run_id

    def log_path(self, run_id: str) -> Path:
        return self.logs / "runs" / f"{run_id}.log"

    def close(self) -> None:
        """Closes the database connections."""
        self.database.close()
