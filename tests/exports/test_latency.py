from __future__ import annotations

import json

import numpy as np
import pytest

from exports import Artifact, measure
from exports.latency import _repeats, round_seconds, verdict


def test_files_are_measured_side_by_side_with_intervals(artifacts: dict[str, Artifact]):
    wanted = [artifacts[one] for one in ("tflite_int8", "tflite_int16x8", "onnx_float32")]
    files = [(artifact.path, artifact.contract) for artifact in wanted]
    seen = []
    report = measure(files, rounds=8, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(number, 8) for number in range(1, 9)]
    first, slow, onnx = report.rows
    assert (first.ratio, first.verdict) == (1.0, "first")
    assert slow.ratio > 3, "int16 activations have no XNNPACK kernels"
    assert onnx.kernels == "onnxruntime"
    for row in report.rows:
        assert 0 < row.interval[0] <= row.median_ms <= row.interval[1]
        assert row.ratio_interval[0] <= row.ratio <= row.ratio_interval[1]
    assert report.machine["cpu"]
    assert report.machine["where"] == "host CPU"
    assert json.loads(json.dumps(report.as_dict()))["rounds"] == 8


def test_a_file_against_itself_is_close_to_one(artifacts: dict[str, Artifact]):
    # The interval itself is a matter of luck on a busy machine; a factor would be a fault of the protocol.
    artifact = artifacts["tflite_float32"]
    report = measure([(artifact.path, artifact.contract)] * 2, rounds=8)
    assert report.rows[1].ratio == pytest.approx(1.0, abs=0.25)


def test_a_neighbour_that_comes_within_a_round_does_not_change_the_ratio():
    turns = np.array([1.0] * 7 + [1.7] * 8 + [1.2] * 6)
    first, second, third = round_seconds([0.002 * turns, 0.0022 * turns, 0.03 * turns])
    assert (second / first, third / first) == pytest.approx((1.1, 15.0))
    assert first == pytest.approx(0.002 * 1.2)


def test_a_sample_that_something_hit_alone_does_not_count():
    ours, theirs = np.full(21, 0.001), np.full(21, 0.0011)
    ours[[2, 9, 15]] *= 3.0
    found = round_seconds([ours, theirs])
    assert found == pytest.approx([0.001, 0.0011])


def test_a_single_file_takes_the_median_of_its_samples():
    assert round_seconds([[0.003, 0.001, 0.002]]) == pytest.approx([0.002])


@pytest.mark.parametrize(
    ("seconds", "counts"),
    [
        ([0.0009, 0.0011], [2, 2]),  # by themselves 2 and 1
        ([0.0001, 0.0009, 0.002, 0.2], [10, 10, 5, 1]),
        ([0.02, 0.03], [1, 1]),
    ],
)
def test_files_of_like_speed_are_called_equally_often(seconds: list[float], counts: list[int]):
    assert _repeats(seconds) == counts


@pytest.mark.parametrize(
    ("ratio", "interval", "stable", "said"),
    [
        (0.5, (0.45, 0.55), True, "faster"),
        (2.0, (1.9, 2.1), True, "slower"),
        (1.1, (0.98, 1.2), True, "not distinguishable"),
        (1.005, (1.004, 1.006), True, "not distinguishable"),
        (2.0, (1.2, 4.0), False, "unstable"),
    ],
)
def test_only_what_the_interval_carries_is_claimed(
    ratio: float, interval: tuple[float, float], stable: bool, said: str
):
    assert verdict(ratio, interval, stable) == said


def test_nothing_few_rounds_and_files_that_do_not_run_are_refused(artifacts: dict[str, Artifact]):
    with pytest.raises(ValueError, match="at least one"):
        measure([])
    with pytest.raises(ValueError, match="at least 8"):
        measure([(artifacts["tflite_int8"].path, artifacts["tflite_int8"].contract)], rounds=3)
    for format_id in ("bundle", "keras"):
        with pytest.raises(ValueError, match="tflite and onnx"):
            measure([(artifacts[format_id].path, artifacts[format_id].contract)])
