"""Build: compose data, model and steps in forms made from the settings, see the plan as YAML, and queue it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

import zoo
from app import draft, images, words
from app.draft import Draft
from app.forecast_view import forecast_view
from app.forms import number_in, numbers_in, resolution_in, resolution_text, settings_form
from app.guard import guarded
from app.own_model import own_model_form
from app.sensitivity_view import sensitivity_view
from app.twin import on_the_command_line, submitting
from app.workspace import registry, submit
from exports import FORMATS
from pipelines.estimate import estimate as estimated
from pipelines.methods import METHODS
from pipelines.recipes import DataSettings, ModelSettings, Recipe
from pipelines.removal.settings import RemovalSettings
from pipelines.settings import Settings
from pipelines.steps import STEPS, default_method, settings_of
from zoo.weights import WEIGHTS

CHANNELS: dict[int | None, str] = {None: "the set's own", 1: "1 grey", 3: "3 colour"}
OTHER = "another folder or zip on this machine …"


def opened() -> Draft:
    """This session's draft, or the one that the address line holds."""
    link = st.query_params.get("recipe")
    if link and draft.KEY not in st.session_state:
        with guarded("the recipe in the address"):
            st.session_state[draft.KEY] = Draft.of(draft.from_link(link))
    return draft.current()


def data_form(plan: Draft) -> None:
    values, key = plan.values["data"], f"build.{plan.version}.data"
    known = images.known_sources()
    source = values.get("source", "digits")
    options = [*known, *([source] if source not in known else []), OTHER]
    first, second, third = st.columns([5, 3, 4])
    with first:
        picked = st.selectbox(
            "Images",
            options,
            index=options.index(source),
            key=f"{key}.source",
            format_func=lambda one: one if one == OTHER else images.source_label(one),
        )
        if picked == OTHER:
            values["source"] = (
                st.text_input("Data source", placeholder="folder:/path or zip:/path/file.zip", key=f"{key}.path")
                or "folder:"
            )
        else:
            values["source"] = picked
    side = second.text_input(
        "Resolution",
        resolution_text(values.get("resolution")),
        key=f"{key}.resolution",
        placeholder="the set's own",
        help="Pixels: one side, or height x width such as 96x128",
    )
    values["resolution"] = resolution_in(side)
    values["channels"] = third.selectbox(
        "Channels",
        list(CHANNELS),
        index=list(CHANNELS).index(values.get("channels")),
        key=f"{key}.channels",
        format_func=lambda one: CHANNELS[one],
    )
    with st.expander("Split into train, validation and test", icon=":material/call_split:"):
        filled = settings_form(DataSettings, values, key, skip=("source", "resolution", "channels"))
    values |= filled.values


def model_form(plan: Draft) -> None:
    values, key = plan.values["model"], f"build.{plan.version}.model"
    first, second = st.columns([2, 1])
    names = list(zoo.ARCHITECTURES)
    name = first.selectbox(
        "Architecture",
        names,
        index=names.index(values["name"]),
        key=f"{key}.name",
        format_func=lambda one: zoo.ARCHITECTURES[one].title,
    )
    if name != values["name"]:
        values["options"] = {}
    values["name"] = name
    family = zoo.architecture(name)
    values["width"] = second.number_input(
        "Width",
        value=float(values.get("width") or 1.0),
        step=0.05,
        format="%g",
        key=f"{key}.width",
        help="Published: " + ", ".join(f"{width:g}" for width in family.widths),
    )
    st.caption(f"{family.summary} The Design page shows what it costs.")
    with st.expander("Options of this architecture", icon=":material/tune:"):
        for option in family.options:
            now = values["options"].get(option.name, option.default)
            field = f"{key}.{name}.{option.name}"
            if option.choices is not None:
                value: Any = st.selectbox(
                    words.label_of(option.name),
                    option.choices,
                    index=list(option.choices).index(now),
                    help=option.help,
                    key=field,
                )
            elif isinstance(option.default, bool):
                value = st.toggle(words.label_of(option.name), bool(now), help=option.help, key=field)
            else:
                value = number_in(st.text_input(words.label_of(option.name), f"{now}", help=option.help, key=field))
            if value != option.default:
                values["options"][option.name] = value
            else:
                values["options"].pop(option.name, None)
    with st.expander("Published weights", icon=":material/download:", expanded=bool(values.get("weights"))):
        if name not in WEIGHTS:
            st.caption(f"None are published for {family.title}; keras.applications has {', '.join(WEIGHTS)}.")
        values |= settings_form(ModelSettings, values, f"{key}.weights", skip=("name", "width", "options")).values


def grid_form(plan: Draft) -> None:
    key = f"build.{plan.version}.grid"
    grid = plan.values.get("grid") or {}
    with st.expander("Try several widths and resolutions", icon=":material/grid_view:", expanded=bool(grid)):
        st.caption("Every combination becomes a run of its own, all in one group. Empty: the one above.")
        first, second = st.columns(2)
        widths = numbers_in(
            first.text_input(
                "Widths",
                ", ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in grid.get("widths", [])),
                key=f"{key}.widths",
                placeholder="0.35, 0.5, 1.0",
            )
        )
        sides = numbers_in(
            second.text_input(
                "Resolutions",
                ", ".join(str(one) for one in grid.get("resolutions", [])),
                key=f"{key}.resolutions",
                placeholder="24, 32",
            )
        )
    plan.values["grid"] = {"widths": widths, "resolutions": sides} if widths or sides else None


def teachers() -> dict[str, str]:
    """What a teacher can be: architectures, and finished runs by name."""
    found = {name: f"{family.title}, trained in this step" for name, family in zoo.ARCHITECTURES.items()}
    return found | {f"run:{run.id}": f"{run.name} ({run.id})" for run in registry().list(state="done", limit=50)}


def network_form(plan: Draft) -> None:
    """Where the network comes from, and what that way needs to know."""
    start, key = str(plan.values.get("start") or ""), f"build.{plan.version}.from"
    ways = {"zoo": "Architecture", "file": "My own model"}
    if start.startswith("run:"):
        ways["run"] = start.replace("run:", "Run ")
    now = "run" if start.startswith("run:") else "file" if start.startswith("file:") else "zoo"
    way = st.segmented_control("Begin with", list(ways), default=now, format_func=ways.__getitem__, key=f"{key}.way")
    if way == "file":
        own_model_form(plan, key)
    elif way == "run":
        st.info(f"Starts from the model of {start}, so the architecture is that run's.", icon=":material/fork_right:")
    else:
        plan.values["start"] = None
        model_form(plan)
        grid_form(plan)


def removal_forecast(
    plan: Draft, place: int, settings: type[RemovalSettings], values: dict[str, Any], key: str
) -> None:
    """Predicted counts of a step that removes channels; nothing while the plan above it cannot be read."""
    try:
        chosen = settings.model_validate(values)
        before = {**plan.plain(), "grid": None, "steps": ["train"] if place else []}
        recipe = Recipe.of({name: value for name, value in before.items() if value is not None})
    except ValueError:
        return  # what is wrong stands under its field, or beside the plan
    if any(step["step"] in ("prune", "factorise") for step in plan.values["steps"][:place]):
        st.caption("Counts are not predicted here: an earlier step changes the network's channels first.")
        return
    forecast_view(recipe, chosen, key)
    whole = recipe.start == f"run:{recipe.start_run}"  # of a run's earlier steps the curves would be another model's
    if whole and recipe.start_run is not None and registry().get(recipe.start_run).state == "done":
        sensitivity_view(recipe.start_run, f"{key}.sensitivity")


def step_form(plan: Draft, place: int, step: dict[str, Any], known_teachers: dict[str, str]) -> None:
    name, uid, values = step["step"], step["uid"], step["values"]
    key = f"build.{plan.version}.{uid}"
    kind = STEPS[name]
    with st.container(border=True, key=f"step_{uid}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{place + 1}. {kind.title}**", width="stretch")
            st.button(
                "Move up",
                icon=":material/arrow_upward:",
                key=f"{key}.up",
                disabled=place == 0,
                on_click=plan.move,
                args=(uid, -1),
                type="tertiary",
            )
            st.button(
                "Move down",
                icon=":material/arrow_downward:",
                key=f"{key}.down",
                disabled=place == len(plan.values["steps"]) - 1,
                on_click=plan.move,
                args=(uid, 1),
                type="tertiary",
            )
            st.button(
                "Remove",
                icon=":material/delete:",
                key=f"{key}.remove",
                on_click=plan.remove,
                args=(uid,),
                type="tertiary",
            )
        st.caption(kind.summary)
        method = None
        if kind.methods is not None:
            offered = [one for one, found in METHODS.items() if found.kind == kind.methods]
            method = values.get("method") or default_method(kind.methods)
            if len(offered) > 1:
                picked = st.selectbox(
                    "Method",
                    offered,
                    index=offered.index(method),
                    key=f"{key}.method",
                    format_func=lambda one: METHODS[one].title,
                )
                if picked != method:
                    values, method = _taken_over(values, settings_of(name, method), settings_of(name, picked)), picked
            found = METHODS[method]
            st.caption(f"{found.title}: {found.summary} Source: {found.source}.")
            if found.measured:
                st.caption(f":material/straighten: Measured here: {found.measured}")
            if kind.methods == "prune" and not found.removes_channels:
                st.badge("zeros only: same size and speed", icon=":material/info:", color="orange")
        choices = {"formats": list(FORMATS), "teacher": list(known_teachers)}
        shown = {one: f"{entry.title}" for one, entry in FORMATS.items()} | known_teachers
        filled = settings_form(
            settings_of(name, method), values, f"{key}.{method}", choices=choices, names=shown, skip=("method",)
        )
        step["values"] = {**filled.values, **({"method": method} if method else {})}
        chosen = settings_of(name, method)
        if issubclass(chosen, RemovalSettings) and not filled.mistakes:
            removal_forecast(plan, place, chosen, step["values"], f"{key}.{method}")
        if name == "export":
            for one in filled.values.get("formats", []):
                st.caption(f"**{FORMATS[one].title}**: {FORMATS[one].when}")


def _taken_over(values: Mapping[str, Any], before: type[Settings], after: type[Settings]) -> dict[str, Any]:
    """What stays when another method is chosen: what was changed and it has too; the rest has its defaults."""
    old = {name: field.get_default(call_default_factory=True) for name, field in before.model_fields.items()}
    changed = {name: value for name, value in values.items() if name not in old or value != old[name]}
    return {name: value for name, value in changed.items() if name in after.model_fields and name != "method"}


def load_file(plan: Draft) -> None:
    upload = st.file_uploader("Open a recipe (YAML)", type=["yaml", "yml"], key="build.upload", max_upload_size=1)
    if upload is not None and st.session_state.get("build.uploaded") != upload.file_id:
        st.session_state["build.uploaded"] = upload.file_id
        plan.load(Recipe.parse(upload.getvalue().decode("utf-8", errors="replace")))
        st.rerun()


def estimate(recipe: Recipe) -> None:
    """Time and memory from earlier runs when there are comparable ones, or from a short probe on request."""
    kept = st.session_state.get("build.estimate", (None, None))
    found = kept[1] if kept[0] == recipe.sha256 else from_earlier_runs(recipe)
    if found is None:
        if st.button("Estimate time and memory", icon=":material/timer:", help="A probe of about ten seconds"):
            with st.spinner("Measuring a few updates on this machine"):
                st.session_state["build.estimate"] = (recipe.sha256, estimated(registry(), recipe, may_probe=True))
            st.rerun()
        return
    memory = f", {words.size(found['memory_bytes'])} of memory" if found.get("memory_bytes") else ""
    st.info(
        f"Predicted: about {words.duration(found['seconds'])} ({words.duration(found['low_s'])} to "
        f"{words.duration(found['high_s'])}){memory}, from {found['how']}.",
        icon=":material/timer:",
    )


def from_earlier_runs(recipe: Recipe) -> dict[str, Any] | None:
    """The estimate that costs nothing; asked for once per plan, not at every rerun."""
    key = ("build.earlier", recipe.sha256, registry().count(state="done"))
    if st.session_state.get("build.earlier", (None, None))[0] != key:
        st.session_state["build.earlier"] = (key, estimated(registry(), recipe, may_probe=False))
    return st.session_state["build.earlier"][1]


st.title("Build")
st.markdown("Put together data, a network and steps; then queue it. Nothing here is lost by a typing mistake.")
plan = opened()
left, right = st.columns([3, 2], gap="large")

with left:
    head = st.columns([3, 1])
    plan.values["name"] = head[0].text_input(
        "Name", plan.values.get("name", ""), key=f"build.{plan.version}.name", max_chars=120
    )
    plan.values["seed"] = head[1].number_input(
        "Seed",
        value=plan.values.get("seed", 0),
        step=1,
        key=f"build.{plan.version}.seed",
        help="Same seed, data and settings give the same weights on this machine",
    )
    st.subheader("Images", anchor=False)
    data_form(plan)
    st.subheader("Network", anchor=False)
    network_form(plan)
    st.subheader("Steps", anchor=False)
    if not plan.values["steps"]:
        st.info("No steps yet. Add train first, then export and measure.", icon=":material/playlist_add:")
    known = teachers()
    for place, step in enumerate(list(plan.values["steps"])):
        step_form(plan, place, step, known)
    with st.container(horizontal=True):
        for name, kind in STEPS.items():
            st.button(
                kind.title,
                icon=":material/add:",
                key=f"build.add.{name}",
                on_click=plan.add,
                args=(name,),
                help=kind.summary,
            )
        st.button(
            "Undo",
            icon=":material/undo:",
            key="build.undo",
            on_click=plan.undo,
            disabled=not plan.earlier,
            help="Takes back the last added, removed, moved or loaded steps",
        )

recipe: Recipe | None = None
with right:
    st.subheader("The plan", anchor=False)
    with guarded("the plan"):
        recipe = plan.recipe()
        if not recipe.steps:
            raise ValueError("the plan has no steps; add train first")
    if recipe is not None and recipe.steps:
        count = len(recipe.expand())
        if st.button(
            "Start" if count == 1 else f"Start {count} runs",
            type="primary",
            icon=":material/play_arrow:",
            key="build.start",
        ):
            ids: list[str] = []
            with guarded("starting"):
                ids = submit(recipe)
            if ids:
                st.switch_page("screens/runs.py", query_params={"run": ids[0]})
        with guarded("the estimate"):
            estimate(recipe)
        text = recipe.dump()
        st.code(text, language="yaml")
        st.download_button(
            "Download as YAML",
            text,
            file_name=f"{recipe.name.replace(' ', '_')}.yaml",
            mime="application/yaml",
            icon=":material/download:",
            on_click="ignore",
        )
        link = draft.link_of(recipe)
        if st.query_params.get("recipe") != link:
            st.query_params["recipe"] = link
        st.caption(":material/link: The address of this page holds the plan: it survives a refresh and can be shared.")
        on_the_command_line(submitting(text))
    with st.expander("Open a recipe file", icon=":material/upload_file:"), guarded("opening the recipe"):
        load_file(plan)
