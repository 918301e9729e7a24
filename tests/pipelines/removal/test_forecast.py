"""What a removal will leave, counted beforehand: the same counts as those of the network that is built."""

from __future__ import annotations

import pytest

import zoo
from app.forecast_view import chosen_row, shares
from pipelines.methods import METHODS
from pipelines.recipes import Recipe
from pipelines.removal.choose import Ladder, groups_of
from pipelines.removal.forecast import forecast, predicted
from zoo.channel_graph import ChannelGraph
from zoo.cut import cut
from zoo.cut_counts import CutCounter

ROWS = [
    {"level": 0.0, "macs": 1000, "params": 100, "channels": 50, "int8_bytes": 900},
    {"level": 0.5, "macs": 480, "params": 60, "channels": 30, "int8_bytes": 700},
    {"level": 1.0, "macs": 100, "params": 20, "channels": 10, "int8_bytes": 300},
]


@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet"])
def test_counts_and_bytes_of_a_level_are_those_of_its_cut(name) -> None:
    graph = ChannelGraph.of(zoo.build(name, width=0.35 if name == "mobilenet_v2" else 0.5, resolution=32, classes=5))
    groups = groups_of(graph, {int(unit): 1.0 for unit in graph.free}, least=4, multiple=4)
    ladder, counter = Ladder(graph, groups, "layer"), CutCounter(graph)
    for level in (0.3, 0.7):
        units = ladder.at(level, 1.0).units
        sketch = zoo.sketch_of(cut(graph, units))
        cost = zoo.cost_of(sketch)
        assert (ladder.amounts(level)["params"], ladder.amounts(level)["macs"]) == (cost.params, cost.macs)
        assert ladder.int8_bytes(level) == counter.int8_bytes(units) == zoo.predicted_int8_bytes(sketch)
    assert counter.int8_bytes(()) == zoo.predicted_int8_bytes(zoo.sketch_of(graph.model))


def test_rows_go_from_the_dense_network_to_the_floors() -> None:
    model = zoo.build("mobilenet_v1", width=0.25, resolution=32, classes=5, channels=1)
    settings = METHODS["random"].settings(skip="stage5_*")
    found = predicted(model, settings)
    macs = [row["macs"] for row in found["rows"]]
    assert macs == sorted(macs, reverse=True)
    assert len(set(macs)) == len(macs)
    assert found["rows"][0]["macs"] == zoo.cost_of(zoo.sketch_of(model)).macs
    assert not any(layer.startswith("stage5_") for group in found["layers"] for layer in group["layers"])


def test_the_page_shows_the_smallest_cut_that_is_enough() -> None:
    assert chosen_row(ROWS, "macs", 0.5) == ROWS[1]
    assert chosen_row(ROWS, "params", 0.5) == ROWS[2]
    assert chosen_row(ROWS, "macs", 0.95) is None
    assert chosen_row(ROWS, "latency", 0.95) == ROWS[0]


def test_lines_are_shares_of_the_dense_network() -> None:
    from app.colours import LIGHT

    figure = shares(ROWS, ROWS[1], LIGHT)
    assert list(figure.data[0].y) == [1.0, 0.48, 0.1]
    assert list(figure.data[0].x) == [1.0, 0.6, 0.2]


def test_a_child_counts_for_a_recipe_and_says_what_is_wrong(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("LITESMITH_HOME", str(tmp_path))
    plan = {"data": {"source": "digits", "resolution": 16}, "model": {"name": "mobilenet_v1", "width": 0.25}}
    settings = METHODS["random"].settings()
    found = forecast(Recipe.of({**plan, "steps": ["train"]}), settings)
    assert found["rows"][0]["params"] > found["rows"][-1]["params"]
    with pytest.raises(ValueError, match="there is no model file"):
        forecast(Recipe.of({**plan, "start": f"file:{tmp_path / 'none.h5'}", "steps": ["prune"]}), settings)
