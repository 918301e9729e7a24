"""Questions on a page: what stands in the form becomes the command, and a command under way can be stopped."""

from __future__ import annotations

import threading
import time

import psutil
import pytest

from app.background import Errand
from app.colours import LIGHT
from app.precision_view import best_by_episode
from pipelines.runs import Home, Registry
from tests.app.pages import complaints, field, screen

PATIENCE_S = 120


def test_settings_become_the_command_and_stand_there_still(home_with_run) -> None:
    (run,) = Registry(Home.open(home_with_run)).list()
    key = f"export.precision.{run.id}"
    test = screen("export", run=run.id)
    field(test.text_input, f"{key}.setting.shares").set_value("0.9, 40").run()
    assert any("share 40 of the int8 budget" in item for item in complaints(test))
    assert field(test.button, f"{key}.ask").disabled
    field(test.text_input, f"{key}.setting.shares").set_value("0.9, 0.75").run()
    field(test.selectbox, f"{key}.setting.budget").select("bit_operations").run()
    field(test.button, f"{key}.ask").click().run()
    asked = f"precision {run.id} --budget bit_operations --shares 0.9 0.75"
    assert any(asked in item.value for item in test.code)
    field(test.button, f"{key}.other").click().run()
    assert field(test.text_input, f"{key}.setting.shares").value == "0.9, 0.75"
    assert field(test.selectbox, f"{key}.setting.budget").value == "bit_operations"


def test_a_command_that_is_stopped_leaves_nothing_behind(home_with_run) -> None:
    (run,) = Registry(Home.open(home_with_run)).list()
    errand = Errand("robustness", run.id, "--steps", "1000", "--restarts", "50", timeout_s=PATIENCE_S)
    ended: list[str] = []

    def ask() -> None:
        with pytest.raises(ValueError, match="cancelled") as found:
            errand()
        ended.append(str(found.value))

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: "of 255" in errand.last_line())
    (child,) = [one for one in psutil.Process().children() if "robustness" in one.cmdline()]
    errand.stop()
    asking.join(PATIENCE_S)
    assert ended == ["cancelled"]
    assert not child.is_running()


def test_a_command_that_fails_says_why(home_with_run) -> None:
    with pytest.raises(ValueError, match=r"r99999. is not in"):
        Errand("robustness", "r99999", timeout_s=PATIENCE_S)()


def test_the_agent_is_drawn_as_its_best_so_far_beside_chance_and_greed() -> None:
    rows = [
        {"title": "int8"},
        {"title": "75 %", "search": {"rewards": [3.0, 2.0, 5.0], "random": 4.0, "greedy": 6.0}},
    ]
    figure = best_by_episode(rows, LIGHT)
    (line,) = figure.data
    assert (list(line.x), list(line.y)) == ([1, 2, 3], [3.0, 3.0, 5.0])
    assert [one.y0 for one in figure.layout.shapes] == [4.0, 6.0]


def until(true) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)
