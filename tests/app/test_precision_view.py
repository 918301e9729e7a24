"""Bits for every layer on the Export page: the chart, the trial, and the recipe it queues."""

from __future__ import annotations

import time

from app.colours import LIGHT
from app.precision_view import noise_by_layer
from pipelines.runs import Home, Registry
from tests.app.pages import complaints, field, screen

PATIENCE_S = 300
LAYERS = [
    {"name": "stem_conv", "bits": {"w8a8": {"noise": 1e-4, "bytes": 0}, "w4a8": {"noise": 2e-2, "bytes": -10}}},
    {"name": "depthwise", "bits": {"w8a8": {"noise": 3e-4, "bytes": 0}, "float": {"noise": 0.0, "bytes": 90}}},
]


def test_each_layer_has_a_mark_for_each_of_its_bits_and_none_for_no_noise() -> None:
    figure = noise_by_layer(LAYERS, LIGHT)
    marks = {line.name: (list(line.x), list(line.y)) for line in figure.data}
    assert marks["w8a8"] == (["stem_conv", "depthwise"], [1e-4, 3e-4])
    assert marks["w4a8"] == (["stem_conv"], [2e-2])
    assert marks["float"] == ([], [])
    assert figure.layout.yaxis.type == "log"


def test_the_page_tries_bits_and_queues_the_file_it_shows(home_with_run) -> None:
    registry = Registry(Home.open(home_with_run))
    (run,) = registry.list()
    test = screen("export", run=run.id)
    field(test.button, f"precision.{run.id}.ask").click().run()
    end = time.monotonic() + PATIENCE_S
    while not any("precision" in item.key and item.key.endswith(".adopt") for item in test.button if item.key):
        assert time.monotonic() < end, [item.value for item in test.error]
        time.sleep(1)
        test.run()
    assert not complaints(test)
    assert any(f"precision {run.id}" in item.value for item in test.code)
    begin = field(test.selectbox, ".from")
    begin.select(next(one for one in begin.options if one.endswith("of the bytes of int8"))).run()
    field(test.button, f"precision.{run.id}.adopt").click().run()
    queued = registry.list()[0]
    (step, *_) = queued.recipe["steps"]
    assert queued.id != run.id
    assert step["export"]["formats"] == ["tflite_mixed"]
    assert "w4a8" in step["export"]["precision"]
