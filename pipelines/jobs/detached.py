"""Starting and stopping a supervisor that belongs to nobody's terminal or browser."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time

from pipelines.jobs import command
from pipelines.jobs.supervisor import lock_path
from pipelines.runs.home import Home
from pipelines.runs.locks import is_locked

log = logging.getLogger(__name__)

START_S = 30.0


def is_supervised(home: Home) -> bool:
    """Tells whether a supervisor looks after the home."""
    return is_locked(lock_path(home))


def ensure_supervisor(home: Home, supervisor_command: list[str] | None = None) -> bool:
    """Starts a supervisor unless there is one; returns whether it started one, when it works.

    It goes on when the caller ends. Raises RuntimeError, naming its log, when it does not come up.
    """
    if is_supervised(home):
        return False
    log_file = home.logs / "supervisor.log"
    # The shell leaves at once and the supervisor becomes a child of init: no zombie under the app.
    with log_file.open("ab") as target:
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", *(supervisor_command or command.supervisor_command())],
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=subprocess.STDOUT,
            cwd=command.PROJECT,
            env=command.environment_for(home),
            start_new_session=True,
            check=True,
        )
    deadline = time.monotonic() + START_S
    while not is_supervised(home):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the supervisor did not start within {START_S:g} s; its log is {log_file}")
        time.sleep(0.05)
    return True


def stop_supervisor(home: Home, *, timeout_s: float = 10.0) -> bool:
    """Asks the supervisor to leave and waits for it; workers go on. False when there was none.

    Raises TimeoutError when it is still there after `timeout_s`.
    """
    if not is_supervised(home):
        return False
    try:
        os.kill(int(lock_path(home).read_text()), signal.SIGTERM)
    except ProcessLookupError:
        log.info("the supervisor left by itself")
    deadline = time.monotonic() + timeout_s
    while is_supervised(home):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the supervisor of {home.folder} is still there after {timeout_s:g} s")
        time.sleep(0.05)
    return True
