"""Design: choose an architecture and see what it costs before anything is trained."""

from __future__ import annotations

from typing import Any

import streamlit as st

import zoo
from app import costs, words
from app.colours import colours
from app.costs import Choice
from app.forms import number_in, resolution_in, resolution_text
from app.guard import guarded
from app.guidelines import guidelines
from app.handover import KEPT, PINNED, command_words, use_in_build
from app.latency_view import latency_view, with_latency
from app.layer_view import layer_view
from app.twin import line, on_the_command_line
from zoo.blocks.rounding import ALL_STRIDES, below
from zoo.declaration import SMALL_INPUT
from zoo.designs import AXES, published
from zoo.grid import resolutions_of

VIEWS = ("Where the cost is", "Guidelines and roofline")
FIRST = Choice("mobilenet_v2", 0.5, 96, 10)  # small enough that the bars differ from the paper's network
NARROWEST, WIDEST = 0.05, 2.0  # of the slider; the field beside it takes every width


def from_address() -> Choice | None:
    """The choice in the address line, None when there is none. Values stay as typed; the zoo judges them."""
    asked = st.query_params.to_dict()
    if "name" not in asked:
        return None
    usual = Choice()
    family = zoo.ARCHITECTURES.get(asked["name"])
    options = {
        key.removeprefix("set."): value_in(family, key.removeprefix("set."), value)
        for key, value in asked.items()
        if key.startswith("set.")
    }
    side = family.usual_resolution(options) if family else usual.resolution
    return Choice(
        name=asked["name"],
        width=number_in(asked.get("width", str(usual.width))),
        resolution=resolution_in(asked.get("resolution", str(side))),
        classes=number_in(asked.get("classes", str(usual.classes))),
        channels=number_in(asked.get("channels", str(usual.channels))),
        options=options,
    )


def value_in(family: zoo.Architecture | None, name: str, text: str) -> Any:
    """An option's value out of the address: one of its choices by name, else a number, else the text."""
    option = family.option(name) if family else None
    offered = (option.choices or (True, False)) if option else ()
    return next((choice for choice in offered if str(choice) == text), number_in(text))


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
        st.session_state["design.slider"] = min(WIDEST, max(NARROWEST, float(width)))


def press() -> None:
    if st.session_state["design.published"] is not None:
        st.session_state["design.width"] = st.session_state["design.published"]
        typed()


def type_side() -> None:
    st.session_state["design.side_is_typed"] = True


def press_side() -> None:
    if st.session_state["design.usual"] is not None:
        st.session_state["design.resolution"] = str(st.session_state["design.usual"])
        st.session_state["design.side_is_typed"] = False


def follow() -> None:
    """After another family or variant was picked: its usual resolution, unless a person typed one that it takes; and
    width 1 where the family has no multiplier.
    """
    family = zoo.architecture(st.session_state["design.name"])
    kept = resolution_in(st.session_state["design.resolution"])
    sides = kept if isinstance(kept, list) else [kept]
    large_enough = all(isinstance(side, int) and side >= family.minimum_side for side in sides)
    if not (st.session_state.get("design.side_is_typed") and large_enough):
        chosen = {name: st.session_state.get(key) for name in AXES if (key := option_key(family, name))}
        options = {name: value for name, value in chosen.items() if value is not None}
        st.session_state["design.resolution"] = str(family.usual_resolution(options))
    if family.width_is_extension and st.session_state.get("design.family") != family.name:
        st.session_state["design.width"] = family.default_width
        typed()


def option_key(family: zoo.Architecture, name: str) -> str:
    return f"design.set.{family.name}.{name}"


def width_field(family: zoo.Architecture, now: float, options: dict[str, Any]) -> Any:
    st.session_state.setdefault("design.width", now)
    st.session_state.setdefault("design.slider", min(WIDEST, max(NARROWEST, float(now))))
    width = st.session_state["design.width"]
    published = family.published_widths(options)
    st.session_state["design.published"] = width if width in published else None
    wide, exact = st.columns([3, 1], vertical_alignment="bottom")
    wide.slider(
        "Width",
        NARROWEST,
        WIDEST,
        step=0.01,
        key="design.slider",
        on_change=slide,
        help="Multiplies the channels of every layer; 1.0 is the paper's",
    )
    exact.number_input("Width, exactly", step=0.01, format="%g", key="design.width", on_change=typed)
    if family.other_widths_are_extension(options):
        named = " and ".join(f"{one:g}" for one in published)
        st.caption(f":material/info: This paper has no width multiplier: every width but {named} is Litesmith's own.")
    if len(published) > 1:
        st.pills(
            "Published widths",
            published,
            key="design.published",
            on_change=press,
            format_func=lambda one: f"{one:g}",
        )
    return st.session_state["design.width"]


def resolution_field(family: zoo.Architecture, now: Any, options: dict[str, Any]) -> Any:
    st.session_state.setdefault("design.resolution", resolution_text(now))
    usual = resolutions_of(family, options)
    side = resolution_in(st.session_state["design.resolution"])
    st.session_state["design.usual"] = side if side in usual else None
    first, second = st.columns([1, 2], vertical_alignment="top")
    text = first.text_input(
        "Resolution",
        key="design.resolution",
        on_change=type_side,
        help=f"Pixels: one side, or height x width such as 96x128; at least {family.minimum_side} for this family",
    )
    second.pills(
        "Usual resolutions",
        usual,
        key="design.usual",
        on_change=press_side,
        help=f"The paper's is {family.usual_resolution(options)}.",
    )
    return resolution_in(text)


def option_field(family: zoo.Architecture, option: zoo.Option, value: Any) -> Any:
    label, key = words.label_of(option.name), option_key(family, option.name)
    if option.choices is not None:
        st.session_state.setdefault(key, value if value in option.choices else option.default)
        if option.name in (*AXES, SMALL_INPUT.name):
            picked = st.segmented_control(
                label,
                option.choices,
                required=True,
                help=option.help,
                key=key,
                on_change=follow,
                format_func=lambda one: str(one).replace("_", " "),
            )
            return option.default if picked is None else picked
        return st.selectbox(label, option.choices, help=option.help, key=key)
    if isinstance(option.default, bool):
        return st.toggle(label, bool(value), help=option.help, key=key)
    if isinstance(option.default, int):
        return st.number_input(label, value=int(value), step=1, help=option.help, key=key)
    return st.number_input(label, value=float(value), step=0.05, format="%g", help=option.help, key=key)


def choose(now: Choice) -> Choice:
    st.session_state.setdefault("design.name", now.name)
    name = st.selectbox(
        "Architecture",
        list(zoo.ARCHITECTURES),
        key="design.name",
        on_change=follow,
        format_func=lambda one: zoo.ARCHITECTURES[one].title,
        help="Type to search",
    )
    family = zoo.architecture(name)
    st.session_state["design.family"] = family.name
    given = now.options if now.name == family.name else {}
    st.caption(f"{family.summary} Source: {family.source}.")
    chosen: dict[str, Any] = {}
    for option in family.options:
        if option.name in AXES:
            chosen[option.name] = option_field(family, option, given.get(option.name, option.default))
    width = width_field(family, now.width, chosen)
    side = resolution_field(family, now.resolution, chosen)
    if family.option(SMALL_INPUT.name) and below(side, ALL_STRIDES):
        chosen[SMALL_INPUT.name] = option_field(family, SMALL_INPUT, given.get(SMALL_INPUT.name, SMALL_INPUT.default))
    second, third = st.columns(2)
    classes = second.number_input("Classes", value=int(now.classes), step=1, key="design.classes")
    channels = third.selectbox(
        "Channels",
        [3, 1],
        index=[3, 1].index(now.channels),
        key="design.channels",
        format_func=lambda one: "3 colour" if one == 3 else "1 grey",
    )
    further = [option for option in family.options if option.name not in (*AXES, SMALL_INPUT.name)]
    if further:
        names = ", ".join(option.name.replace("_", " ") for option in further)
        with st.expander(f"More options: {names}", icon=":material/tune:"):
            for option in further:
                chosen[option.name] = option_field(family, option, given.get(option.name, option.default))
    default = {option.name: option.default for option in family.options}
    options = {key: value for key, value in chosen.items() if value != default[key]}
    return Choice(family.name, width, side, classes, channels, options)


def printed_figures(choice: Choice) -> None:
    """What a paper or project prints about this very design, or about others of the family."""
    family = zoo.architecture(choice.name)
    if not family.published:
        return
    row = published(family, choice.width, choice.resolution, choice.options)
    if row is not None:
        parts = [
            f"top-1 **{row.top1:g} %**" if row.top1 is not None else "",
            f"{words.amount(1e6 * row.mega_macs)} multiply-adds" if row.mega_macs else "",
            f"{words.amount(1e6 * row.mega_params)} weights" if row.mega_params else "",
        ]
        on = f" ({row.note})" if row.note else " (ImageNet, 1,000 classes)"
        st.markdown(
            f":material/menu_book: **Published** for this design: {', '.join(part for part in parts if part)}{on}. "
            f"Source: {family.source}. Printed elsewhere, not measured here."
        )
    with st.expander(f"Published figures of {family.title}", icon=":material/menu_book:"):
        st.caption(f"As printed in {family.source} or its project, rounded there; not measured here.")
        st.dataframe(
            [
                {
                    "design": " ".join(filter(None, [costs.in_words(one.options), f"x {one.width:g}"])),
                    "resolution": one.resolution,
                    "top-1 %": one.top1,
                    "M multiply-adds": one.mega_macs,
                    "M weights": one.mega_params,
                    "remark": one.note,
                }
                for one in family.published
            ],
            hide_index=True,
            height="content",
            placeholder="–",
            alt=f"Published figures of {family.title}",
        )


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
        st.markdown(f"**{choice.title}**")
        reference = Choice(**st.session_state.get(PINNED, Choice().as_dict()))
        st.html(costs.bars(found, costs.costs(reference), colours()))
        st.caption(
            f"The upright mark is the reference: {reference.title}. Memory access and peak memory count what is "
            "left after folding norms and activations; the int8 file is predicted from the layers, all else is counted."
        )
        printed_figures(choice)
        with st.container(border=True), guarded("the latency"):
            latency_view(choice)
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
    looked_at = st.segmented_control(
        "Look at", VIEWS, default=VIEWS[0], required=True, key="design.look", label_visibility="collapsed"
    )
    if looked_at == VIEWS[1]:
        guidelines(choice)
        on_the_command_line(line("lint", *command_words(choice)[1:]))
    else:
        layer_view(with_latency(found["layers"], choice), choice.title, "design.view")
        on_the_command_line(line(*command_words(choice)))
