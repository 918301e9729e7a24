"""Answers that take a child process some seconds: asked once, shared by all sessions, waited for without blocking."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import streamlit as st

Answer = dict[str, Any]


@st.cache_resource(show_spinner=False)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "background")  # one at a time: trainings want the other core


@st.cache_resource(show_spinner=False, max_entries=64)
def _asked(key: str, _work: Callable[[], Answer]) -> Future[Answer]:
    return _pool().submit(_work)


def answer(key: str, work: Callable[[], Answer], waiting: str | Callable[[], str]) -> Answer | None:
    """What `work` gives for `key`; None while it is under way, which `waiting` says, or when it failed, which is said.

    `work` raises ValueError with a sentence for the person.
    """
    future = _asked(key, work)
    if not future.done():
        _wait(future, waiting)
        return None
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, ValueError):
        st.error(f"{error}", icon=":material/error:")
    else:
        st.error(f"This could not be worked out: {type(error).__name__}.", icon=":material/error:")
    return None


@st.fragment(run_every=1.0)
def _wait(future: Future[Answer], waiting: str | Callable[[], str]) -> None:
    if future.done():
        st.rerun()
    st.caption(f":material/hourglass_top: {waiting if isinstance(waiting, str) else waiting()} …")


def command(*words: str, timeout_s: float, log: Path | None = None) -> Answer:
    """The JSON document of one of our commands, run as a child; what it says meanwhile goes to `log`.

    Raises: ValueError with what it said.
    """
    with tempfile.TemporaryFile("w+") if log is None else log.open("w+") as said:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pipelines", *words, "--json"],
                stdout=subprocess.PIPE, stderr=said, text=True, timeout=timeout_s, cwd=Path(__file__).parents[1],
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ValueError(f"it did not finish within {timeout_s:.0f} s; use the command line for it") from None
        said.seek(0)
        last = (said.read().strip().splitlines() or ["it ended without a word"])[-1]
    document = json.loads(done.stdout) if done.stdout.strip() else {}
    if done.returncode:
        raise ValueError(document.get("error") or last)
    return dict(document)
