"""Explore: every design drawn, found by filters, carried to Design, and the largest that fits."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import zoo
from app import zoo_charts
from app.colours import DARK, LIGHT
from app.explorer import Filters, fit_table, fitting, limit_words, limits_of
from app.zoo_charts import family_marks, key_of, kind_of, scatter, stages_of
from exports.mcu_boards import BOARDS
from pipelines.__main__ import main
from tests.app.pages import complaints, field, screen
from zoo.designs import design
from zoo.grid import grid
from zoo.limits import Limits

ROOT = Path(__file__).parents[2]


def drawn(test: AppTest) -> int:
    """How many designs the line under the chart says are drawn."""
    said = next(item.value for item in test.caption if " designs." in item.value)
    return int(said.split(" designs.")[0])


def test_all_designs_are_drawn(empty_home: Path) -> None:
    test = screen("explore")
    assert complaints(test) == []
    assert drawn(test) == len(grid())


def test_filters_leave_what_keeps_within_them(empty_home: Path) -> None:
    test = screen("explore")
    field(test.multiselect, ".families").set_value(["mobilenet_v1", "mobilenet_v2"])
    field(test.number_input, ".predicted_int8_bytes").set_value(1500.0)
    field(test.number_input, ".classes").set_value(10)
    test.run()
    assert complaints(test) == []
    expected = [
        one for one in grid(["mobilenet_v1", "mobilenet_v2"], classes=10) if one.predicted_int8_bytes <= 1_500_000
    ]
    assert drawn(test) == len(expected) > 0
    line = next(item.value for item in test.code)
    assert "zoo mobilenet_v1 mobilenet_v2 --grid --kb 1500 --classes 10" in line


def test_nothing_left_says_why_and_how_to_go_on(empty_home: Path) -> None:
    test = screen("explore")
    field(test.number_input, ".macs").set_value(0.001).run()
    assert complaints(test) == []
    assert "No design keeps within these filters" in test.info[0].value
    assert "the least they need is" in test.info[0].value
    field(test.button, "explore.clear_empty").click().run()
    assert drawn(test) == len(grid())


def test_two_designs_from_the_address_stand_side_by_side(empty_home: Path) -> None:
    first, second = design("mobilenet_v2", width=0.5), design("shufflenet_v2")
    test = screen("explore", a=key_of(first), b=key_of(second))
    assert complaints(test) == []
    assert field(test.selectbox, "explore.a").value == key_of(first)
    table = next(item.value for item in test.dataframe if "A / B" in item.value)
    assert list(table.columns) == ["", f"A: {first.label}", f"B: {second.label}", "A / B"]
    assert table["A / B"][0] == f"{first.macs / second.macs:.2g}"
    assert any("cost shufflenet_v2" in item.value for item in test.code)


def test_a_stale_address_opens_the_page_all_the_same(empty_home: Path) -> None:
    test = screen("explore", a="mobilenet_v9~1~224", x="taste", families="none_of_ours")
    assert complaints(test) == []
    assert field(test.selectbox, "explore.a").value == ""
    assert drawn(test) == len(grid())


def test_a_design_is_carried_to_the_design_page(empty_home: Path) -> None:
    one = next(one for one in grid() if one.chosen and one.usual_resolution)
    test = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=120).run()
    test.switch_page("screens/explore.py").run()
    field(test.selectbox, "explore.a").set_value(key_of(one)).run()
    field(test.button, "explore.A.design").click().run()
    assert complaints(test) == []
    assert test.session_state["design"]["name"] == one.name
    carried = zoo.architecture(one.name).settle(test.session_state["design"]["options"])
    assert {key: carried[key] for key in one.options} == dict(one.options)
    assert test.session_state["design"]["resolution"] == one.resolution


def test_the_largest_that_fits_is_answered_on_the_page(empty_home: Path) -> None:
    test = screen("explore")
    test.session_state["explore.view"] = "What fits"
    test.run()
    assert complaints(test) == []
    limits = Limits(macs=20_000_000, predicted_int8_bytes=500_000, int8_peak_activation_bytes=256_000)
    best = fitting("mobilenet_v2", limits, (), 10).best
    assert best is not None
    assert best.label in test.success[0].value
    assert "fit mobilenet_v2 --macs 20M --kb 500 --activation-kb 256 --classes 10" in test.code[0].value
    field(test.number_input, "fit.macs").set_value(0.001)
    test.button[0].click().run()
    assert complaints(test) == []
    assert "The least that any of its networks needs" in test.warning[0].value
    field(test.text_input, "fit.resolutions").set_value("96, sixty")
    test.button[0].click().run()
    assert "sixty" in test.error[0].value


def test_a_board_limits_what_fits(empty_home: Path) -> None:
    test = screen("explore")
    test.session_state["explore.view"] = "What fits"
    test.run()
    free = test.success[0].value
    field(test.selectbox, "fit.board").set_value("wio_terminal")
    test.button[0].click().run()
    assert complaints(test) == []
    board = BOARDS["wio_terminal"]
    limits = Limits(macs=20_000_000, predicted_int8_bytes=500_000, int8_peak_activation_bytes=1024 * board.ram)
    best = fitting("mobilenet_v2", limits, (), 10).best
    assert best is not None
    assert best.label in test.success[0].value
    assert test.success[0].value != free
    assert "--activation-kb 256 --board wio_terminal --classes 10" in test.code[0].value


def test_the_page_and_the_command_give_the_same_fit(empty_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limits = limits_of({"macs": 12.5, "predicted_int8_bytes": 300.0, "int8_peak_activation_bytes": None})
    assert limit_words(limits) == ["--macs", "12.5M", "--kb", "300"]
    assert main(["fit", "mobilenet_v1", *limit_words(limits), "--classes", "10", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    found = fitting("mobilenet_v1", limits, (), 10)
    assert [row["label"] for row in document["rows"]] == [row["design"] for row in fit_table(found)]


def test_filters_and_the_command_list_the_same_designs(capsys: pytest.CaptureFixture[str]) -> None:
    filters = Filters(("mobilenet_v2",), Limits(macs=300_000_000), resolutions=(96, 224), classes=10, plain_only=True)
    assert main([*map(str, filters.command()), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["label"] for row in rows] == [one.label for one in filters.kept()]
    assert rows


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_no_two_families_look_the_same(colours) -> None:
    names = list(zoo.ARCHITECTURES)
    assert (
        len(set(family_marks([*names, *(f"more{number}" for number in range(40))], colours).values()))
        == len(names) + 40
    )


def test_every_design_has_a_key_of_its_own_and_a_point() -> None:
    designs = grid(extensions=True)
    assert len({key_of(one) for one in designs}) == len(designs)
    figure = scatter(designs, list(zoo.ARCHITECTURES), "macs", "params", LIGHT, chosen=[designs[0], None])
    points = [point for trace in figure.data if trace.showlegend is None for point in trace.customdata]
    assert {point[0] for point in points} == {key_of(one) for one in designs}


@pytest.mark.parametrize("what", ["macs", "params", "memory_access_bytes"])
@pytest.mark.parametrize("name", list(zoo.ARCHITECTURES))
def test_stages_add_up_to_the_whole(name: str, what: str) -> None:
    cost = zoo.cost(name, resolution=max(32, zoo.architecture(name).minimum_side), classes=10)
    stages = stages_of(cost.layers, what)
    assert sum(sum(kinds.values()) for kinds in stages.values()) == getattr(cost, what)
    kinds = {kind_of(layer) for layer in cost.layers}
    assert kinds <= {*zoo_charts.KINDS, zoo_charts.OTHER}
