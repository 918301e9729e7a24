"""What the Export page shows of an int8 file: its costly layers with causes, and the calibration lab."""

from __future__ import annotations

import time

from app.calibration_view import best_of, by_size
from app.colours import LIGHT
from app.noise_view import costs, growth
from app.remedies_view import accuracy_over_bytes
from pipelines.runs import Home, Registry
from tests.app.pages import complaints, field, screen

PATIENCE_S = 300
PLACES = [
    {"number": 0, "layer": "stem_conv", "operator": "CONV_2D", "cost": 0.004, "cost_output": 0.003,
     "cost_weights": 0.001, "reached": 0.01, "noise": 0.001},
    {"number": 3, "layer": "", "operator": "FULLY_CONNECTED", "cost": None, "cost_output": None,
     "cost_weights": None, "reached": 0.1, "noise": 0.0},
]  # fmt: skip
SIZES = [
    {"images": 8, "ranges": "min_max", "top1": 0.9, "low": 0.85, "high": 0.95},
    {"images": 100, "ranges": "min_max", "top1": 0.95, "low": 0.94, "high": 0.96},
]


def test_bars_stand_in_the_order_of_the_file_and_untried_layers_at_zero() -> None:
    output, weights = costs(PLACES, LIGHT).data
    assert list(output.x) == [0, 3]
    assert list(output.y) == [0.003, 0.0]
    assert list(weights.y) == [0.001, 0.0]
    assert output.customdata[1][0] == "logits"


def test_growth_is_in_decibels_and_no_noise_is_no_point() -> None:
    reached, own = growth(PLACES, LIGHT).data
    assert list(reached.y) == [20.0, 10.0]
    assert list(own.y) == [30.0, None]


def test_sizes_have_their_intervals_and_the_best_is_the_largest_with_the_least_noise() -> None:
    (line,) = by_size(SIZES, 0.97, LIGHT).data
    assert list(line.x) == ["8", "100"]
    assert [round(value, 6) for value in line.error_y.arrayminus] == [0.05, 0.01]
    assert best_of({"summary": SIZES, "best_ranges": "mse"}) == {"calibration_images": 100, "ranges": "mse"}


def test_each_tried_file_is_a_point_with_its_interval() -> None:
    row = {"title": "plain int8", "bytes": 2000, "top1": 0.9, "low": 0.85, "high": 0.93}
    (point,) = accuracy_over_bytes([row], {"top1": 0.95}, LIGHT).data
    assert (list(point.x), list(point.y)) == ([2.0], [0.9])
    assert [round(one, 6) for one in point.error_y.array] == [0.03]


def test_the_page_tries_calibrations_queues_the_best_and_says_what_cannot_be(home_with_run) -> None:
    """The run has had one epoch and answers alike for all images: no layer can be blamed for that."""
    registry = Registry(Home.open(home_with_run))
    (run,) = registry.list()
    test = screen("export", run=run.id)
    field(test.button, "tflite_int8.ask").click().run()
    waited_for(test, "train the network first")
    assert any("localise" in item.value for item in test.code)
    field(test.button, f"{run.id}.ask").click().run()
    waited_for(test, "images are enough", "No size is safe")
    assert len(complaints(test)) == 1
    field(test.button, f"{run.id}.adopt").click().run()
    queued = registry.list()[0]
    (step, *_) = queued.recipe["steps"]
    assert queued.id != run.id
    assert step["export"]["calibration_images"] == 400
    line = next(item.value for item in test.code if "--calibration-images" in item.value)
    assert f"--ranges {step['export'].get('ranges', 'min_max')}" in line


def waited_for(test, *texts: str) -> None:
    """Runs the page again until one of the texts is on it."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        shown = [item.value for items in (test.error, test.success, test.warning) for item in items]
        if any(text in one for text in texts for one in shown):
            return
        time.sleep(1)
        test.run()
    raise AssertionError(f"not within {PATIENCE_S} s: {texts}; shown: {shown}")
