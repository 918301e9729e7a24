"""A question about a run or a file that one of our commands answers: offered, asked once, waited for, drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from app import background
from app.background import Answer
from app.twin import line, on_the_command_line


@dataclass(frozen=True)
class Question:
    """`words` are the command's; `what` says what it does and how long it takes; `button` asks it."""

    title: str
    icon: str
    what: str
    button: str
    waiting: str
    words: Sequence[str]
    timeout_s: float


def offer(question: Question, key: str, draw: Callable[[Answer], Sequence[str]]) -> None:
    """An expander with the question; `draw` shows the answer and gives the shell lines that follow from it."""
    with st.expander(question.title, icon=question.icon):
        asked = f"{key}.asked"
        if not st.session_state.get(asked):
            st.caption(question.what)
            if st.button(question.button, icon=":material/play_arrow:", key=f"{key}.ask"):
                st.session_state[asked] = True
                st.rerun()
            return
        found = background.answer(
            " ".join(question.words),
            lambda: background.command(*question.words, timeout_s=question.timeout_s),
            question.waiting,
        )
        further = () if found is None else draw(found)
        on_the_command_line([line(*question.words), *further])
