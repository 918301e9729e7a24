"""The states of a run and the words for what went wrong.

created -> queued -> running -> done
              ^         |-----> failed     (keeps its checkpoint, can be resumed)
              |         |-----> cancelled  (same)
              +---------+  worker died or was interrupted: queued again
"""

from __future__ import annotations

CREATED = "created"
QUEUED = "queued"
RUNNING = "running"
DONE = "done"
FAILED = "failed"
CANCELLED = "cancelled"

STATES = (CREATED, QUEUED, RUNNING, DONE, FAILED, CANCELLED)
FINAL = (DONE, FAILED, CANCELLED)
RESUMABLE = (CREATED, FAILED, CANCELLED)

PERSON = "person"  # the message says what to change
BUG = "bug"  # the trace is in the run's log
KILLED = "killed"  # the worker vanished: signal, lack of memory, power cut
ERROR_KINDS = (PERSON, BUG, KILLED)
