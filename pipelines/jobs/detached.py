"""Starting and stopping a supervisor that belongs to nobody's terminal or browser."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

from pipelines.jobs import command
from pipelines.jobs.supervisor import lock_path
from pipelines.runs.home import Home
from pipelines.runs.locks import is_locked
from pipelines.runs.process import is_alive

START_S = 60.0  # on two busy cores 30 was too short


class SupervisorLate(RuntimeError):
    """The supervisor was started and has not come up yet. What is queued is recorded and waits for it."""


def is_supervised(home: Home) -> bool:
    """Tells whether a supervisor looks after the home."""
    return is_locked(lock_path(home))


def ensure_supervisor(home: Home, supervisor_command: list[str] | None = None) -> bool:
    """Starts a supervisor unless there is one; returns whether it started one, when it works.

    It goes on when the caller ends. Raises SupervisorLate, naming its log, when it does not come up.
    """
    if is_supervised(home):
        return False
    before = _mark(home)
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
    # One that had nothing to do may have come and gone between two looks.
    while not is_supervised(home) and _mark(home) == before:
        if time.monotonic() > deadline:
            raise SupervisorLate(f"the supervisor did not start within {START_S:g} s; its log is {log_file}")
        time.sleep(0.05)
    return True


def stop_supervisor(home: Home, *, timeout_s: float = 10.0) -> bool:
    """Asks the supervisor to leave and waits for it; workers go on. False when there was none.

    Raises TimeoutError when it is still there after `timeout_s`.
    """
    if not is_supervised(home):
        return False
    deadline = time.monotonic() + timeout_s
    asked = None
    while is_supervised(home):
        if (pid := supervisor_pid(home)) is not None and pid != asked:
            asked = pid
            with contextlib.suppress(ProcessLookupError):  # it left by itself
                os.kill(pid, signal.SIGTERM)
        if time.monotonic() > deadline:
            raise TimeoutError(f"the supervisor of {home.folder} is still there after {timeout_s:g} s")
        time.sleep(0.05)
    return True


def supervisor_pid(home: Home) -> int | None:
    """Returns the pid of the living supervisor, None when there is none or it has not said so yet."""
    if not (mark := _mark(home)):
        return None
    pid, created = mark.split()
    return int(pid) if is_alive(int(pid), float(created)) else None


def _mark(home: Home) -> str:
    """Returns pid and start time as the latest supervisor wrote them into its lock, "" if there never was one."""
    file = lock_path(home)
    return file.read_text().strip() if file.exists() else ""
