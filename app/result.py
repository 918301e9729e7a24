"""What a finished run gives: its files with accuracy, size and gate, each to be downloaded."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import words
from app.workspace import file_name, read_role, registry
from pipelines.runs import ArtifactRecord, EvaluationRecord, Run


def judged(items: list[ArtifactRecord]) -> dict[str, EvaluationRecord]:
    """Artifact id -> its newest judgement on the test images."""
    found: dict[str, EvaluationRecord] = {}
    for record in registry().evaluations([item.id for item in items], split="test") if items else []:
        found.setdefault(record.artifact, record)
    return found


def int8_file(run_id: str) -> ArtifactRecord | None:
    """The newest int8 .tflite of a run that passed its gate."""
    files = [item for item in registry().artifacts(run_id) if item.format == "tflite_int8" and item.passed]
    return max(files, key=lambda item: item.step, default=None)


def download(item: ArtifactRecord, label: str, key: str, *, primary: bool = False) -> None:
    """A button that hands over the file itself; the bytes are read when it is clicked."""
    st.download_button(
        label,
        partial(read_role, item),
        file_name=file_name(item),
        mime="application/octet-stream",
        key=key,
        on_click="ignore",
        type="primary" if primary else "secondary",
        icon=":material/download:",
    )


def result_card(run: Run) -> None:
    """The verified int8 file of a finished run: accuracy with interval, bytes, gate, download."""
    item = int8_file(run.id)
    if item is None:
        refused = [file for file in registry().artifacts(run.id) if not file.passed]
        if refused:
            st.error(
                f"No int8 file is offered: {(refused[0].gate or {}).get('cause') or 'its gate refused it'}",
                icon=":material/gpp_bad:",
            )
        else:
            st.info("This run wrote no int8 file. Write one on the Export page.", icon=":material/info:")
        return
    score = judged([item]).get(item.id)
    checks = (item.gate or {}).get("checks", [])
    latency = next(iter(registry().latencies(item.id)), None)
    with st.container(border=True, key="result_card"):
        st.subheader("Your int8 file is ready and proven")
        columns = st.columns(4)
        if score:
            columns[0].metric("Top-1 on test images", words.percent(score.top1), border=False)
            columns[0].caption(
                f"95 % interval {words.percent(score.low)} to {words.percent(score.high)}, {score.n} images kept aside"
            )
        else:
            columns[0].metric("Top-1 on test images", "not measured")
            columns[0].caption("The recipe has no measure step")
        columns[1].metric("File size", words.size(item.bytes))
        columns[1].caption(f"{words.size(item.gzip_bytes)} gzipped")
        columns[2].metric("Gate", "passed")
        columns[2].caption(
            f"{sum(bool(check['passed']) for check in checks)} of {len(checks)} checks on validation images"
        )
        if latency:
            columns[3].metric("Time per image", words.milliseconds(latency.report.get("median_ms")))
            columns[3].caption(words.WHERE_MEASURED)
        download(item, "Download the int8 .tflite", f"card.{item.id}", primary=True)


def gate_table(item: ArtifactRecord) -> None:
    """Every check of the gate with its value and limit."""
    checks = (item.gate or {}).get("checks", [])
    if not checks:
        st.caption("No gate was recorded for this file.")
        return
    st.dataframe(
        [
            {
                "check": check["name"].replace("_", " "),
                "result": "passed" if check["passed"] else "REFUSED",
                "value": check.get("value"),
                "limit": check.get("limit"),
                "what it says": check["message"],
            }
            for check in checks
        ],
        hide_index=True,
        column_config={
            "value": st.column_config.NumberColumn(format="%.4g"),
            "limit": st.column_config.NumberColumn(format="%.4g"),
            "what it says": st.column_config.TextColumn(width="large"),
        },
        alt=f"Gate checks of {item.format}",
    )
