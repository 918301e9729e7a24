"""A real studio on a free port with a fresh home, and a real Chromium in front of it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from pipelines.jobs import stop_supervisor
from pipelines.runs import Home, Registry

ROOT = Path(__file__).parents[2]
START_S = 60
PATIENCE_S = 10 * 60
FLAGS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@dataclass(frozen=True)
class Studio:
    """A served studio: its address, its home, and what it logged."""

    url: str
    home: Path
    log: Path

    def registry(self) -> Registry:
        return Registry(Home.open(self.home))


def serve(home: Path, log: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Starts the studio as a person does and waits until it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app/main.py", "--server.port", str(port)],
            cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, "LITESMITH_HOME": str(home)},
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return process, url
        except OSError:
            time.sleep(0.2)
    process.kill()
    raise AssertionError(f"the studio did not answer within {START_S} s: {log.read_text()[-2000:]}")


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    home, log = tmp_path / "home", tmp_path / "studio.log"
    process, url = serve(home, log)
    yield Studio(url, home, log)
    process.terminate()
    process.wait(timeout=30)
    if home.exists():
        stop(home)


def stop(home: Path) -> None:
    """Cancels what still runs and sends the supervisor home, so that nothing computes after the test."""
    from pipelines.jobs import LocalExecutor

    opened = Home.open(home)
    registry = Registry(opened)
    for state in ("queued", "running"):
        for run in registry.list(state=state):
            LocalExecutor(opened).cancel(run.id)
    end = time.monotonic() + 120
    while registry.count(state="running") and time.monotonic() < end:
        time.sleep(0.3)
    stop_supervisor(opened)
    opened.close()


def until_done(registry: Registry, run: str) -> str:
    """Waits for the run and gives it back; a run that fails or never ends shows its log."""
    end = time.monotonic() + PATIENCE_S
    while not registry.get(run).is_final:
        assert time.monotonic() < end, registry.log(run)[-2000:]
        time.sleep(0.5)
    assert registry.get(run).state == "done", registry.log(run)[-2000:]
    return run


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium, "these journeys need Debian's chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    expect.set_options(timeout=60_000)
    yield context.new_page()
    context.close()
