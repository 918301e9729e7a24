"""Runs: the queue and the history; one run live, with curves, log, cancel, resume, clone, rename and delete."""

from __future__ import annotations

import math
from datetime import datetime

import streamlit as st

from app import draft, words
from app.factor_view import factor_view
from app.guard import guarded
from app.progress import draw_curves, draw_error, draw_log, draw_progress, follow, state_badge
from app.removal_view import removal_view
from app.result import download, judged
from app.robustness_view import robustness_view
from app.sensitivity_view import sensitivity_view
from app.twin import line, on_the_command_line
from app.workspace import queue_again, registry, run_named, start_supervisor
from exports import FORMATS
from pipelines.jobs import LocalExecutor
from pipelines.recipes import Recipe
from pipelines.runs import Run
from pipelines.start import clone

PAGE = 20
UNDO = "runs.deleted"


def history() -> None:
    runs = registry()
    first, second = st.columns([2, 3], vertical_alignment="bottom")
    search = first.text_input("Search", placeholder="name, id, model or images", key="runs.search")
    state = second.pills("State", list(words.STATES), format_func=lambda one: words.STATES[one][0], key="runs.state")
    count = runs.count(state=state, search=search)
    pages = max(1, math.ceil(count / PAGE))
    asked = st.session_state.get("runs.page", 1)
    page = min(asked, pages)
    found = runs.list(state=state, search=search, limit=PAGE, offset=(page - 1) * PAGE)
    if not found:
        st.info("No run matches." if search or state else "No runs yet.", icon=":material/inbox:")
        if not (search or state):
            st.page_link("screens/start.py", label="Make the first one from the demo set", icon=":material/bolt:")
        return
    chosen = st.query_params.get("run")
    picked = st.dataframe(
        [
            {
                "state": words.STATES[run.state][0],
                "name": run.name,
                "network and images": words.model_line(run.recipe),
                "group": run.group or "",
                "took": words.duration(run.finished - run.started) if run.finished and run.started else "",
                "made": words.ago(run.created),
                "id": run.id,
            }
            for run in found
        ],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"runs.table.{page}.{state}.{search}",
        column_config={
            "network and images": st.column_config.TextColumn(width="medium"),
        },
        alt="Runs, newest first; select a row to see the run",
    )
    rows = picked["selection"]["rows"]
    if rows and found[rows[0]].id != chosen and rows[0] != st.session_state.get("runs.row"):
        st.session_state["runs.row"] = rows[0]
        st.query_params["run"] = found[rows[0]].id
        st.rerun()
    st.session_state["runs.row"] = rows[0] if rows else None
    with st.container(horizontal=True, vertical_alignment="center"):
        if pages > 1:
            if st.button("Newer", icon=":material/chevron_left:", disabled=page <= 1):
                st.session_state["runs.page"] = page - 1
                st.rerun()
            st.caption(f"Page {page} of {pages}")
            if st.button("Older", icon=":material/chevron_right:", disabled=page >= pages):
                st.session_state["runs.page"] = page + 1
                st.rerun()
        st.caption("1 run" if count == 1 else f"{count:,} runs")


def look(run: Run) -> None:
    draw_progress(run)
    draw_error(run)
    draw_curves(run, f"runs.{run.id}")
    with st.expander("Log", icon=":material/article:", expanded=run.state == "failed"):
        draw_log(run)


def stop(run: Run) -> None:
    with guarded("cancelling"):
        LocalExecutor(registry().home).cancel(run.id)


def go_on(run: Run) -> None:
    with guarded("resuming"):
        queue_again(run.id)


def actions(run: Run) -> None:
    with st.container(horizontal=True):
        if run.state in ("queued", "running"):
            st.button(
                "Cancel",
                icon=":material/stop_circle:",
                on_click=stop,
                args=(run,),
                disabled=bool(run.cancel_asked),
                key="runs.cancel",
            )
        if run.is_resumable:
            label = "Start" if run.state == "created" else "Resume"
            st.button(
                label, icon=":material/play_circle:", type="primary", on_click=go_on, args=(run,), key="runs.resume"
            )
        if st.button(
            "Clone",
            icon=":material/content_copy:",
            help="A new run of the same recipe and seed; it waits for Start",
            key="runs.clone",
        ):
            with guarded("cloning"):
                st.query_params["run"] = clone(registry(), run.id)
                st.rerun()
        if st.button("Open in Build", icon=":material/construction:", key="runs.build"):
            with guarded("opening in Build"):
                draft.current().load(Recipe.of(run.recipe))
                st.switch_page("screens/build.py")
        with st.popover("Rename", icon=":material/edit:"), st.form("runs.rename", border=False):
            name = st.text_input("New name", run.name, max_chars=120)
            if st.form_submit_button("Rename"):
                with guarded("renaming"):
                    registry().rename(run.id, name)
                    st.rerun()
        with st.popover("Delete", icon=":material/delete:", disabled=run.state == "running"):
            delete_form(run)


def delete_form(run: Run) -> None:
    needing = registry().dependents(run.id)
    if needing:
        st.markdown("These need it and would go as well:")
        st.markdown(
            "\n".join(
                f"- {other.name} ({other.id}, by {'start' if other.because == 'parent' else 'recipe'})"
                for other in needing
            )
        )
    st.caption("It goes to the trash; undo brings it back.")
    if st.button("Delete" if not needing else f"Delete {len(needing) + 1} runs", type="primary", key="runs.delete"):
        with guarded("deleting"):
            gone = registry().delete(run.id, with_dependents=bool(needing))
            st.session_state[UNDO] = (gone.ids, gone.bytes)
            st.query_params.pop("run", None)
            st.rerun()


def undo_deletion() -> None:
    ids, size = st.session_state[UNDO]
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        st.markdown(f":material/delete: {', '.join(ids)} went to the trash ({words.size(size)}).", width="stretch")
        if st.button("Undo", icon=":material/undo:", key="runs.undo"):
            with guarded("undoing"):
                for run_id in ids:
                    if registry().get(run_id).deleted is not None:
                        registry().restore(run_id)
                del st.session_state[UNDO]
                st.query_params["run"] = ids[0]
                st.rerun()


def one_run(run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(run.name, anchor=False, width="content")
        state_badge(run)
    made = datetime.fromtimestamp(run.created).strftime("%d %b %Y %H:%M")
    attempt = f" · attempt {run.attempt}" if run.attempt > 1 else ""
    st.caption(f"{run.id} · {words.model_line(run.recipe)} · seed {run.seed} · made {made}{attempt}")
    if run.deleted is not None:
        st.warning("This run is in the trash.", icon=":material/delete:")
        if st.button("Restore", icon=":material/restore_from_trash:"):
            registry().restore(run.id)
            st.rerun()
    if run.state == "queued":
        start_supervisor()
    actions(run)
    follow(run, look)
    files(run)
    steps = registry().steps(run.id)
    for record in steps:
        removal_view(record.report, f"runs.{run.id}.{record.index}")
        factor_view(record.report, f"runs.{run.id}.{record.index}")
    if run.state == "done" and any(step.model_sha256 and not step.report.get("int8_aware") for step in steps):
        sensitivity_view(run.id, f"runs.{run.id}.sensitivity")
        robustness_view(registry(), run, f"runs.{run.id}.robustness")
    with st.expander("Recipe, environment and reports", icon=":material/receipt_long:"):
        recipe, reports = st.tabs(["Recipe", "Reports"])
        with recipe, guarded("the recipe"):
            st.code(Recipe.of(run.recipe).dump(), language="yaml")
            st.json(run.environment or {}, expanded=False)
        with reports:
            for record in steps:
                st.markdown(
                    f"**{record.index + 1}. {words.label_of(record.name)}** {words.duration(record.seconds)}, "
                    f"{words.size(record.memory_bytes)} of memory"
                )
                st.json({"metrics": record.metrics, "report": record.report}, expanded=False)
    for record in steps:
        for warning in record.report.get("warnings", []):
            st.caption(f":material/info: {words.label_of(record.name)}: {warning}")


def files(run: Run) -> None:
    found = registry().artifacts(run.id)
    if not found:
        return
    scores = judged(list(found))
    st.markdown("**Files**")
    for item in found:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(
                "gate passed" if item.passed else "refused",
                color="green" if item.passed else "red",
                icon=":material/verified:" if item.passed else ":material/gpp_bad:",
            )
            score = scores.get(item.id)
            top1 = f" · {words.accuracy(score.top1, score.low, score.high)}" if score else ""
            st.markdown(f"{FORMATS[item.format].title} · {words.size(item.bytes)}{top1}", width="stretch")
            if item.passed:
                download(item, "Download", f"runs.{item.id}")
    with st.container(horizontal=True):
        st.page_link(
            "screens/export.py",
            label="Gate, contract and more formats",
            icon=":material/inventory_2:",
            query_params={"run": run.id},
        )
        st.page_link("screens/compare.py", label="Compare", icon=":material/scatter_plot:", query_params={"of": run.id})


def disk() -> None:
    use = registry().disk_use()
    with st.expander(f"Disk: {words.size(use.total)} used, {words.size(use.free)} free", icon=":material/hard_drive:"):
        st.dataframe(
            [
                {"what": words.label_of(key), "size": words.size(value)}
                for key, value in use.as_dict().items()
                if key not in ("free", "total")
            ],
            hide_index=True,
            width="content",
            alt="Disk use by kind",
        )
        trashed = registry().count(trashed=True)
        if trashed:
            st.caption(f"{trashed} runs in the trash hold {words.size(use.trash)}.")
            if st.button("Empty the trash for good", icon=":material/delete_forever:"):
                gone = registry().empty_trash()
                st.session_state.pop(UNDO, None)
                st.toast(f"{len(gone.ids)} runs deleted, {words.size(gone.bytes)} free again")
                st.rerun()


st.title("Runs")
st.markdown("Everything that waits, runs or is done. Close the browser whenever you like: runs go on.")
if UNDO in st.session_state:
    undo_deletion()
chosen = run_named(st.query_params.get("run"))
if st.query_params.get("run") and chosen is None:
    st.warning(f"There is no run {st.query_params['run']} in this home.", icon=":material/search_off:")
if chosen is not None:
    with st.container(border=True):
        one_run(chosen)
history()
disk()
shown = chosen.id if chosen else "RUN"
on_the_command_line(
    [
        line("runs"),
        line("show", shown),
        line("cancel", shown),
        line("resume", shown),
        line("clone", shown),
        line("delete", shown),
    ]
)
