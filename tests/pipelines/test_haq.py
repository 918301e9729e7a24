"""The agent that chooses bits: its wall, its budget in every episode, one seed one choice, a learner that learns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import haq
from pipelines.bit_budget import Option, Unreachable, cheapest

FACTS = [
    {"operator": "DEPTHWISE_CONV_2D" if number % 2 else "CONV_2D", "inputs": 8 << number, "outputs": 16 << number,
     "stride": 1 + number % 2, "kernel": 3, "weights": 100 << number, "places": 256 >> number}
    for number in range(4)
]  # fmt: skip


def table(seed=0):
    """Four layers with three options each; more bytes, less noise."""
    draw = np.random.default_rng(seed)
    return {
        f"layer{number}": [Option(bits, cost * float(draw.integers(50, 400)), float(draw.uniform(0.5, 2)) / cost**2)
                           for bits, cost in (("w4a8", 1.0), ("w8a8", 2.0), ("w8a16", 3.0))]
        for number in range(4)
    }  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1), st.lists(st.integers(0, 2), min_size=4, max_size=4))
def test_the_wall_keeps_every_limit_that_can_be_kept_and_raises_nothing(seed, share, picked) -> None:
    ladders = [sorted(able, key=lambda one: one.cost) for able in table(seed).values()]
    least, most = (sum(ladder[at].cost for ladder in ladders) for at in (0, -1))
    limit = least + share * (most - least)
    found = haq.walled(ladders, picked, limit)
    assert sum(ladder[at].cost for ladder, at in zip(ladders, found, strict=True)) <= limit * (1 + 1e-12)
    assert all(after <= before for after, before in zip(found, picked, strict=True))


def test_the_wall_lowers_the_last_layers_first() -> None:
    ladders = [[Option("w4a8", 1.0, 2.0), Option("w8a8", 2.0, 1.0)]] * 4
    assert haq.walled(ladders, [1, 1, 1, 1], 6.0) == [1, 1, 0, 0]
    assert haq.walled(ladders, [1, 1, 1, 1], 3.0) == [0, 0, 0, 0]


def test_a_search_repeats_itself_keeps_its_limit_and_is_judged_beside_chance_and_greedy() -> None:
    options = table()
    limit = sum(able[1].cost for able in options.values())
    first, again = (haq.search(options, FACTS, limit, episodes=40, seed=3) for _ in range(2))
    assert first == again
    assert len(first.rewards) == 40
    assert sum(one.cost for one in first.taken.values()) <= first.most_spent <= limit
    best = haq.decibels(sum(one.noise for one in first.taken.values()))
    assert best == pytest.approx(max(first.rewards))
    assert best <= haq.decibels(sum(one.noise for one in cheapest(options, limit).values())) + 1e-9
    assert first.control == haq.random_control(options, limit, episodes=40, seed=3)


def test_without_a_budget_that_binds_the_agent_learns_to_ask_for_the_most() -> None:
    options = table()
    found = haq.search(options, FACTS, sum(able[2].cost for able in options.values()), episodes=150, seed=0)
    assert np.mean(found.rewards[-20:]) > np.mean(found.rewards[: haq.WARM_UP])


def test_a_limit_that_cannot_be_reached_is_refused() -> None:
    with pytest.raises(Unreachable, match="even the cheapest bits"):
        haq.search(table(), FACTS, 1.0, episodes=30, seed=0)
