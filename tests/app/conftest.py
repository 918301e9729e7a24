"""A home with one finished run whose files are real: converted, gated and judged like any other, only smaller."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home made by `finished_run.py` in a process of its own, because it needs TensorFlow and the pages must not."""
    home = tmp_path_factory.mktemp("made") / "home"
    subprocess.run(
        [sys.executable, str(Path(__file__).with_name("finished_run.py")), str(home)],
        check=True, cwd=ROOT, timeout=600, env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
    )  # fmt: skip
    return home


@pytest.fixture
def home_with_run(made_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the made home that a test may change; LITESMITH_HOME points at it."""
    home = tmp_path / "home"
    shutil.copytree(made_home, home, symlinks=True)
    monkeypatch.setenv("LITESMITH_HOME", str(home))
    monkeypatch.delenv("LITESMITH_DATABASE", raising=False)
    return home


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that does not exist yet."""
    home = tmp_path / "empty"
    monkeypatch.setenv("LITESMITH_HOME", str(home))
    monkeypatch.delenv("LITESMITH_DATABASE", raising=False)
    return home
