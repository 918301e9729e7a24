"""Design: families and variants bring their usual resolution, and a slider move renews every number."""

from __future__ import annotations

from pathlib import Path

import pytest

import zoo
from app.costs import Choice, costs
from tests.app.pages import complaints, field, screen

ROOT = Path(__file__).parents[2]
WITH_VARIANT = next(
    (name for name, family in zoo.ARCHITECTURES.items() if family.variant_resolutions), None
)  # one whose variants have usual resolutions of their own


@pytest.mark.parametrize("name", list(zoo.ARCHITECTURES))
def test_every_family_can_be_chosen_and_comes_at_its_usual_resolution(name: str, empty_home: Path) -> None:
    test = screen("design")
    field(test.selectbox, "design.name").set_value(name).run()
    assert complaints(test) == []
    family = zoo.architecture(name)
    side = 96 if name == "mobilenet_v2" else family.usual_resolution({})  # the page opens with MobileNetV2 at 96
    assert field(test.text_input, "design.resolution").value == str(side)
    assert test.session_state["design"]["name"] == name
    if family.width_is_extension:
        assert test.session_state["design"]["width"] == 1.0


def test_a_typed_resolution_stays_when_the_family_changes(empty_home: Path) -> None:
    test = screen("design")
    field(test.text_input, "design.resolution").set_value("64x80").run()
    field(test.selectbox, "design.name").set_value("mobilenet_v1").run()
    assert complaints(test) == []
    assert field(test.text_input, "design.resolution").value == "64x80"


@pytest.mark.skipif(WITH_VARIANT is None, reason="no family has variants with resolutions of their own")
def test_a_variant_brings_its_own_resolution(empty_home: Path) -> None:
    family = zoo.architecture(WITH_VARIANT)
    variant, side = next(iter(family.variant_resolutions.items()))
    test = screen("design", name=family.name)
    key = f"design.set.{family.name}.variant"
    next(item for item in test.button_group if item.key == key).set_value(variant).run()
    assert complaints(test) == []
    assert field(test.text_input, "design.resolution").value == str(side)
    assert test.session_state["design"]["options"].get("variant", variant) == variant


def test_an_address_without_a_resolution_takes_the_papers(empty_home: Path) -> None:
    name = next(name for name, family in zoo.ARCHITECTURES.items() if family.default_resolution != 224)
    test = screen("design", name=name)
    assert complaints(test) == []
    assert test.session_state["design"]["resolution"] == zoo.architecture(name).default_resolution


def test_published_figures_are_called_published(empty_home: Path) -> None:
    test = screen("design", name="mobilenet_v2", width="1.0", resolution="224")
    said = next(item.value for item in test.markdown if "Published" in item.value)
    assert "71.8 %" in said
    assert "not measured here" in said
    test = screen("design", name="mobilenet_v2", width="0.9", resolution="224")
    assert not any("Published" in item.value for item in test.markdown)


def test_layers_are_searched_and_shown_by_stage(empty_home: Path) -> None:
    test = screen("design", name="mobilenet_v2", width="1.0", resolution="224")
    whole = costs(Choice())["layers"]
    assert len(test.dataframe[-1].value) == len(whole)
    field(test.selectbox, "design.view.stage").set_value("stage3").run()
    rows = test.dataframe[-1].value
    assert set(rows["stage"]) == {"stage3"}
    macs = sum(layer["macs"] for layer in whole)
    assert rows["share"].sum() == pytest.approx(
        100 * sum(layer["macs"] for layer in whole if layer["stage"] == "stage3") / macs
    )
    field(test.text_input, "design.view.search").set_value("depthwise conv").run()
    assert {"depthwise"} == set(test.dataframe[-1].value["kind"])
    field(test.text_input, "design.view.search").set_value("no such layer").run()
    assert any("No layer" in item.value for item in test.info)
    assert complaints(test) == []


@pytest.mark.parametrize("name", ["mobilenet_v2", "nasnet"])
def test_a_slider_move_renews_every_number(name: str, empty_home: Path) -> None:
    test = screen("design", name=name)
    widths, seen = (0.31, 0.47, 0.95), set()
    for width in widths:
        field(test.slider, "design.slider").set_value(width).run()
        seen.add(sum(test.dataframe[-1].value["macs"]))
    assert complaints(test) == []
    assert len(seen) == len(widths)
