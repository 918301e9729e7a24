"""What a person sees when something goes wrong: their mistake in one sentence, our bug as our bug, never a trace."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

log = logging.getLogger("litesmith.app")
if not log.handlers:
    # Streamlit configures only its own loggers, so a trace would otherwise be lost.
    _to_stderr = logging.StreamHandler(sys.stderr)
    _to_stderr.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    log.addHandler(_to_stderr)


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Shows a `ValueError` as the person's to fix, and anything else as ours with a number that is in the log."""
    try:
        yield
    except ValueError as error:
        st.error(str(error), icon=":material/error:")
    except Exception:  # Streamlit's own stop and rerun signals are BaseException and pass
        number = uuid.uuid4().hex[:8]
        log.exception("bug %s in %s", number, what)
        _keep(number, what)
        st.error(
            f"This is our bug, not your mistake. Nothing of yours is lost: runs go on and are kept. "
            f"The trace is in the studio's log as number **{number}**.",
            icon=":material/bug_report:",
        )


def _keep(number: str, what: str) -> None:
    """Adds the trace to the home's log folder as well: a terminal may be closed by the time somebody asks."""
    import traceback

    from app.workspace import registry

    try:
        with (registry().home.logs / "studio.log").open("a", encoding="utf-8") as file:
            file.write(f"bug {number} in {what}\n{traceback.format_exc()}\n")
    except (OSError, ValueError):
        log.warning("the trace of %s could not be kept in the home; it is above", number)
