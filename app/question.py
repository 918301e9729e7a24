"""A question about a run or a file that one of our commands answers: offered, asked once, waited for, drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from app import background
from app.background import Answer, Errand
from app.forms import settings_form
from app.twin import line, on_the_command_line
from pipelines.settings import Settings
from pipelines.settings_arguments import settings_words


@dataclass(frozen=True)
class Question:
    """`words` are the command's; `what` says what it does and how long it takes; `button` asks it.

    `settings` are what the command takes besides, which a person may change before asking; `values` stand there at
    first, and `choices` are the names that a field of free text may have. `others` are further runs that may be named
    behind the words, by what they are called.
    """

    title: str
    icon: str
    what: str
    button: str
    waiting: str
    words: Sequence[str]
    timeout_s: float
    settings: type[Settings] | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)


def offer(question: Question, key: str, draw: Callable[[Answer], Sequence[str]]) -> None:
    """An expander with the question; `draw` shows the answer and gives the shell lines that follow from it."""
    with st.expander(question.title, icon=question.icon):
        asked = f"{key}.asked"
        words = st.session_state.get(asked)
        if not words:
            st.caption(question.what)
            words = _words(question, key)
            if st.button(question.button, icon=":material/play_arrow:", key=f"{key}.ask", disabled=words is None):
                st.session_state[asked] = words
                st.rerun()
            return
        found = background.answer(" ".join(words), Errand(*words, timeout_s=question.timeout_s), question.waiting)
        further = () if found is None else draw(found)
        if question.settings is not None or question.others:
            st.button(
                "Other settings", icon=":material/tune:", key=f"{key}.other", on_click=_open_again, args=(asked,),
                help="Back to the form; an answer that was given before is still there",
            )  # fmt: skip
        on_the_command_line([line(*words), *further])


def _words(question: Question, key: str) -> list[str] | None:
    """The command's words with what stands in the form; None while a setting is wrong, which is said beside it."""
    found = list(question.words)
    if question.others:
        chosen = f"{key}.others"
        picked = st.multiselect(
            "Beside these runs", list(question.others), default=st.session_state.get(f"{chosen}.kept", []),
            format_func=question.others.__getitem__, key=chosen,
            help="Runs on the same images; each is compared with this one",
        )  # fmt: skip
        st.session_state[f"{chosen}.kept"] = picked
        found += picked
    if question.settings is not None:
        kept = f"{key}.values"
        with st.expander("Settings", icon=":material/tune:"):
            values = st.session_state.get(kept, question.values)
            form = settings_form(question.settings, values, f"{key}.setting", choices=question.choices)
        st.session_state[kept] = form.values
        if form.mistakes:
            return None
        found += settings_words(question.settings, form.values)
    return found


def _open_again(asked: str) -> None:
    del st.session_state[asked]
