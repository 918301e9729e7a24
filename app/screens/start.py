"""Start: the first reward before any explanation. Demo set, my images, open a recipe."""

from __future__ import annotations

import streamlit as st

from app import draft, images, words
from app.guard import guarded
from app.progress import draw_curves, draw_error, draw_progress, follow, state_badge
from app.result import result_card
from app.twin import line, on_the_command_line
from app.workspace import registry, run_named, start_supervisor, submit
from pipelines.recipes import Recipe, ready_made
from pipelines.runs import Run

DEMO = "digits_quick"


def begin_demo() -> None:
    with guarded("starting the demo"):
        recipe = Recipe.load(DEMO)
        # Somebody who clicks twice, or in two tabs, wants one file.
        same = [run for state in ("running", "queued") for run in registry().list(state=state)]
        under_way = next((run.id for run in same if run.recipe_sha256 == recipe.sha256), None)
        st.query_params["run"] = under_way or submit(recipe)[0]


def look(run: Run) -> None:
    draw_progress(run)
    if run.state == "done":
        result_card(run)
    draw_error(run)
    if run.state == "running":
        draw_curves(run, "start")


def show_run(run: Run) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{run.name}** · {words.model_line(run.recipe)}")
            state_badge(run)
        if run.state == "queued":
            start_supervisor()
        follow(run, look)
        if run.is_final:
            with st.container(horizontal=True):
                st.page_link(
                    "screens/runs.py", label="Curves and log", icon=":material/list_alt:", query_params={"run": run.id}
                )
                if run.state == "done":
                    st.page_link(
                        "screens/try_it.py",
                        label="Try it on an image",
                        icon=":material/photo_camera:",
                        query_params={"run": run.id},
                    )
                    st.page_link(
                        "screens/compare.py",
                        label="Compare its files",
                        icon=":material/scatter_plot:",
                        query_params={"of": run.id},
                    )
                    st.page_link(
                        "screens/export.py",
                        label="More formats",
                        icon=":material/inventory_2:",
                        query_params={"run": run.id},
                    )
        else:
            st.caption("You may close this page: the run goes on, and this address shows it again.")


def my_images() -> None:
    st.markdown(
        "One sub-folder per class. They stay on this machine; broken files are set aside and listed, never guessed."
    )
    by_zip, by_folder = st.tabs([":material/folder_zip: Upload a zip", ":material/folder: A folder on this machine"])
    source = None
    with by_zip:
        upload = st.file_uploader("Zip of images, one sub-folder per class", type=["zip"], key="start.zip")
        if upload is not None and st.session_state.get("images.upload") != upload.file_id:
            st.session_state["images.upload"] = upload.file_id
            source = images.keep_upload(upload)
    with by_folder, st.form("start.folder", border=False):
        path = st.text_input("Folder", placeholder="/home/me/pictures/leaves", help="It holds one sub-folder per class")
        if st.form_submit_button("Check this folder", icon=":material/search:"):
            if path.strip():
                source = f"folder:{path.strip()}"
            else:
                st.error(
                    "The path is empty; type the folder that holds one sub-folder per class.", icon=":material/error:"
                )
    if source is not None:
        for key in ("images.summary", "images.error"):
            st.session_state.pop(key, None)
        try:
            st.session_state["images.summary"] = (source, images.check(source))
        except ValueError as error:  # kept, so that the reason stands until there are other images
            st.session_state["images.error"] = str(error)
    if "images.error" in st.session_state:
        st.error(st.session_state["images.error"], icon=":material/error:")
    if "images.summary" not in st.session_state:
        return
    source, summary = st.session_state["images.summary"]
    st.success(f"{words.source_name(source)} can be used.", icon=":material/check_circle:")
    images.show_summary(summary, "start")
    if st.button("Build a network for these images", type="primary", icon=":material/construction:"):
        plan = draft.first_recipe().as_dict()
        plan["name"] = words.source_name(source).removesuffix(".zip")[:40]
        plan["data"] |= {"source": source, "resolution": 64}
        draft.current().load(Recipe.of(plan))
        st.switch_page("screens/build.py")


def open_recipe() -> None:
    chosen: Recipe | None = None
    picked, uploaded = st.tabs([":material/menu_book: Ready-made", ":material/upload_file: From a file"])
    with uploaded:
        upload = st.file_uploader("Recipe (YAML)", type=["yaml", "yml"], key="start.recipe", max_upload_size=1)
    with picked:
        names = ready_made()
        name = st.selectbox("Recipe", names, index=names.index(DEMO) if DEMO in names else 0)
    with guarded("reading the recipe"):
        if upload is not None:
            chosen = Recipe.parse(upload.getvalue().decode("utf-8", errors="replace"))
            st.caption(f"From {upload.name}")
        elif name:
            chosen = Recipe.load(name)
    if chosen is None:
        return
    if chosen.description:
        st.markdown(chosen.description)
    with st.expander("Show the recipe", icon=":material/code:"):
        st.code(chosen.dump(), language="yaml", wrap_lines=True)
    with st.container(horizontal=True):
        if st.button("Start it", icon=":material/play_arrow:", key="start.now"):
            with guarded("starting"):
                st.query_params["run"] = submit(chosen)[0]
                st.rerun()
        if st.button("Open in Build", icon=":material/construction:", key="start.build"):
            draft.current().load(chosen)
            st.switch_page("screens/build.py")


st.title("Litesmith")
st.markdown("Small vision models for small devices: **choose, shrink, prove, ship.**")

shown = run_named(st.query_params.get("run"))
if st.query_params.get("run") and shown is None:
    st.warning(f"There is no run {st.query_params['run']} in this home.", icon=":material/search_off:")
if shown is None or shown.is_final:
    again = shown is not None and shown.state == "done"
    st.button(
        "Run the demo again" if again else "Make an int8 file from the demo set",
        type="secondary" if again else "primary",
        icon=":material/bolt:",
        on_click=begin_demo,
        key="start.demo",
    )
    if not again:
        st.caption(
            "Trains a small network on 1,797 real scans of handwritten digits on this machine, writes an int8 file, "
            "proves it on images kept aside. About a minute on two free cores; no account, no network."
        )
if shown is not None:
    show_run(shown)

st.divider()
own, recipes = st.columns(2, gap="large")
with own:
    st.subheader("My images", anchor=False)
    with guarded("checking the images"):
        my_images()
with recipes:
    st.subheader("Open a recipe", anchor=False)
    with guarded("opening a recipe"):
        open_recipe()

on_the_command_line(
    [line("run", DEMO), line("data", "zip:my_images.zip"), line("submit", "my_recipe.yaml")],
    "The demo, the check of a zip, and a recipe of your own.",
)
