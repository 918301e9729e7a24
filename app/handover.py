"""A design carried from one page to another: into Design to look at it, into Build to train it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import draft
from app.costs import Choice

KEPT = "design"  # in the session: the choice that the Design page shows
PINNED = "design.reference"  # and the one it compares with


def open_in_design(choice: Choice) -> None:
    """Makes `choice` what the Design page shows next."""
    for key in [key for key in st.session_state if str(key).startswith("design.") and key != PINNED]:
        del st.session_state[key]
    st.session_state[KEPT] = choice.as_dict()


def use_in_build(choice: Choice) -> None:
    """Puts the network and its input size into the plan of the Build page; undo there brings back what was."""
    plan = draft.current()
    plan.remember()
    plan.values["model"] = {"name": choice.name, "width": choice.width, "options": dict(choice.options)}
    size: dict[str, Any] = {"resolution": choice.resolution}
    if choice.channels == 1 or plan.values["data"].get("channels"):
        size["channels"] = choice.channels
    plan.values["data"] |= size
    plan.version += 1


def command_words(choice: Choice) -> list[Any]:
    """The words of the `cost` command that counts `choice`."""
    side = choice.resolution
    return [
        "cost", choice.name, "--width", f"{choice.width:g}",
        "--resolution", "x".join(map(str, side)) if isinstance(side, list | tuple) else side,
        "--classes", choice.classes, "--channels", choice.channels,
        *(word for key, value in choice.options.items() for word in ("--set", f"{key}={value}")),
    ]  # fmt: skip
