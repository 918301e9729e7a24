"""Design: choose an architecture and see what it costs before anything is trained."""

from __future__ import annotations

from typing import Any

import streamlit as st

import zoo
from app import charts, costs, draft, words
from app.colours import colours
from app.costs import Choice
from app.forms import number_in, resolution_in, resolution_text
from app.guard import guarded
from app.twin import line, on_the_command_line

KEPT, PINNED = "design", "design.reference"
FIRST = Choice("mobilenet_v2", 0.5, 96, 10)  # small enough that the bars differ from the paper's network
MOST_LAYERS = 400


def from_address() -> Choice | None:
    """The choice in the address line, None when there is none. Values stay as typed; the zoo judges them."""
    asked = st.query_params.to_dict()
    if "name" not in asked:
        return None
    options = {key.removeprefix("set."): number_in(value) for key, value in asked.items() if key.startswith("set.")}
    usual = Choice()
    return Choice(
        name=asked["name"],
        width=number_in(asked.get("width", str(usual.width))),
        resolution=resolution_in(asked.get("resolution", str(usual.resolution))),
        classes=number_in(asked.get("classes", str(usual.classes))),
        channels=number_in(asked.get("channels", str(usual.channels))),
        options=options,
    )


def to_address(choice: Choice) -> None:
    """Writes the choice into the address line, so that it can be copied and sent."""
    values = {
        "name": choice.name,
        "width": f"{choice.width:g}",
        "resolution": resolution_text(choice.resolution),
        "classes": str(choice.classes),
        "channels": str(choice.channels),
    }
    values |= {f"set.{key}": str(value) for key, value in choice.options.items()}
    if st.query_params.to_dict() != values:
        st.query_params.from_dict(values)


def opened() -> Choice:
    """What the page starts from: this session's choice, the address line, or the usual one."""
    if KEPT not in st.session_state:
        first = FIRST
        with guarded("reading the address"):
            first = from_address() or first
            zoo.architecture(first.name)
            costs.costs(first)
        try:
            costs.costs(first)
        except ValueError:  # said above; the form must start from something that can be drawn
            first = FIRST
        st.session_state[KEPT] = first.as_dict()
    return Choice(**st.session_state[KEPT])


def slide() -> None:
    st.session_state["design.width"] = st.session_state["design.slider"]


def typed() -> None:
    width = st.session_state["design.width"]
    if width is not None:
        st.session_state["design.slider"] = min(2.0, max(0.05, float(width)))


def press() -> None:
    if st.session_state["design.published"] is not None:
        st.session_state["design.width"] = st.session_state["design.published"]
        typed()


def width_field(family: zoo.Architecture, now: float) -> Any:
    st.session_state.setdefault("design.width", now)
    st.session_state.setdefault("design.slider", min(2.0, max(0.05, float(now))))
    width = st.session_state["design.width"]
    published = width if width in family.widths else None
    st.session_state["design.published"] = published
    wide, exact = st.columns([3, 1], vertical_alignment="bottom")
    wide.slider(
        "Width",
        0.05,
        2.0,
        step=0.01,
        key="design.slider",
        on_change=slide,
        help="Multiplies the channels of every layer; 1.0 is the paper's",
    )
    exact.number_input("Width, exactly", step=0.01, format="%g", key="design.width", on_change=typed)
    st.pills(
        "Published widths", family.widths, key="design.published", on_change=press, format_func=lambda one: f"{one:g}"
    )
    return st.session_state["design.width"]


def option_field(option: zoo.Option, value: Any) -> Any:
    label = words.label_of(option.name)
    if option.choices is not None:
        place = option.choices.index(value) if value in option.choices else 0
        return st.selectbox(label, option.choices, index=place, help=option.help, key=f"design.set.{option.name}")
    if isinstance(option.default, bool):
        return st.toggle(label, bool(value), help=option.help, key=f"design.set.{option.name}")
    if isinstance(option.default, int):
        return st.number_input(label, value=int(value), step=1, help=option.help, key=f"design.set.{option.name}")
    return st.number_input(
        label, value=float(value), step=0.05, format="%g", help=option.help, key=f"design.set.{option.name}"
    )


def choose(now: Choice) -> Choice:
    names = list(zoo.ARCHITECTURES)
    name = st.segmented_control(
        "Architecture",
        names,
        default=now.name,
        required=True,
        key="design.name",
        format_func=lambda one: zoo.ARCHITECTURES[one].title,
    )
    family = zoo.architecture(name or now.name)
    st.caption(f"{family.summary} Source: {family.source}.")
    width = width_field(family, now.width)
    first, second, third = st.columns(3)
    side = first.text_input(
        "Resolution",
        resolution_text(now.resolution),
        key="design.resolution",
        help="Pixels: one side, or height x width such as 96x128",
    )
    classes = second.number_input("Classes", value=int(now.classes), step=1, key="design.classes")
    channels = third.selectbox(
        "Channels",
        [3, 1],
        index=[3, 1].index(now.channels),
        key="design.channels",
        format_func=lambda one: "3 colour" if one == 3 else "1 grey",
    )
    st.caption("Usual resolutions: " + ", ".join(map(str, family.resolutions)))
    options: dict[str, Any] = {}
    with st.expander("Options of this architecture", icon=":material/tune:"):
        for option in family.options:
            value = option_field(option, now.options.get(option.name, option.default))
            if value != option.default:
                options[option.name] = value
    return Choice(family.name, width, resolution_in(side), classes, channels, options)


def command(choice: Choice) -> str:
    side = resolution_text(choice.resolution)
    settings = [word for key, value in choice.options.items() for word in ("--set", f"{key}={value}")]
    return line(
        "cost",
        choice.name,
        "--width",
        f"{choice.width:g}",
        "--resolution",
        side,
        "--classes",
        choice.classes,
        "--channels",
        choice.channels,
        *settings,
    )


def use_in_build(choice: Choice) -> None:
    plan = draft.current()
    plan.remember()
    plan.values["model"] = {"name": choice.name, "width": choice.width, "options": dict(choice.options)}
    plan.values["data"] |= {"resolution": choice.resolution}
    if choice.channels == 1 or plan.values["data"].get("channels"):
        plan.values["data"] |= {"channels": choice.channels}
    plan.version += 1


st.title("Design")
st.markdown("What a network will cost, before anything is trained.")

left, right = st.columns([1, 1], gap="large")
with left:
    choice = choose(opened())
found: dict[str, Any] | None = None
with right:
    st.subheader("Cost", anchor=False)
    with guarded("the cost"):
        found = costs.costs(choice)
    if found is not None:
        reference = Choice(**st.session_state.get(PINNED, Choice().as_dict()))
        st.html(costs.bars(found, costs.costs(reference), colours()))
        st.caption(
            f"The upright mark is the reference: {reference.title}. Memory access and peak memory count what is "
            "left after folding norms and activations; the int8 file is predicted from the layers, all else is counted."
        )
        with st.container(horizontal=True):
            if st.button("Pin this as the reference", icon=":material/push_pin:"):
                st.session_state[PINNED] = choice.as_dict()
                st.rerun()
            if st.button("Use this in Build", type="primary", icon=":material/construction:"):
                use_in_build(choice)
                st.switch_page("screens/build.py")

if found is not None:
    st.session_state[KEPT] = choice.as_dict()
    to_address(choice)
    st.caption(":material/link: The address of this page holds this design: copy it to share it.")
    st.subheader("Layer by layer", anchor=False)
    what = st.segmented_control(
        "Show",
        ["macs", "params", "memory_access_bytes"],
        default="macs",
        required=True,
        key="design.what",
        format_func=lambda one: {"macs": "Multiply-adds", "params": "Weights", "memory_access_bytes": "Memory access"}[
            one
        ],
    )
    drawn = [layer for layer in found["layers"] if layer[what or "macs"]]
    st.plotly_chart(
        charts.per_layer(drawn, what or "macs", choice.title, colours()),
        theme=None,
        key="design.layers",
        config=charts.CONFIG,
        alt=f"{what} of each layer; the table below holds the numbers",
    )
    search = (
        st.text_input("Search layers", placeholder="stage3, depthwise, conv …", key="design.search").lower().split()
    )
    table = [
        {**layer, "shape": " x ".join(map(str, layer["shape"]))}
        for layer in found["layers"]
        if all(word in f"{layer['name']} {layer['kind']} {layer['stage']}".lower() for word in search)
    ]
    numbers = {
        key: st.column_config.NumberColumn(format="localized") for key in ("params", "macs", "memory_access_bytes")
    }
    st.dataframe(table[:MOST_LAYERS], hide_index=True, column_config=numbers, height=320, alt="Layers with their costs")
    st.caption(f"{len(table)} of {len(found['layers'])} layers.")
    on_the_command_line(command(choice))
