"""Milliseconds on the Design and Explore pages, before and after the machine is calibrated."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from exports.latency_model import sample_kernels
from pipelines.machine_latency import FILE, NETWORKS, calibrate
from pipelines.runs import Home
from tests.app.pages import complaints, field, screen


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a short calibration leaves: ten kernels of every kind and two families."""
    kernels = sample_kernels()
    few = [one for at, one in enumerate(kernels) if sum(other.kind == one.kind for other in kernels[:at]) < 10]
    home = Home.open(tmp_path_factory.mktemp("calibrated"))
    networks = [one for one in NETWORKS if one.name in ("mobilenet_v1", "resnet")]
    calibrate(home, passes=1, kernels=few, networks=networks, progress=lambda done, total, what: None)
    home.close()
    return home.folder / FILE


def said(test: AppTest) -> str:
    return "\n".join(item.value for item in test.markdown)


def test_design_offers_to_calibrate_and_to_time(empty_home: Path) -> None:
    test = screen("design")
    assert complaints(test) == []
    assert field(test.button, "design.calibrate").label == "Calibrate this machine"
    assert "predicted for one image" not in said(test)


def test_a_calibrated_machine_says_milliseconds_before_any_training(empty_home: Path, calibration: Path) -> None:
    empty_home.mkdir()
    shutil.copy(calibration, empty_home / FILE)
    test = screen("design")
    assert complaints(test) == []
    assert re.search(r"ms \(.* ms to .* ms\)\*\* predicted for one image", said(test))
    assert field(test.button, "design.calibrate").label == "Calibrate anew"
    field(test.button_group, "design.view.what").set_value("latency_ms").run()
    assert complaints(test) == []
    (table,) = [item.value for item in test.dataframe if "latency_ms" in item.value]
    assert (table["latency_ms"] > 0).sum() > 20


def test_a_design_is_timed_at_a_click(empty_home: Path) -> None:
    test = screen("design")
    field(test.button, "design.time").click().run()
    for _ in range(120):
        if "measured, 9 rounds" in said(test):
            return
        time.sleep(0.5)
        test.run()
    raise AssertionError("it was not timed")


def test_explore_lays_designs_out_by_latency_only_where_it_is_known(empty_home: Path, calibration: Path) -> None:
    test = screen("explore", x="latency_ms")
    assert complaints(test) == []
    assert field(test.selectbox, "explore.x").value == "macs"
    shutil.copy(calibration, empty_home / FILE)
    test = screen("explore", x="latency_ms", families="mobilenet_v1")
    assert complaints(test) == []
    assert field(test.selectbox, "explore.x").value == "latency_ms"
    (table,) = [item.value for item in test.dataframe if "latency" in item.value]
    assert (table["latency"] > 0).all()
