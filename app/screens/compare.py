"""Compare: files side by side in accuracy, time and size, each figure with how sure it is."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from app import charts, uploads, words
from app.adopt_view import ADD, adopt_view
from app.colours import colours
from app.comparison import best_under, compared, controls_table, devices, finished_runs, origins, plain_table
from app.guard import guarded
from app.hurt_view import hurt_view
from app.twin import line, on_the_command_line
from app.workspace import registry, short
from exports import FORMATS
from pipelines.device_times import take_device_times
from pipelines.proof import write_proof
from pipelines.runs import Run

HERE = "this machine"


def asked_runs(known: dict[str, Run]) -> list[str]:
    """The runs in the address line that are here and done; without any the newest group, or the newest run."""
    wanted = [one for one in st.query_params.get("of", "").split(",") if one]
    if missing := [one for one in wanted if one not in known]:
        st.warning(f"Not here or not done yet: {', '.join(missing)}.", icon=":material/search_off:")
    if found := [one for one in wanted if one in known]:
        return found
    newest = next(iter(known.values()))
    return [run.id for run in known.values() if newest.group and run.group == newest.group] or [newest.id]


def set_runs(ids: list[str]) -> None:
    st.session_state["compare.runs"] = ids


def pick(known: dict[str, Run]) -> list[str]:
    st.session_state.setdefault("compare.runs", asked_runs(known))
    st.session_state["compare.runs"] = [one for one in st.session_state["compare.runs"] if one in known]
    if (new := st.session_state.pop(ADD, None)) in known:
        st.session_state["compare.runs"] = list(dict.fromkeys([*st.session_state["compare.runs"], new]))
    groups = list(dict.fromkeys(run.group for run in known.values() if run.group))
    with st.container(horizontal=True):
        newest = next(iter(known))
        st.button("Newest run", icon=":material/schedule:", on_click=set_runs, args=([newest],), key="compare.newest")
        if groups:
            members = [run.id for run in known.values() if run.group == groups[0]]
            st.button(
                "Newest group",
                icon=":material/grid_view:",
                on_click=set_runs,
                args=(members,),
                help=groups[0],
                key="compare.group",
            )
        if len(known) > 1:
            st.button(
                "Newest five",
                icon=":material/format_list_numbered:",
                on_click=set_runs,
                args=(list(known)[:5],),
                key="compare.five",
            )
    return st.multiselect("Runs", list(known), key="compare.runs", format_func=lambda one: short(known[one]))


def headline(rows: list[dict[str, Any]], base: dict[str, Any]) -> None:
    """What the table says, in a sentence: the smallest file that is not distinguishable from the baseline."""
    equal = [
        row
        for row in rows
        if row is not base
        and row.get("diff") is not None
        and row["diff_low"] <= 0 <= row["diff_high"]
        and row["passed"]
    ]
    smaller = min((row for row in equal if row["bytes"] < base["bytes"]), key=lambda row: row["bytes"], default=None)
    if smaller is not None:
        st.markdown(
            f":material/lightbulb: **{smaller['label']}** has {words.size(smaller['bytes'])} instead of "
            f"{words.size(base['bytes'])}, and its accuracy is "
            f"{words.NOT_DISTINGUISHABLE} from the baseline's on {smaller['n']} test images."
        )


def caps(rows: list[dict[str, Any]]) -> tuple[float | None, float | None]:
    first, second = st.columns(2)
    most_kb = first.number_input(
        "At most (kB)",
        value=None,
        min_value=0.0,
        step=10.0,
        format="%g",
        key="compare.kb",
        placeholder="no cap on size",
    )
    most_ms = second.number_input(
        "At most (ms)",
        value=None,
        min_value=0.0,
        step=0.05,
        format="%g",
        key="compare.ms",
        placeholder="no cap on time",
    )
    if most_kb is not None or most_ms is not None:
        best = best_under(rows, most_bytes=None if most_kb is None else most_kb * 1000, most_ms=most_ms)
        if best is None:
            st.warning("No file that passed its gate keeps within this cap.", icon=":material/block:")
        else:
            st.success(
                f"Best under the cap: **{best['label']}**, {words.accuracy(best['top1'], best['low'], best['high'])}, "
                f"{words.size(best['bytes'])}, {words.milliseconds(best['latency_ms'])}.",
                icon=":material/flag:",
            )
    return None if most_kb is None else most_kb * 1000, most_ms


def matrices(rows: list[dict[str, Any]], base: dict[str, Any]) -> None:
    with_matrix = [row for row in rows if row.get("confusion")]
    if not with_matrix:
        return
    labels = {row["id"]: row["label"] for row in with_matrix}
    st.subheader("Which classes are mixed up", anchor=False)
    integer = [row["id"] for row in with_matrix if FORMATS[row["format"]].integer and row is not base]
    usual = [one for one in (base["id"], *integer, *labels) if one in labels]
    usual = list(dict.fromkeys(usual))[:2]
    picked = st.multiselect(
        "Files",
        list(labels),
        default=usual,
        format_func=lambda one: labels[one],
        max_selections=4,
        key="compare.matrices",
    )
    columns = st.columns(2)
    for place, row in enumerate(row for row in with_matrix if row["id"] in picked):
        with columns[place % 2]:
            wrong = sum(map(sum, row["confusion"])) - sum(
                row["confusion"][at][at] for at in range(len(row["confusion"]))
            )
            st.plotly_chart(
                charts.confusion(row["confusion"], row["classes"], row["label"], colours()),
                theme=None,
                key=f"compare.confusion.{row['id']}",
                config=charts.CONFIG,
                alt=f"Confusion matrix of {row['label']}: {wrong} of {row['n']} images wrong",
            )
    with st.expander("Accuracy per class", icon=":material/table_rows:"):
        table = []
        for at, name in enumerate(with_matrix[0]["classes"]):
            line_of = {"class": name}
            for row in with_matrix:
                scores = row.get("per_class") or []
                if at < len(scores) and scores[at]["label"] == name:
                    line_of["images"] = scores[at]["n"]
                    line_of[row["label"]] = words.percent(scores[at]["accuracy"])
            table.append(line_of)
        st.dataframe(table, hide_index=True, alt="Accuracy of each file per class")


def show_origins(rows: list[dict[str, Any]]) -> None:
    """How the files' models came to be, and what compressing steps must be held against."""
    st.subheader("How they were made", anchor=False)
    for made, labels in origins(rows).items():
        st.markdown(f"- {made}: {', '.join(f'**{label}**' for label in labels)}")
    controls = controls_table(rows)
    if controls:
        st.dataframe(controls, hide_index=True, height="content", alt="Compressing steps beside their controls")
        st.caption(
            "Validation accuracies. Random: as many channels drawn by lot, fine-tuned alike. Scratch-E and Scratch-B: "
            "the small network from random weights, for as many epochs and for as much work. One run says little."
        )


def as_csv(rows: list[dict[str, Any]]) -> str:
    keys = [key for key, value in rows[0].items() if not isinstance(value, dict | list)]
    text = io.StringIO()
    writer = csv.DictWriter(text, keys, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def report(chosen: tuple[str, ...], baseline: str) -> bytes:
    """The bundle of these runs' files with a report on them."""
    with tempfile.TemporaryDirectory(prefix="litesmith-report-") as folder:
        path = Path(folder) / "report.zip"
        write_proof(registry(), chosen, path, baseline)
        return path.read_bytes()


def times_from(chosen: list[str]) -> str | None:
    """The device whose times are to be shown; None for this machine, and where there are no others."""
    known = devices(registry(), chosen)
    if not known:
        return None
    picked = st.selectbox("Times measured on", [HERE, *known], key="compare.device")
    return None if picked == HERE else picked


def own_device() -> None:
    """How times of a person's own device get here."""
    with st.expander("Times of your own device", icon=":material/smartphone:"):
        st.markdown(
            "Copy a bundle to the device, run `python time_files.py` there, and drop the `times.json` that it writes."
        )
        name = st.text_input("Name of the device", key="compare.device.name", placeholder="its processor, if empty")
        upload = st.file_uploader("times.json", type=["json"], key="compare.device.times", max_upload_size=8)
        if upload is not None and st.button("Take them in", icon=":material/add:", key="compare.device.take"):
            with guarded("reading the times"):
                found = take_device_times(registry(), uploads.keep(upload, ".json"), name or None)
                st.success(f"{len(found['rows'])} files timed on {found['device']}.", icon=":material/check:")
                st.session_state["compare.taken"] = found["device"]
                st.rerun()
        if taken := st.session_state.get("compare.taken"):
            st.caption(f"Taken in: {taken}; pick it under “Times measured on”.")


def show(chosen: list[str]) -> None:
    device = times_from(chosen)
    rows = compared(registry(), chosen, st.session_state.get("compare.baseline"), device)
    labels = {row["id"]: row["label"] for row in rows}
    base = next((row for row in rows if row.get("baseline")), rows[0])
    picked = st.selectbox(
        "Baseline: every difference refers to it",
        list(labels),
        index=list(labels).index(base["id"]),
        format_func=lambda one: labels[one],
    )
    if picked != base["id"]:
        st.session_state["compare.baseline"] = picked
        st.rerun()
    headline(rows, base)
    st.dataframe(
        plain_table(sorted(rows, key=lambda row: row is not base)),
        hide_index=True,
        height="content",
        alt="Files with accuracy, size and time, and differences to the baseline",
        column_config={"file": st.column_config.TextColumn(width=220)},
    )
    timed = next((row["machine"] for row in rows if row.get("machine")), None)
    sparse = [row["label"] for row in rows if row.get("zeros_only")]
    if sparse:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge("zeros or shared values only: same size and speed", icon=":material/info:", color="orange")
            st.caption(f"{', '.join(sparse)}: no channel was removed; only the compressed download shrinks.")
    kernels = device or "; ".join(
        dict.fromkeys(words.measured_on(row["format"]) for row in rows if row["latency_ms"] is not None)
    )
    where = f" Timed on {kernels} ({timed.get('cpu', 'this machine')})." if timed else ""
    st.caption(
        f"Accuracy of the written file on the test images with its 95 % interval. “{words.NOT_DISTINGUISHABLE}” where "
        f"the interval of the difference holds 0, or that of the ratio 1.{where} "
        "On Arm, microcontrollers and the Edge TPU int8 usually gains more."
    )
    most_bytes, most_ms = caps(rows)
    left, right = st.columns(2)
    with left:
        st.plotly_chart(
            charts.tradeoff(rows, "bytes", colours(), cap=most_bytes),
            theme=None,
            key="compare.bytes",
            config=charts.CONFIG,
            alt="Accuracy over file size, with the Pareto front",
        )
    with right:
        if any(row["latency_ms"] is not None for row in rows):
            st.plotly_chart(
                charts.tradeoff(rows, "latency_ms", colours(), cap=most_ms),
                theme=None,
                key="compare.latency",
                config=charts.CONFIG,
                alt="Accuracy over time per image, with the Pareto front",
            )
        else:
            st.info(
                "These files were not timed: their recipe has no measure step with latency.",
                icon=":material/timer_off:",
            )
    with st.container(horizontal=True):
        st.download_button(
            "CSV",
            as_csv(rows),
            file_name="litesmith_compare.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
        st.download_button(
            "JSON",
            json.dumps({"rows": rows}, indent=2),
            file_name="litesmith_compare.json",
            mime="application/json",
            icon=":material/download:",
            on_click="ignore",
        )
        st.download_button(
            "Report (zip)",
            partial(report, tuple(chosen), base["id"]),
            file_name="litesmith_report.zip",
            mime="application/zip",
            icon=":material/verified:",
            on_click="ignore",
            help="The figures as a page and as JSON, with the files themselves; `verify` checks it on any machine",
        )
    show_origins(rows)
    hurt_view(rows, base)
    matrices(rows, base)
    own_device()


st.title("Compare")
st.markdown("Written files side by side. What cannot be told apart is called that.")
known = finished_runs(registry())
if not known:
    st.info("Nothing to compare yet: no run has finished with a file.", icon=":material/inbox:")
    st.page_link("screens/start.py", label="Make the first files from the demo set", icon=":material/bolt:")
    on_the_command_line(line("compare", "RUN"))
else:
    chosen = pick(known)
    if not chosen:
        st.info("Pick at least one run.", icon=":material/checklist:")
    else:
        if st.query_params.get("of") != ",".join(chosen):
            st.query_params["of"] = ",".join(chosen)
        with guarded("comparing"):
            show(chosen)
        adopt_view(known[chosen[0]])
    baseline, device = st.session_state.get("compare.baseline"), st.session_state.get("compare.device")
    against = ["--baseline", baseline] if baseline else []
    timed_on = ["--device", device] if device not in (None, HERE) else []
    on_the_command_line(
        [
            line("compare", *(chosen or ["RUN"]), *against, *timed_on, "--classes"),
            line("report", *(chosen or ["RUN"]), *against, "--to", "litesmith_report.zip"),
        ]
    )
