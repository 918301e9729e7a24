"""Answers that take a child process some seconds: asked once, shared by all sessions, waited for without blocking."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import streamlit as st

Answer = dict[str, Any]
TAIL_BYTES = 4096
GRACE_S = 5.0  # for a command that is stopped to clear up behind itself


class Errand:
    """One of our commands as a child, to be called for its JSON document; what it says meanwhile goes to `log`."""

    def __init__(self, *words: str, timeout_s: float, log: Path | None = None) -> None:
        self.words, self.timeout_s, self.log = words, timeout_s, log
        self.stopped = threading.Event()
        self._child: subprocess.Popen[str] | None = None
        self._said: IO[str] | None = None
        self._reading = threading.Lock()

    def __call__(self) -> Answer:
        """The document. Raises: ValueError with what the command said, or that it was stopped or took too long."""
        if self.stopped.is_set():
            raise ValueError("cancelled before it began")
        with tempfile.TemporaryFile("w+") if self.log is None else self.log.open("w+") as self._said:
            try:
                return self._answer(self._said)
            finally:
                with self._reading:
                    self._said = None

    def _answer(self, said: IO[str]) -> Answer:
        child = self._child = subprocess.Popen(
            [sys.executable, "-m", "pipelines", *self.words, "--json"], stdout=subprocess.PIPE, stderr=said, text=True,
            cwd=Path(__file__).parents[1], start_new_session=True,
        )  # fmt: skip
        with child:
            try:
                told, _ = child.communicate(timeout=self.timeout_s)
            except subprocess.TimeoutExpired:
                self._signalled(signal.SIGKILL)
                raise ValueError(
                    f"it did not finish within {self.timeout_s:.0f} s; use the command line for it"
                ) from None
        if self.stopped.is_set():
            raise ValueError("cancelled")
        document = json.loads(told) if told.strip() else {}
        if child.returncode:
            raise ValueError(document.get("error") or self.last_line() or "it ended without a word")
        return dict(document)

    def last_line(self) -> str:
        """The last thing it said; empty before the first and behind the end."""
        with self._reading:
            if self._said is None:
                return ""
            size = os.fstat(self._said.fileno()).st_size
            tail = os.pread(self._said.fileno(), TAIL_BYTES, max(0, size - TAIL_BYTES))  # the child writes at the end
        return (tail.decode("utf-8", "replace").strip().splitlines() or [""])[-1]

    def stop(self) -> None:
        """Stops the child and all that it has started; one that does not leave by itself is killed."""
        self.stopped.set()
        if self._signalled(signal.SIGINT):
            kill = threading.Timer(GRACE_S, self._signalled, (signal.SIGKILL,))
            kill.daemon = True
            kill.start()

    def _signalled(self, number: signal.Signals) -> bool:
        if self._child is None or self._child.poll() is not None:
            return False
        os.killpg(self._child.pid, number)
        return True


@dataclass(frozen=True)
class _Asked:
    """The work of a question as it was begun, and what will come of it."""

    work: Callable[[], Answer]
    future: Future[Answer]


@st.cache_resource(show_spinner=False)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "background")  # one at a time: trainings want the other core


@st.cache_resource(show_spinner=False, max_entries=64)
def _asked(key: str, _work: Callable[[], Answer]) -> _Asked:
    return _Asked(_work, _pool().submit(_work))


def answer(key: str, work: Callable[[], Answer], waiting: str) -> Answer | None:
    """What `work` gives for `key`; None while it is under way, which `waiting` says, or when it failed, which is said.

    `work` raises ValueError with a sentence for the person. An errand can be watched and cancelled, and a failed answer
    asked for again.
    """
    asked = _asked(key, work)
    if not asked.future.done():
        _wait(key, asked, waiting)
        return None
    error = asked.future.exception()
    if error is None:
        return asked.future.result()
    if isinstance(error, ValueError):
        st.error(f"{error}", icon=":material/error:")
    else:
        st.error(f"This could not be worked out: {type(error).__name__}.", icon=":material/error:")
    if st.button("Ask again", icon=":material/refresh:", key=f"again.{key}"):
        _asked.clear(key, work)
        st.rerun()
    return None


@st.fragment(run_every=1.0)
def _wait(key: str, asked: _Asked, waiting: str) -> None:
    if asked.future.done():
        st.rerun()
    said = asked.work.last_line() if isinstance(asked.work, Errand) else ""
    if not asked.future.running():
        waiting = "Waiting for the question before it"
    st.caption(f":material/hourglass_top: {waiting}: {said}" if said else f":material/hourglass_top: {waiting} …")
    if isinstance(asked.work, Errand):
        st.button("Cancel", icon=":material/stop:", key=f"cancel.{key}", on_click=asked.work.stop)


def command(*words: str, timeout_s: float) -> Answer:
    """The JSON document of one of our commands, run as a child.

    Raises: ValueError with what it said.
    """
    return Errand(*words, timeout_s=timeout_s)()
