"""Explore: the whole zoo as points, two designs side by side, and what fits within limits, before any training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

import zoo
from app import charts, costs, words, zoo_charts
from app.colours import colours
from app.costs import Choice
from app.explorer import LIMITS, Filters, fit_table, fitting, limit_words, limits_of, said_limits, table_of
from app.forms import resolution_in
from app.guard import guarded
from app.handover import command_words, open_in_design, use_in_build
from app.latency_view import foretold, machine_latency
from app.layer_view import cost_picker
from app.twin import line, on_the_command_line
from app.zoo_charts import AXES, key_of
from exports.mcu_boards import BOARDS, within
from pipelines.csv_text import csv_text
from zoo.designs import Design
from zoo.fitting import Fit
from zoo.limits import Limits

A, B, FAMILIES, X, Y = "explore.a", "explore.b", "explore.families", "explore.x", "explore.y"
TITLES = {name: family.title for name, family in zoo.ARCHITECTURES.items()}
RESOLUTIONS = sorted({side for family in zoo.ARCHITECTURES.values() for side in family.resolutions})
NOBODY = ""
FIRST_LIMITS = {"macs": 20.0, "predicted_int8_bytes": 500.0, "int8_peak_activation_bytes": 256.0}

COLUMNS = {
    "design": st.column_config.TextColumn(pinned=True, width=270),
    "multiply-adds": st.column_config.NumberColumn("multiply-adds (M)", format="%.1f", help="Millions, for one image"),
    "weights": st.column_config.NumberColumn("weights (M)", format="%.3f", help="Millions"),
    "memory access": st.column_config.NumberColumn(
        "memory access (MB)", format="%.2f", help="Read and written for one image in float32; 1 MB = 1,000,000 bytes"
    ),
    "activations": st.column_config.NumberColumn(
        "activations (kB)", format="%.0f", help="The most that is alive at once in int8, weights not counted"
    ),
    "int8 file": st.column_config.NumberColumn("int8 file (kB)", format="%.0f", help="Predicted; 1 kB = 1,000 bytes"),
    "latency": st.column_config.NumberColumn(
        "latency (ms)", format="%.2f", help="Of one image, float32 file on this machine, predicted from its calibration"
    ),
    "top-1": st.column_config.NumberColumn(
        "top-1 %, published", format="%.1f", help="As printed in papers, not measured here"
    ),
}


def read_address() -> None:
    """Takes axes, families and chosen designs from the address line, once per session."""
    if st.session_state.setdefault("explore.read", False):
        return
    st.session_state["explore.read"] = True
    asked = st.query_params.to_dict()
    for key, name in ((X, "x"), (Y, "y")):
        if asked.get(name) in AXES:
            st.session_state[key] = asked[name]
    known = [name for name in asked.get("families", "").split(",") if name in TITLES]
    if known:
        st.session_state[FAMILIES] = known
    for key, name in ((A, "a"), (B, "b")):
        if name in asked:
            st.session_state[key] = asked[name]


def write_address() -> None:
    state = st.session_state
    values = {
        "x": state.get(X, "") if state.get(X) != "macs" else "",
        "y": state.get(Y, "") if state.get(Y) != "params" else "",
        "families": ",".join(state.get(FAMILIES) or []),
        "a": state.get(A) or "",
        "b": state.get(B) or "",
    }
    values = {key: value for key, value in values.items() if value}
    if st.query_params.to_dict() != values:
        st.query_params.from_dict(values)


def pick(key: str) -> None:
    """What was clicked becomes design A, and A becomes B."""
    if key != st.session_state.get(A):
        st.session_state[B] = st.session_state.get(A, NOBODY)
        st.session_state[A] = key


def click(widget: str) -> None:
    points = st.session_state[widget].selection.points
    if points and points[0].get("customdata"):
        pick(points[0]["customdata"][0])


def tick(widget: str, keys: Sequence[str], take: Callable[[str], None]) -> None:
    chosen = st.session_state[widget].selection.rows
    if chosen and chosen[0] < len(keys):
        take(keys[chosen[0]])


def clear() -> None:
    st.session_state[FAMILIES] = []
    st.session_state["explore.version"] = st.session_state.get("explore.version", 0) + 1  # the fields start anew


def limit_fields(key: str, values: dict[str, float] | None = None) -> Limits:
    """A number field per limit, empty for none."""
    numbers: dict[str, float | None] = {}
    for column, (name, field) in zip(st.columns(len(LIMITS)), LIMITS.items(), strict=True):
        numbers[name] = column.number_input(
            f"{field.label} ({field.unit})", value=(values or {}).get(name), min_value=0.0, step=field.step,
            format="%g", key=f"{key}.{name}", placeholder="no limit", help=field.tip,
        )  # fmt: skip
    return limits_of(numbers)


def filter_fields() -> Filters:
    key = f"explore.filter.{st.session_state.get('explore.version', 0)}"
    names = st.multiselect(
        "Families",
        list(TITLES),
        key=FAMILIES,
        format_func=lambda one: TITLES[one],
        placeholder="all families",
        help="Type to search. In the chart a click on a name hides the family, a double click shows it alone.",
    )
    with st.expander("Filters: limits, resolution, operators, widths, classes", icon=":material/filter_alt:"):
        st.caption("At most:")
        limits = limit_fields(key)
        first, second, third = st.columns([2, 2, 1])
        sides = first.multiselect("Resolutions (pixels)", RESOLUTIONS, key=f"{key}.resolutions", placeholder="all")
        text = second.text_input(
            "Search designs", key=f"{key}.words", placeholder="small minimalistic, x 0.5 …",
            help="Words that the name of the design must hold",
        )  # fmt: skip
        classes = third.number_input(
            "Classes", value=1000, min_value=2, max_value=100_000, step=1, key=f"{key}.classes",
            help="The last layer grows with them: with 10 classes small networks are much smaller",
        )  # fmt: skip
        with st.container(horizontal=True):
            usual = st.toggle("Only the paper's resolution", key=f"{key}.usual")
            plain = st.toggle(
                "Plain operators only",
                key=f"{key}.plain",
                help="Convolutions, dense layers, ReLU, additions, concatenations and pooling: what every runtime and "
                "accelerator has. No gates, shuffles, swish or grouped convolutions.",
            )
            extensions = st.toggle(
                "Widths beyond the papers'",
                key=f"{key}.extensions",
                help="Also narrower networks of families whose paper has no width multiplier; drawn hollow",
            )
        st.button("Clear the filters", icon=":material/filter_alt_off:", on_click=clear, key="explore.clear")
    return Filters(tuple(names), limits, tuple(sides), int(classes or 1000), usual, plain, extensions, text or "")


def axis_fields() -> tuple[str, str, bool, bool]:
    found: list[tuple[str, bool]] = []
    columns = st.columns([5, 3, 5, 3], vertical_alignment="bottom")
    offered = [name for name in AXES if name != "latency_ms" or machine_latency() is not None]
    for place, (key, label, usual) in enumerate(((X, "Across", "macs"), (Y, "Upwards", "params"))):
        if st.session_state.setdefault(key, usual) not in offered:
            st.session_state[key] = usual
        name = columns[2 * place].selectbox(
            label,
            offered,
            key=key,
            format_func=lambda one: AXES[one][0],
            help="Counted from the design, without training. Published accuracy is copied from papers and was not "
            "measured here; the size of the int8 file is predicted, so is the latency once this machine is calibrated "
            "(on the Design page).",
        )
        wanted = columns[2 * place + 1].toggle(
            "Logarithmic", value=True, key=f"{key}.log", disabled=name == "top1", help=f"The axis {label.lower()}"
        )
        found.append((name, wanted and name != "top1"))
    return found[0][0], found[1][0], found[0][1], found[1][1]


def chart(shown: Sequence[Design], chosen: Sequence[Design | None]) -> None:
    x, y, log_x, log_y = axis_fields()
    drawn = [one for one in shown if getattr(one, x) is not None and getattr(one, y) is not None]
    if "top1" in (x, y):
        drawn = [one for one in drawn if "CIFAR" not in one.top1_note]
    if not drawn:
        st.info(
            "None of these designs has a published ImageNet accuracy; choose another axis.", icon=":material/inbox:"
        )
        return
    st.plotly_chart(
        zoo_charts.scatter(drawn, list(TITLES), x, y, colours(), log_x=log_x, log_y=log_y, chosen=chosen),
        theme=None,
        key="explore.chart",
        config=charts.CONFIG,
        on_select=lambda: click("explore.chart"),
        selection_mode="points",
        alt=f"{AXES[y][0]} over {AXES[x][0]} of {len(drawn)} designs; the table below holds the same numbers",
    )
    missing = len(shown) - len(drawn)
    left_out = f" {missing} without a published ImageNet accuracy are left out." if missing else ""
    st.caption(
        f"{len(drawn)} designs.{left_out} Large mark: the paper's own resolution. Hollow: a width beyond the paper. "
        "Click a mark or tick a row to make it design A; the one before it becomes B."
    )


def design_table(shown: Sequence[Design]) -> None:
    keys = [key_of(one) for one in shown]
    st.dataframe(
        table_of(shown),
        hide_index=True,
        placeholder="–",
        height=320,
        key="explore.table",
        on_select=lambda: tick("explore.table", keys, pick),
        selection_mode="single-row",
        column_config=COLUMNS,
        alt="Designs with their costs; tick a row to choose it",
    )
    st.download_button(
        "CSV of these designs",
        lambda: csv_text([one.as_dict() for one in shown]),
        file_name="litesmith_designs.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def pickers(known: dict[str, Design]) -> list[Design | None]:
    """Two fields that hold the chosen designs: what was clicked stands there, and a name can be typed."""
    for key in (A, B):
        if st.session_state.get(key) not in known:
            st.session_state[key] = NOBODY
    found = []
    for column, key, label in zip(st.columns(2, gap="large"), (A, B), ("Design A", "Design B"), strict=True):
        picked = column.selectbox(
            label,
            [NOBODY, *known],
            key=key,
            help="Type to search",
            format_func=lambda one: known[one].label if one else "none: type a name, or click above",
        )
        found.append(known.get(picked))
    return found


def side_by_side(chosen: Sequence[Design | None]) -> None:
    """The chosen designs: their numbers, what they cost by stage, and the way on."""
    there = [(letter, one) for letter, one in zip("AB", chosen, strict=True) if one is not None]
    facts = []
    for key, (label, _) in AXES.items():
        row = {"": label, **{f"{letter}: {one.label}": zoo_charts.said(one, key) for letter, one in there}}
        values = [getattr(one, key) for _, one in there]
        if len(there) == 2 and key != "top1" and None not in values:
            row["A / B"] = f"{values[0] / values[1]:.2g}"
        if key != "latency_ms" or None not in values:
            facts.append(row)
    special = {f"{letter}: {one.label}": ", ".join(map(words.operator, one.special)) or "none" for letter, one in there}
    facts.append({"": "Operators beyond the plain ones", **special})
    st.dataframe(facts, hide_index=True, height="content", placeholder="–", alt="The chosen designs side by side")
    what = cost_picker("explore.what")
    laid = [costs.costs(Choice.of(one))["layers"] for _, one in there]
    top = max(sum(kinds.values()) for layers in laid for kinds in zoo_charts.stages_of(layers, what).values())
    for column, (letter, one), layers in zip(st.columns(2, gap="large"), there, laid, strict=False):
        with column:
            st.plotly_chart(
                zoo_charts.per_stage(layers, what, f"{letter}: {one.label}", colours(), top=top),
                theme=None,
                key=f"explore.stages.{letter}",
                config=charts.CONFIG,
                alt=f"{AXES[what][0]} of {one.label} by stage",
            )
            ways_on(one, f"explore.{letter}", f" {letter}")


def ways_on(one: Design, key: str, letter: str = "") -> None:
    with st.container(horizontal=True):
        if st.button(f"Open{letter} in Design", key=f"{key}.design", icon=":material/architecture:"):
            open_in_design(Choice.of(one))
            st.switch_page("screens/design.py")
        if st.button(f"Use{letter} in Build", key=f"{key}.build", icon=":material/construction:"):
            use_in_build(Choice.of(one))
            st.switch_page("screens/build.py")


def all_designs() -> None:
    filters = filter_fields()
    with st.spinner("Counting every design"):
        known = {key_of(one): one for one in filters.whole()}
    shown = filters.kept()
    marked = [known.get(st.session_state.get(key, NOBODY)) for key in (A, B)]
    if "latency_ms" in (st.session_state.get(X), st.session_state.get(Y)):
        with st.spinner("Predicting the latency of every design"):
            shown, marked = foretold(shown), [one and foretold([one])[0] for one in marked]
    if shown:
        chart(shown, marked)
        design_table(shown)
    else:
        st.info(f"No design keeps within these filters. {filters.least()}", icon=":material/inbox:")
        st.button("Clear them", icon=":material/filter_alt_off:", on_click=clear, key="explore.clear_empty")
    st.subheader("Side by side", anchor=False)
    chosen = [one and foretold([one])[0] for one in pickers(known)]
    lines = [line(*filters.command())]
    if any(chosen):
        with guarded("the comparison"):
            side_by_side(chosen)
        lines += [line(*command_words(Choice.of(one))) for one in chosen if one is not None]
    else:
        st.caption("Choose one or two designs to see where in the network their cost is.")
    on_the_command_line(lines, "With --csv or --json the list holds every field.")
    write_address()


def take(key: str) -> None:
    st.session_state["explore.fit.choice"] = key


def what_fits() -> None:
    st.markdown(
        "The largest network of a family that keeps within limits. *Largest*: most multiply-adds among those that fit."
    )
    with st.form("explore.fit"):
        first, second, third = st.columns([3, 3, 2])
        name = first.selectbox(
            "Family",
            list(TITLES),
            index=list(TITLES).index("mobilenet_v2"),
            key="explore.fit.name",
            format_func=lambda one: TITLES[one],
            help="All its variants are searched, at every width. Type to search.",
        )
        sides = second.text_input(
            "Resolutions (pixels)",
            key="explore.fit.resolutions",
            placeholder="the usual ones",
            help="Separated by commas, such as 96, 128 or 96x128",
        )
        classes = third.number_input(
            "Classes", value=10, min_value=2, max_value=100_000, step=1, key="explore.fit.classes"
        )
        st.caption("At most; an empty field is no limit:")
        asked_for = limit_fields("explore.fit", FIRST_LIMITS)
        board = st.selectbox(
            "And on the board",
            list(BOARDS),
            index=None,
            key="explore.fit.board",
            format_func=lambda one: f"{BOARDS[one].title}: {BOARDS[one].flash:,} kB flash, {BOARDS[one].ram:,} kB RAM",
            placeholder="no board",
            help="Microcontroller boards, in kB of 1,024 bytes. The int8 file must fit the flash and the activations "
            "the RAM; code and structures of the runtime come on top. Export says exactly, from the file.",
        )
        limits = within(asked_for, BOARDS[board] if board else None)
        st.form_submit_button("Find the largest", type="primary", icon=":material/search:")
    typed = [part.strip() for part in (sides or "").split(",") if part.strip()]
    asked = [tuple(side) if isinstance(side, list) else side for side in map(resolution_in, typed)]
    if not limits.named:
        st.info("Fill in at least one limit, or choose a board.", icon=":material/edit:")
    else:
        with guarded("the search"):
            answer(fitting(name, limits, asked, int(classes or 10)))
    sides_words = ["--resolutions", ",".join(typed)] if typed else []
    flags = [*limit_words(asked_for), *(["--board", board] if board else [])] or ["--macs", "20M"]
    on_the_command_line(line("fit", name, *flags, *sides_words, "--classes", int(classes or 10)))


def answer(found: Fit) -> None:
    """The best in a sentence, the largest of every variant and resolution as a table, and the way on."""
    if found.best is None:
        allowed = found.limits.named
        needs = "; ".join(
            f"{LIMITS[name].label.lower()} {words.cost(name, value)} (allowed {words.cost(name, allowed[name])})"
            for name, value in found.least.items()
        )
        smallest = found.narrowest[0]
        st.warning(
            f"No {TITLES[found.name]} keeps within {said_limits(found.limits)}. The least that any of its networks "
            f"needs, each by itself: {needs}. The smallest is {smallest.label}.",
            icon=":material/block:",
        )
        return
    best = found.best
    st.success(
        f"**{best.label}** is the largest: {words.amount(best.macs)} multiply-adds, {words.amount(best.params)} "
        f"weights, an int8 file of about {words.size(best.predicted_int8_bytes)}, "
        f"{words.size(best.int8_peak_activation_bytes)} of activations."
        + ("" if best.in_paper else " Its width is beyond the paper, which has no multiplier."),
        icon=":material/flag:",
    )
    keys = [key_of(one) for one in found.rows]
    st.dataframe(
        fit_table(found),
        hide_index=True,
        height="content" if len(keys) < 12 else 400,
        key="explore.fit.table",
        on_select=lambda: tick("explore.fit.table", keys, take),
        selection_mode="single-row",
        column_config={
            **COLUMNS,
            **{
                f"{LIMITS[name].label} used": st.column_config.ProgressColumn(
                    f"{LIMITS[name].label.lower()}, of the limit", format="%.0f %%", min_value=0, max_value=100
                )
                for name in found.limits.named
            },
        },
        alt="The largest design of every variant and resolution that fits",
    )
    none = [one for one in found.narrowest if not found.limits.allow(one)]
    none.sort(key=lambda one: (one.chosen, str(one.resolution).rjust(12)))
    if none:
        named = "; ".join(f"{one.chosen} {one.resolution} px".strip() for one in none[:8])
        more = f" and {len(none) - 8} more" if len(none) > 8 else ""
        st.caption(f"Not even the narrowest fits at: {named}{more}.")
    if st.session_state.get("explore.fit.choice") not in keys:
        st.session_state["explore.fit.choice"] = keys[0]
    by_key = dict(zip(keys, found.rows, strict=True))
    picked = st.selectbox(
        "Go on with",
        keys,
        key="explore.fit.choice",
        format_func=lambda one: by_key[one].label,
        help="The largest first; a ticked row is taken as well",
    )
    ways_on(by_key[picked], "explore.fit")


st.title("Explore")
st.markdown("Every network of the zoo with what it costs, before anything is trained.")
read_address()
designs_tab, fit_tab = st.tabs(["All designs", "What fits"], key="explore.view", on_change="rerun")
if designs_tab.open:
    with designs_tab:
        all_designs()
if fit_tab.open:
    with fit_tab:
        what_fits()
