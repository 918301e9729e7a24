"""A machine is calibrated with few kernels and networks, and what it learnt is read back."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

import zoo
from exports.latency_model import Whole, sample_kernels
from pipelines.__main__ import main
from pipelines.machine_latency import DTYPES, FILE, NETWORKS, advice, calibrate, kept, left_out, timed
from pipelines.runs import Home
from zoo.costs import sums_of

FEW = [one for one in NETWORKS if one.name in ("mobilenet_v1", "mobilenet_v2", "resnet")]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory) -> Path:
    home = Home.open(tmp_path_factory.mktemp("home"))
    told: list[str] = []
    kinds: dict[str, int] = {}
    few = []
    for one in sample_kernels():
        kinds[one.kind] = kinds.get(one.kind, 0) + 1
        if kinds[one.kind] <= 40:
            few.append(one)
    found = calibrate(
        home, passes=1, kernels=few, networks=FEW, progress=lambda done, total, what: told.append(what)
    )
    assert list(dict.fromkeys(told)) == ["timing float32", "learning float32", "timing int8", "learning int8"]
    assert len(found["left_out"]) == 2 * len(FEW) == 2 * found["networks"]
    home.close()
    return home.folder


def test_networks_of_the_calibration_are_of_many_families_and_sizes():
    macs = [sums_of(one.sketch()).macs for one in NETWORKS]
    assert len(NETWORKS) >= 40
    assert len({one.name for one in NETWORKS}) >= 10
    assert min(macs) >= 1e6
    assert max(macs) <= 3e8
    for name in {one.name for one in NETWORKS}:  # or their order would be the timing's, not the network's
        own = sorted(count for count, one in zip(macs, NETWORKS, strict=True) if one.name == name)
        assert all(more > 1.2 * less for less, more in itertools.pairwise(own))
    moved = [sums_of(one.sketch()).memory_access for one in NETWORKS if one.name == "densenet"]
    assert all(more > 1.2 * less for less, more in itertools.pairwise(moved))


def test_more_work_is_predicted_to_take_longer_and_the_band_holds_the_prediction(calibrated):
    known = kept(calibrated)
    small, large = (
        known.predict(zoo.sketch("mobilenet_v2", width=0.5, resolution=side, form="deploy")) for side in (96, 224)
    )
    assert small.low < small.ms < small.high
    assert small.ms < large.ms
    assert large.high / large.ms == pytest.approx(known.learnt["float32"].spread)


def test_operations_add_up_to_the_network_and_folded_ones_take_nothing(calibrated):
    known = kept(calibrated)
    sketch = zoo.sketch("mobilenet_v2", width=0.5, resolution=96, form="deploy")
    found = known.by_operation(sketch)
    assert sum(found.values()) + known.learnt["float32"].model.call_ms == pytest.approx(known.predict(sketch).ms)
    assert {sketch[name].kind for name in found} == {"conv", "depthwise", "add", "global_pool", "dense"}


def test_a_family_is_judged_by_what_others_say(calibrated):
    model = kept(calibrated).learnt["float32"].model
    twice = {"mobilenet_v1": 2.0}  # as slow as any other family
    whole = [Whole(1.0, 0, twice.get(one.name, 1.0) + model.call_ms) for one in FEW]
    rows = left_out(model, whole, FEW)
    assert [row["name"] for row in rows] == [one.name for one in FEW]
    assert all(row["error"] == pytest.approx(row["predicted_ms"] / row["ms"] - 1) for row in rows)
    for row in rows:
        if row["name"] in twice:
            assert row["predicted_ms"] == pytest.approx(1.0 + model.call_ms)
        else:
            assert row["predicted_ms"] > 1.01 + model.call_ms


@pytest.mark.parametrize("change", [
    lambda found: found["about"]["machine"].update(cpu="another"),
    lambda found: found["about"]["machine"].update(ai_edge_litert="0.0"),
    lambda found: found.update(format=0),
    lambda found: found["learnt"].pop("int8"),
])  # fmt: skip
def test_what_was_learnt_of_something_else_is_not_used(calibrated, change, tmp_path):
    found = json.loads((calibrated / FILE).read_text())
    change(found)
    (tmp_path / FILE).write_text(json.dumps(found))
    assert kept(tmp_path) is None


def test_nothing_is_known_of_a_machine_that_was_not_calibrated_or_whose_file_is_broken(tmp_path):
    assert kept(tmp_path) is None
    (tmp_path / FILE).write_text("{")
    assert kept(tmp_path) is None


def test_a_design_is_timed_without_being_built(tmp_path):
    found = timed(Home.open(tmp_path), zoo.sketch("mobilenet_v1", width=0.25, resolution=64, classes=10, form="deploy"))
    for dtype in DTYPES:
        low, high = found[dtype]["interval"]
        assert 0 < low <= found[dtype]["ms"] <= high


def test_cost_says_what_is_predicted_and_what_was_measured(calibrated, monkeypatch, capsys):
    monkeypatch.setenv("LITESMITH_HOME", str(calibrated))
    words = ["cost", "mobilenet_v1", "--width", "0.25", "--resolution", "64", "--classes", "10"]
    assert main([*words, "--measure"]) == 0
    text = capsys.readouterr().out
    for dtype in DTYPES:
        assert f"{dtype}, predicted" in text
        assert f"{dtype}, measured" in text
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["predicted_latency"]["int8"]["low"] < document["predicted_latency"]["int8"]["high"]
    assert "measured_latency" not in document


def test_errors_of_a_busy_machine_are_said_to_be_that():
    assert advice([0.03, 0.05]) == ""
    assert advice([0.19, 0.03]).startswith("A median error of 19 % says that something else ran meanwhile")


def test_a_number_of_passes_that_cannot_be_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LITESMITH_HOME", str(tmp_path))
    assert main(["calibrate-machine", "--passes", "0"]) == 2
    assert "--passes 0: 1 to 20" in capsys.readouterr().err
