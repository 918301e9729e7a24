"""What a chip would do with a file: the Edge TPU operator by operator, and which microcontroller boards it fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import words
from app.question import Question, offer

TIMEOUT_S = 120
VERDICTS = {
    "all mapped": "Every operator runs on the chip.",
    "partial": "The chip runs the first part; from the first operator that it lacks on, all run on the CPU.",
    "uncertain": "It depends on what the compiler makes of operators that its documentation leaves open.",
    "nothing mapped": "Nothing of it runs on the chip.",
    "refused": "The compiler refuses the whole file.",
    "compiled": "This file was compiled for the chip.",
}


def chip_view(artifact: str, key: str) -> None:
    """Offers both questions about the file `artifact`."""
    edgetpu = Question(
        "On the Edge TPU",
        ":material/memory:",
        "Reads the file operator by operator: what the chip would run, the first that it would not, and what helps.",
        "Look at every operator",
        "Reading the operators",
        ("inspect", artifact, "--target", "edgetpu"),
        TIMEOUT_S,
    )
    offer(edgetpu, f"{key}.edgetpu", _edgetpu)
    mcu = Question(
        "On a microcontroller",
        ":material/developer_board:",
        "Plans the memory as the runtime for microcontrollers does, and holds it against known boards.",
        "Plan the memory",
        "Planning the memory",
        ("inspect", artifact, "--target", "mcu"),
        TIMEOUT_S,
    )
    offer(mcu, f"{key}.mcu", _mcu)


def _edgetpu(found: Mapping[str, Any]) -> tuple[str, ...]:
    off = [one for one in found["ops"] if one["placement"] != "edgetpu"]
    say = st.success if found["verdict"] in ("all mapped", "compiled") else st.warning
    say(f"**{found['verdict'].capitalize()}.** {VERDICTS[found['verdict']]}", icon=":material/memory:")
    for reason in found["refusals"]:
        st.markdown(f"- {reason}")
    blocker = found["blocker"]
    if blocker and blocker["reason"]:
        helps = f" What helps: {blocker['edit']}." if blocker["edit"] else ""
        st.markdown(
            f"First off the chip: **{blocker['layer'] or blocker['kind']}** ({blocker['kind']}): {blocker['reason']}."
            f"{helps}"
        )
    weights, cache = found["parameter_bytes"], found["cache_bytes"]
    fits = "fit" if weights <= cache else "do not fit, so the rest is sent for every image"
    st.caption(
        f"{len(found['ops']) - len(off)} of {len(found['ops'])} operators on the chip. {words.size(weights)} of "
        f"weights {fits} into its {words.size(cache)}. "
        + ("Read from the compiled file." if found["verdict"] == "compiled" else "Predicted by rules, not compiled.")
    )
    if off:
        st.dataframe(
            [
                {"operator": one["kind"], "layer": one["layer"], "runs on": one["placement"], "because": one["reason"],
                 "what helps": one["edit"]}
                for one in off
            ],
            hide_index=True, alt="Operators that the chip does not surely run",
        )  # fmt: skip
    return ()


def _mcu(found: Mapping[str, Any]) -> tuple[str, ...]:
    fitting = [one for one in found["boards"] if one["fits"]]
    if found["refusals"]:
        st.error(f"The runtime refuses it: {'; '.join(found['refusals'])}", icon=":material/block:")
    elif fitting:
        st.success(f"Fits {len(fitting)} of {len(found['boards'])} known boards.", icon=":material/developer_board:")
    else:
        st.warning("Fits none of the known boards.", icon=":material/developer_board:")
    columns = st.columns(2)
    columns[0].metric("Flash for the model", words.size(found["flash_bytes"]), help="The runtime's code comes on top")
    columns[1].metric("Arena at least", words.size(found["arena_bytes"]), help="RAM for activations and structures")
    busiest = found["busiest"]
    where = busiest["layer"] or busiest["kind"]
    st.caption(f"Most is in use at `{where}`: {words.size(found['live_bytes'])} at once.")
    st.dataframe(
        [
            {
                "board": one["title"],
                "chip": one["chip"],
                "flash": f"{one['flash']:,} kB",
                "RAM": f"{one['ram']:,} kB",
                "fits": "yes" if one["fits"] else _missing(one),
            }
            for one in sorted(found["boards"], key=lambda one: (not one["fits"], one["ram"]))
        ],
        hide_index=True,
        alt="Boards, those that fit first",
    )
    st.caption(
        f"{_source(found['runtime'])} To register: "
        + ", ".join(f"`{one['register']}`" for one in found["operators"])
        + "."
    )
    return ()


def _source(runtime: Mapping[str, Any] | None) -> str:
    if runtime is None or "refused" in runtime:
        return "Counted from the file; scratch memory of single kernels comes on top."
    return f"Activations as tflite-micro {runtime['version']} allocates them, scratch memory among them."


def _missing(board: Mapping[str, Any]) -> str:
    parts = [
        f"{board[f'missing_{name}_kb']:,} kB of {word} missing"
        for name, word in (("flash", "flash"), ("ram", "RAM"))
        if board[f"missing_{name}_kb"]
    ]
    return ", ".join(parts) or "refused"
