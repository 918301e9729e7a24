"""The same thing on the command line, shown under every page."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

import streamlit as st


def line(*words: object) -> str:
    """One command line, quoted for a shell: `python -m pipelines` and these words."""
    return "python -m pipelines " + " ".join(shlex.quote(str(word)) for word in words)


def submitting(recipe: str) -> str:
    """The lines that put a recipe's text into a file and queue it."""
    return f"cat > recipe.yaml <<'YAML'\n{recipe}YAML\n{line('submit', 'recipe.yaml')}"


def on_the_command_line(lines: str | Iterable[str], note: str = "") -> None:
    """An expander with the exact lines that do what this page does."""
    text = lines if isinstance(lines, str) else "\n".join(lines)
    with st.expander("The same on the command line", icon=":material/terminal:"):
        if note:
            st.caption(note)
        st.code(text, language="bash", wrap_lines=True)
