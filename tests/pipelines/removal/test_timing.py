"""A target in time is met by timing files: chosen once, refused before training when it cannot be."""

from __future__ import annotations

import pytest

from pipelines.method import Context
from pipelines.methods import METHODS
from pipelines.removal import timing
from pipelines.removal.choose import Ladder, groups_of
from pipelines.removal.timing import TimeTarget, choose_by_time, gain_in_words
from pipelines.training import session
from pipelines.training.watch import QuietWatch
from zoo.channel_graph import ChannelGraph


def test_milliseconds_need_the_target_latency() -> None:
    with pytest.raises(ValueError, match=r"latency_ms = 2 needs target: latency; it is macs"):
        METHODS["channel_norm"].settings(latency_ms=2)
    assert METHODS["channel_norm"].settings(latency_ms=2, target="latency").latency_ms == 2


def test_a_reader_is_told_when_nothing_became_faster() -> None:
    rows = {"tflite_int8": {"ratio": 0.99, "verdict": "not distinguishable"}, "tflite_float32": {"error": "no"}}
    assert gain_in_words(rows) == "no file became faster on this machine (time after / before: tflite_int8 0.99)"
    assert gain_in_words({**rows, "tflite_float32": {"ratio": 0.5, "verdict": "faster"}}) is None
    assert gain_in_words({"tflite_int8": {"error": "no"}}) is None
    busy = gain_in_words({**rows, "tflite_float32": {"ratio": 0.4, "verdict": "unstable"}})
    assert busy == (
        "the machine was too busy to say whether a file became faster "
        "(time after / before: tflite_int8 0.99, tflite_float32 0.40, unstable)"
    )


@pytest.mark.slow
def test_the_cut_is_as_small_as_the_time_allows_and_is_not_chosen_twice(small_digits, tmp_path, monkeypatch) -> None:
    import zoo

    session.open_session(0)
    model = zoo.build("mobilenet_v1", width=1.0, resolution=8, classes=10, channels=1)
    graph = ChannelGraph.of(model)
    groups = groups_of(graph, {int(unit): float(unit) for unit in graph.free}, least=8, multiple=8)
    context = Context(small_digits, 0, QuietWatch(tmp_path))
    asked = Ladder(graph, groups, "layer"), TimeTarget(0.4, "tflite_float32"), context
    chosen, rows = choose_by_time(*asked)
    assert chosen.left <= 0.6
    assert rows[0]["level"] == 1.0
    assert min(row["ratio"] for row in rows) <= 0.6 < max(row["ratio"] for row in rows)

    monkeypatch.setattr(timing, "_Clock", None)
    again, same = choose_by_time(*asked)
    assert again.units.tolist() == chosen.units.tolist()
    assert same == rows


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"latency_ms": 5_000.0}, "the dense file takes .* ms here already"),
        ({"remove": 0.99}, r"of the latency is not possible.*the largest cut takes"),
    ],
)
def test_what_cannot_be_is_refused_before_a_method_trains(asked, words, small_digits, tmp_path) -> None:
    from tests.pipelines.small import network

    session.open_session(0)
    method = METHODS["network_slimming"]
    plan = method.settings(target="latency", timed_format="tflite_float32", least=4, multiple=4, **asked)
    watch = QuietWatch(tmp_path)
    with pytest.raises(ValueError, match=words):
        method.apply(network(), plan, Context(small_digits, 0, watch))
    assert not watch.rows
