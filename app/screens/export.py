"""Export: every format with when to use it, what its gate said, and downloads."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from app import words
from app.calibration_view import calibration_view
from app.chip_view import chip_view
from app.comparison import finished_runs
from app.guard import guarded
from app.noise_view import noise_view
from app.precision_view import precision_view
from app.progress import draw_followed
from app.remedies_view import remedies_view
from app.result import download, gate_table, int8_file, judged
from app.skew_view import skew_view
from app.twin import line, on_the_command_line
from app.workspace import details, file_name, queue_again, read_role, registry, short
from exports import FORMATS, Contract, contract_path, selftest_path
from exports.writers.bundle import write_bundle
from pipelines.further import export_recipe
from pipelines.recipes import Recipe
from pipelines.runs import ArtifactRecord, EvaluationRecord, Run
from pipelines.start import within_sight

FOUND_ELSEWHERE = ("tflite_mixed",)  # it needs layers named, as remedies and bits for every layer do
INT8 = ("tflite_int8", "tflite_uint8")  # with ranges that a float twin can be held against


def family(run: Run) -> list[Run]:
    """The run and those that wrote further files of its model."""
    found = [run]
    for other in registry().dependents(run.id):
        child = registry().get(other.id)
        if child.parent == run.id and child.recipe.get("start"):
            found.append(child)
    return found


def bundle(item: ArtifactRecord) -> bytes:
    """A zip of the file, its contract, self-test, labels and a sample that runs it."""
    with tempfile.TemporaryDirectory(prefix="litesmith-") as folder:
        path = Path(folder) / file_name(item)
        path.write_bytes(read_role(item))
        for role, place in (("contract", contract_path(path)), ("selftest", selftest_path(path))):
            if role in item.files:
                place.write_bytes(read_role(item, role))
        out = Path(folder) / "bundle.zip"
        write_bundle([(path, Contract.from_dict(item.contract or {}))], out)
        return out.read_bytes()


def queue(run: Run, formats: list[str], settings: dict[str, Any] | None = None) -> None:
    with guarded("queueing the export"):
        start(run, export_recipe(registry(), run.id, formats, settings=settings))


def start(run: Run, recipe: dict[str, Any]) -> None:
    """Queues a recipe that goes on from `run`, and follows it here."""
    with guarded("queueing"):
        within_sight(Recipe.of(recipe))
        new = registry().create(recipe, name=recipe["name"], seed=run.seed, parent=run.id, group=run.group)
        st.session_state["export.following"] = new
        queue_again(new)


def one_file(item: ArtifactRecord, score: EvaluationRecord | None) -> None:
    """A written file: verdict, sizes, downloads, gate."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(
            "gate passed" if item.passed else "refused",
            color="green" if item.passed else "red",
            icon=":material/verified:" if item.passed else ":material/gpp_bad:",
        )
        top1 = f" · top-1 {words.accuracy(score.top1, score.low, score.high)}" if score else ""
        st.markdown(f"{words.size(item.bytes)}, {words.size(item.gzip_bytes)} gzipped{top1}", width="content")
    if not item.passed:
        st.error((item.gate or {}).get("cause") or "Its gate refused it.", icon=":material/gpp_bad:")
    else:
        with st.container(horizontal=True):
            download(item, "File", f"export.{item.id}")
            stem = file_name(item).removesuffix(FORMATS[item.format].suffix)
            if "contract" in item.files:
                st.download_button(
                    "Contract",
                    partial(read_role, item, "contract"),
                    file_name=f"{stem}.contract.json",
                    mime="application/json",
                    icon=":material/description:",
                    on_click="ignore",
                    key=f"contract.{item.id}",
                )
            if FORMATS[item.format].family in ("tflite", "onnx"):
                st.download_button(
                    "Bundle (zip)",
                    partial(bundle, item),
                    file_name=f"{stem}_bundle.zip",
                    mime="application/zip",
                    icon=":material/folder_zip:",
                    on_click="ignore",
                    key=f"bundle.{item.id}",
                    help="The file, its contract, a self-test, labels and a Python sample that runs it",
                )
    for note in item.notes:
        st.caption(f":material/info: {note}")
    with st.expander(
        f"Gate: {sum(bool(check['passed']) for check in (item.gate or {}).get('checks', []))} of "
        f"{len((item.gate or {}).get('checks', []))} checks passed",
        icon=":material/rule:",
        expanded=not item.passed,
    ):
        gate_table(item)
    adopted = details(item.contract, "output", "kind") == "scores"  # it came without its model
    if item.format in INT8 and not adopted and not (item.contract or {}).get("int8_aware"):
        if not item.passed:
            st.caption("Which layers it comes from is found here; *What would help int8*, below, tries remedies.")
        noise_view(item.id, f"export.noise.{item.id}")
    if item.passed and FORMATS[item.format].integer and FORMATS[item.format].family == "tflite":
        chip_view(item.id, f"export.chip.{item.id}")
    if item.passed and FORMATS[item.format].family in ("tflite", "onnx"):
        skew_view(item.id, f"export.skew.{item.id}")
    st.caption(f"SHA-256 `{item.sha256}`")


def has_model(run: Run) -> bool:
    """Whether the run holds a model, and not finished files alone."""
    return any(step.model_sha256 for step in registry().steps(run.id))


def one_click(run: Run, modelled: bool) -> None:
    item = int8_file(run.id)
    for child in family(run)[1:]:
        item = item or int8_file(child.id)
    if item is not None:
        download(item, "Download int8 TFLite", "export.int8", primary=True)
    elif modelled:
        st.button(
            "Write int8 TFLite",
            type="primary",
            icon=":material/bolt:",
            on_click=queue,
            args=(run, ["tflite_int8"]),
            key="export.write_int8",
        )


def following() -> None:
    new = st.session_state.get("export.following")
    if new is None:
        return
    child = registry().get(new)
    draw_followed(child)
    if child.is_final:
        del st.session_state["export.following"]


def show(run: Run) -> None:
    modelled = has_model(run)
    one_click(run, modelled)
    following()
    files = [item for one in family(run) for item in registry().artifacts(one.id)]
    scores = judged(files)
    newest = {item.format: item for item in sorted(files, key=lambda item: (bool(item.passed), item.created))}
    missing = [name for name in FORMATS if name not in newest and name not in FOUND_ELSEWHERE]
    st.subheader("Written", anchor=False)
    if not newest:
        st.info("No files yet. Choose formats below.", icon=":material/inbox:")
    for name in FORMATS:
        if name in newest:
            with st.container(border=True):
                st.markdown(f"**{FORMATS[name].title}** `{name}`")
                st.caption(FORMATS[name].when)
                one_file(newest[name], scores.get(newest[name].id))
                others = [item for item in files if item.format == name and item.id != newest[name].id]
                if others:
                    with st.expander(f"{len(others)} earlier of this format", icon=":material/history:"):
                        for item in others:
                            one_file(item, scores.get(item.id))
    if not modelled:
        st.info(
            "There is no model in this run, only a finished file: nothing further can be written from it.",
            icon=":material/note_add:",
        )
        return
    st.subheader("Write further formats", anchor=False)
    picked = []
    for name in missing:
        which, when = st.columns([2, 3])
        if which.checkbox(f"**{FORMATS[name].title}** `{name}`", key=f"export.want.{name}"):
            picked.append(name)
        when.caption(FORMATS[name].when)
    st.button(
        f"Write and check {len(picked)}" if picked else "Write and check",
        icon=":material/play_arrow:",
        disabled=not picked,
        on_click=queue,
        args=(run, picked),
        key="export.write",
        help="A job of its own; the model is not trained again",
    )
    if any(step.model_sha256 and not step.report.get("int8_aware") for step in registry().steps(run.id)):
        calibration_view(run.id, f"export.calibration.{run.id}", partial(queue, run, ["tflite_int8"]))
        remedies_view(registry(), run.id, f"export.remedies.{run.id}", partial(start, run))
        precision_view(registry(), run.id, f"export.precision.{run.id}", partial(start, run))
    on_the_command_line(
        line("export", run.id, *[word for name in picked or ["tflite_int8"] for word in ("--format", name)])
    )


st.title("Export")
st.markdown("Every file here was run and compared with its model before it is offered.")
known = {run.id: run for run in registry().list(state="done", limit=200)}
if not known:
    st.info("Nothing to export yet: no run has finished.", icon=":material/inbox:")
    st.page_link("screens/start.py", label="Make the first int8 file from the demo set", icon=":material/bolt:")
    on_the_command_line(line("export", "RUN", "--format", "tflite_int8"))
else:
    asked = st.query_params.get("run")
    if asked and asked not in known:
        st.warning(f"Run {asked} is not here or not done yet.", icon=":material/search_off:")
    with_files = finished_runs(registry())
    first = asked if asked in known else next(iter(with_files or known))
    chosen = st.selectbox("Run", list(known), index=list(known).index(first), format_func=lambda one: short(known[one]))
    if chosen != asked:
        st.query_params["run"] = chosen
    with guarded("export"):
        show(known[chosen])
