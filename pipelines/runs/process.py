"""Which process is meant by a stored pid, and whether it still lives.

A pid alone is not enough: it is given out again after a restart of the machine. Pid and start time together name a
process for good. Start times come from psutil, so this also works where there is no /proc.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

import psutil

# psutil adds the ticks since boot to a boot time that moves when the clock is corrected, so two readings of the same
# process may differ a little.
CLOCK_TOLERANCE_S = 2.0


@dataclass(frozen=True)
class ProcessMark:
    """Names one process: host, pid and start time (seconds since 1970)."""

    host: str
    pid: int
    created: float


def host_name() -> str:
    """Returns the name that marks processes of this machine."""
    return socket.gethostname()


def mark_of(pid: int) -> ProcessMark:
    """Returns the mark of a living process. Raises psutil.NoSuchProcess."""
    return ProcessMark(host_name(), pid, psutil.Process(pid).create_time())


def this_process() -> ProcessMark:
    """Returns the mark of the calling process."""
    return mark_of(os.getpid())


def is_alive(pid: int, created: float, *, seen_lately: bool = False) -> bool:
    """Tells whether the process still runs. A zombie does not.

    `seen_lately` says that its heartbeat is fresh: then a start time that disagrees is taken for a corrected clock, not
    for another process, because starting a second worker beside a living one is the worse mistake.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return seen_lately or abs(process.create_time() - created) < CLOCK_TOLERANCE_S
    except psutil.NoSuchProcess:
        return False


def left_behind(session: int, variable: str, value: str) -> list[psutil.Process]:
    """Returns living processes of a session (a worker's pid) whose environment holds `variable=value`.

    The converter children of a killed worker live on in its session; the variable proves that they are ours even if the
    number was given out again.
    """
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.environ().get(variable) == value:
                found.append(process)
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue  # it ended meanwhile, or is somebody else's: in both cases not ours to end
    return found
