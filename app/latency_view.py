"""How long a design will take on this machine: predicted where the machine is calibrated, measured at a click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from app import background, words
from app.costs import Choice, sketched
from app.handover import command_words
from app.workspace import registry
from pipelines.machine_latency import DTYPES, FILE, MachineLatency, Prediction, advice, kept
from zoo.designs import Design

TIMED, CALIBRATING, LOG = "design.timed", "design.calibrating", "calibrate_machine.log"
TIMEOUT_S = 3600.0


@st.cache_resource(show_spinner=False, max_entries=4)
def _read(folder: str, stamp: int) -> MachineLatency | None:
    return kept(Path(folder))


def machine_latency() -> MachineLatency | None:
    """What is known of this machine; read again when it was calibrated anew."""
    file = registry().home.folder / FILE
    return _read(str(file.parent), file.stat().st_mtime_ns) if file.is_file() else None


@st.cache_resource(show_spinner=False, max_entries=2)
def _predicted(file: str, stamp: int) -> dict[Design, float]:
    """Milliseconds of the designs that were asked for since this calibration."""
    return {}


def foretold(designs: Sequence[Design]) -> list[Design]:
    """The designs with their predicted milliseconds; as they are where the machine is not calibrated."""
    known = machine_latency()
    if known is None:
        return list(designs)
    file = registry().home.folder / FILE
    found = _predicted(str(file), file.stat().st_mtime_ns)
    for one in designs:
        if one not in found:
            found[one] = known.predict(sketched(Choice.of(one))).ms
    return [replace(one, latency_ms=found[one]) for one in designs]


def with_latency(layers: Sequence[Mapping[str, Any]], choice: Choice) -> list[dict[str, Any]]:
    """The layers of a design with their predicted milliseconds; as they are where the machine is not calibrated."""
    known = machine_latency()
    if known is None:
        return [dict(layer) for layer in layers]
    found = known.by_operation(sketched(choice))
    return [{**layer, "latency_ms": found.get(layer["name"], 0.0)} for layer in layers]


def in_words(found: Prediction) -> str:
    """Milliseconds with their band or interval."""
    return f"{words.milliseconds(found.ms)} ({words.milliseconds(found.low)} to {words.milliseconds(found.high)})"


def latency_view(choice: Choice) -> None:
    """Milliseconds of the design's float32 file, and the two ways to know them better."""
    known = machine_latency()
    if known is None:
        st.caption("Once this machine is calibrated, every design shows its milliseconds before any training.")
    else:
        sketch = sketched(choice)
        for dtype in DTYPES:
            ms = in_words(known.predict(sketch, dtype))
            st.markdown(f"{dtype}: **{ms}** predicted for one image on this machine")
        halves = " and ".join(f"{100 * one.median_error:.0f} % ({dtype})" for dtype, one in known.learnt.items())
        st.caption(
            "One thread, XNNPACK. Nine in ten networks of families left out of the calibration lay within the band; "
            f"half were off by less than {halves}. Times are those of a core that nothing else uses: beside a busy "
            "neighbour, as on a virtual machine, networks took 1.3 to 1.4 times as long where we tried it. "
            f"{advice(one.median_error for one in known.learnt.values())}"
        )
    asked = [str(word) for word in (*command_words(choice), "--measure")]
    with st.container(horizontal=True):
        if st.session_state.get(TIMED) != asked and st.button(
            "Time it here", icon=":material/timer:", key="design.time",
            help="Writes a file with this design's operators and random weights, and times it: some seconds",
        ):  # fmt: skip
            st.session_state[TIMED] = asked
            st.rerun()
        if not st.session_state.get(CALIBRATING) and st.button(
            "Calibrate this machine" if known is None else "Calibrate anew",
            icon=":material/speed:", key="design.calibrate",
            help="Times single operators and whole networks, float32 and int8: some minutes in which nothing else runs",
        ):  # fmt: skip
            st.session_state[CALIBRATING] = str(known.about["calibrated"]) if known else "first"
            st.rerun()
    if st.session_state.get(TIMED) == asked:
        _measured(asked)
    if st.session_state.get(CALIBRATING):
        _calibration()


def _measured(asked: list[str]) -> None:
    found = background.answer(" ".join(asked), lambda: background.command(*asked, timeout_s=180), "Timing it")
    if found is not None:
        timed: dict[str, Any] = found["measured_latency"]
        for dtype in DTYPES:
            ms = Prediction(timed[dtype]["ms"], *timed[dtype]["interval"])
            st.markdown(f"{dtype}: **{in_words(ms)}** measured, {timed['rounds']} rounds")


def _calibration() -> None:
    home = registry().home
    found = background.answer(
        f"calibrate-machine {home.folder} {st.session_state[CALIBRATING]}",
        background.Errand("calibrate-machine", timeout_s=TIMEOUT_S, log=home.logs / LOG),
        "Calibrating, as soon as nothing else runs",
    )
    if found is not None:
        del st.session_state[CALIBRATING]
        st.rerun()
