"""What Compare shows of each class, and Export of wrong feeds: pictures from values, pages from a real run."""

from __future__ import annotations

import time

from app.colours import LIGHT
from app.hurt_view import bars as class_bars
from app.skew_view import bars as skew_bars
from pipelines.runs import Home, Registry
from tests.app.pages import complaints, field, screen

PATIENCE_S = 300
CLASSES = [
    {"label": "shirt", "difference": -0.1, "low": -0.2, "high": -0.01, "lost": 12, "gained": 2, "images": 100,
     "verdict": "hurt"},
    {"label": "coat", "difference": 0.01, "low": -0.02, "high": 0.04, "lost": 1, "gained": 2, "images": 100,
     "verdict": ""},
]  # fmt: skip


def test_claimed_changes_are_filled_and_all_have_their_interval() -> None:
    (bar,) = class_bars(CLASSES, LIGHT).data
    assert list(bar.x) == ["shirt", "coat"]
    assert list(bar.marker.pattern.shape) == ["", "/"]
    assert [round(one, 6) for one in bar.error_y.arrayminus] == [0.1, 0.03]
    assert bar.marker.color[0] != bar.marker.color[1]


def test_mistakes_stand_beside_the_declared_feed() -> None:
    rows = [{"title": "BGR for RGB", "top1": 0.5, "low": 0.4, "high": 0.6}]
    figure = skew_bars({"rows": rows, "declared": {"top1": 0.9}}, LIGHT)
    (bar,) = figure.data
    assert (list(bar.x), list(bar.y)) == ([0.5], ["BGR for RGB"])
    assert figure.layout.shapes[0].x0 == 0.9


def test_compare_tells_each_class_and_shows_the_images_that_flipped(home_with_run) -> None:
    test = screen("compare")
    assert not complaints(test)
    shown = [item.value for items in (test.info, test.warning) for item in items]
    assert any("looked at together" in one for one in shown), shown
    assert any("--classes" in item.value for item in test.code)
    field(test.toggle, "compare.hurt.show").set_value(True).run()
    assert not complaints(test)
    assert any("Right before, wrong now" in item.value for item in test.markdown)


def test_export_tries_the_mistakes_and_says_what_it_found(home_with_run) -> None:
    (run,) = Registry(Home.open(home_with_run)).list()
    test = screen("export", run=run.id)
    ask = next(one for one in test.button if "export.skew" in str(one.key) and str(one.key).endswith("int8.ask"))
    ask.click().run()
    end = time.monotonic() + PATIENCE_S
    while not any("as declared" in item.value for items in (test.success, test.warning) for item in items):
        assert time.monotonic() < end
        assert not complaints(test)
        time.sleep(1)
        test.run()
    assert any("pipelines skew" in item.value for item in test.code)
