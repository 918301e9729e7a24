"""Jobs: runs being executed, each by a process of its own, one at a time per slot."""

from __future__ import annotations

from pipelines.jobs.alone import MachineBusy, alone_on_machine, sharing_machine
from pipelines.jobs.detached import SupervisorLate, ensure_supervisor, is_supervised, stop_supervisor
from pipelines.jobs.executor import Executor, InlineExecutor, LocalExecutor
from pipelines.jobs.queue import Queue

__all__ = [
    "Executor",
    "InlineExecutor",
    "LocalExecutor",
    "MachineBusy",
    "Queue",
    "SupervisorLate",
    "alone_on_machine",
    "ensure_supervisor",
    "is_supervised",
    "sharing_machine",
    "stop_supervisor",
]
