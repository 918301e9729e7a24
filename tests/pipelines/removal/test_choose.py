"""Which units go: targets are reached exactly as counted, floors and multiples hold, and what cannot be is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import zoo
from pipelines.removal.choose import choose, groups_of
from zoo.channel_graph import ChannelGraph
from zoo.cut import cut
from zoo.cut_counts import CutCounter


@pytest.fixture(scope="module")
def graph() -> ChannelGraph:
    return ChannelGraph.of(zoo.build("mobilenet_v2", width=0.5, resolution=32, classes=5, channels=1))


def scores_of(graph: ChannelGraph, seed: int = 0) -> dict[int, float]:
    draw = np.random.default_rng(seed)
    return {int(unit): float(draw.random()) for unit in graph.free}


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("target", ["macs", "params", "channels"])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.7])
def test_the_target_is_reached_and_not_overshot_by_much(graph, share, target, scope) -> None:
    groups = groups_of(graph, scores_of(graph), least=4, multiple=4)
    chosen = choose(graph, groups, share=share, target=target, scope=scope)
    assert 1 - share - 0.08 < chosen.left <= 1 - share
    small = cut(graph, chosen.units)
    cost = zoo.cost_of(zoo.sketch_of(small))
    assert (cost.params, cost.macs) == (chosen.params, chosen.macs)


@pytest.mark.parametrize("name", ["shufflenet_v2", "xception", "mobilenet_v3", "densenet"])
def test_counts_of_a_cut_are_those_of_the_model_that_is_built(name) -> None:
    options = {"densenet": {"variant": "cifar40"}}.get(name, {})
    side = max(32, zoo.architecture(name).minimum_side)
    graph = ChannelGraph.of(zoo.build(name, width=0.25, resolution=side, classes=3, channels=1, **options))
    groups = groups_of(graph, scores_of(graph), least=1, multiple=1)
    chosen = choose(graph, groups, share=0.5, target="channels", scope="layer")
    cost = zoo.cost_of(zoo.sketch_of(cut(graph, chosen.units)))
    assert CutCounter(graph).counts(chosen.units) == (cost.params, cost.macs)


def test_multiples_floors_and_skipped_layers_hold(graph) -> None:
    skip = ["stage3_*"]
    groups = groups_of(graph, scores_of(graph), least=16, multiple=8, skip=skip)
    chosen = choose(graph, groups, share=0.3, target="channels", scope="global")
    small = cut(graph, chosen.units)
    for layer in small.layers:
        before = graph.model.get_layer(layer.name)
        if type(layer).__name__ != "Conv2D":
            continue
        if layer.name.startswith("stage3_"):
            assert layer.filters == before.filters
        elif layer.filters != before.filters:
            assert layer.filters % 8 == 0
            assert layer.filters >= 16


def test_the_lowest_scores_of_each_layer_go(graph) -> None:
    scores = scores_of(graph)
    chosen = choose(
        graph, groups_of(graph, scores, least=1, multiple=1), share=0.4, target="channels", scope="layer"
    )
    gone = set(chosen.units.tolist())
    for group, kept in chosen.groups:
        ranked = sorted(group.units.tolist(), key=lambda unit: scores[unit])
        assert set(ranked[: len(ranked) - kept]) == gone & set(ranked)


def test_what_the_floors_forbid_is_refused_with_what_is_possible(graph) -> None:
    groups = groups_of(graph, scores_of(graph), least=64, multiple=8)
    with pytest.raises(ValueError, match=r"remove = 0\.9 of the macs is not possible.*at most 0\.\d+ can go"):
        choose(graph, groups, share=0.9, target="macs", scope="layer")
    with pytest.raises(ValueError, match="at most 0 can go"):
        choose(
            graph, groups_of(graph, scores_of(graph), least=1, multiple=1, skip=["*"]),
            share=0.1, target="macs", scope="layer",
        )  # fmt: skip


def test_raw_scores_have_one_threshold_and_relative_ones_do_not(graph) -> None:
    """The first group's scores are a hundredth of the others': raw, it goes first and to its floor."""
    groups = groups_of(graph, scores_of(graph), least=1, multiple=1)
    groups[0] = replace(groups[0], scores=groups[0].scores / 100)
    kept = {}
    for raw in (False, True):
        chosen = choose(graph, groups, share=0.3, target="channels", scope="global", raw=raw)
        kept[raw] = chosen.groups[0][1]
        if raw:
            gone = np.concatenate([group.scores[np.isin(group.units, chosen.units)] for group in groups])
            stay = np.concatenate([group.scores[~np.isin(group.units, chosen.units)] for group in groups[1:]])
            assert gone.max() < stay.min()
    assert kept[True] == 1 < kept[False]


def test_layers_whose_units_have_no_score_are_left_alone(graph) -> None:
    scores = scores_of(graph)
    whole = groups_of(graph, scores, least=1, multiple=1)
    without = groups_of(
        graph, {unit: score for unit, score in scores.items() if unit != int(whole[1].units[0])}, least=1, multiple=1
    )
    assert [group.layers for group in without] == [whole[0].layers, *(group.layers for group in whole[2:])]
