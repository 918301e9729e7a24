"""Who got hurt: planted damage is found first, chance is not taken for damage, and the command tells both."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports import holm
from pipelines.class_changes import class_changes, flips, in_words

LABELS = tuple(str(number) for number in range(10))


@pytest.fixture(scope="module")
def answered() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Digits, and what two different classifiers of about equal accuracy say of the half they did not see."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB

    digits = load_digits()
    order = np.random.default_rng(3).permutation(len(digits.images))
    pixels, true = digits.data[order] / 16, digits.target[order]
    # Few images to learn from, so that both err often and differ: a pair that never differs would prove nothing.
    first = LogisticRegression(max_iter=500).fit(pixels[:100], true[:100]).predict(pixels[300:])
    second = GaussianNB(var_smoothing=0.05).fit(pixels[100:300], true[100:300]).predict(pixels[300:])
    return true[300:], first, second


def test_nothing_is_claimed_where_only_chance_decides(answered):
    # Which of the two files gave which answer is thrown for every image: exactly "no difference", in every class.
    true, first, second = answered
    assert (first != second).mean() > 0.1
    rng = np.random.default_rng(11)
    claimed = 0
    for _ in range(100):
        swap = rng.random(len(true)) < 0.5
        before, after = np.where(swap, first, second), np.where(swap, second, first)
        claimed += any(one.verdict for one in class_changes(true, before, after, LABELS))
    assert claimed <= 5


@pytest.mark.parametrize("victim", range(10))
def test_damage_planted_in_one_class_is_ranked_first(answered, victim):
    true, first, second = answered
    rng = np.random.default_rng(victim)
    swap = rng.random(len(true)) < 0.5
    before, after = np.where(swap, first, second), np.where(swap, second, first)
    hit = np.flatnonzero((true == victim) & (after == victim))
    after[rng.choice(hit, len(hit) // 4, replace=False)] = (victim + 1) % 10
    found = class_changes(true, before, after, LABELS)
    assert (found[0].label, found[0].verdict) == (str(victim), "hurt")
    assert found[0].high < 0
    assert [one.label for one in found if one.verdict == "hurt"] == [str(victim)]


def test_a_gain_is_ranked_last_and_called_helped():
    true = np.repeat(np.arange(3), 60)
    before = np.where((true == 1) & (np.arange(180) % 3 == 0), 0, true)
    found = class_changes(true, before, true, ("a", "b", "c"))
    assert [one.verdict for one in found] == ["", "", "helped"]
    assert (found[-1].label, found[-1].lost, found[-1].gained, found[-1].after) == ("b", 0, 20, 1.0)
    words = {"classes": [{"label": one.label, "verdict": one.verdict} for one in found]}
    assert in_words(words) == "Helped: b (3 classes looked at together)."


def test_counts_flips_and_accuracies_belong_together(answered):
    true, first, second = answered
    found = class_changes(true, first, second, LABELS)
    lost, gained = flips(true, first, second)
    assert sum(one.lost for one in found) == len(lost)
    assert sum(one.gained for one in found) == len(gained)
    assert sum(one.images for one in found) == len(true)
    change = sum(one.difference * one.images for one in found) / len(true)
    assert change == pytest.approx((second == true).mean() - (first == true).mean())
    assert all(first[one.image] == one.true == one.before != one.after == second[one.image] for one in lost)
    assert all(one.low <= one.difference + 0.05 for one in found)


def test_a_class_without_images_is_not_looked_at():
    true = np.array([0, 0, 2])
    assert [one.label for one in class_changes(true, true, true, ("a", "b", "c"))] == ["a", "c"]


def test_holm_gives_the_worked_example():
    # Holm's procedure on 0.01, 0.04, 0.03, 0.005: 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04 may not fall below that.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=30))
def test_holm_keeps_the_order_and_never_makes_surer(p_values):
    adjusted = holm(p_values)
    assert all(one >= raw and one <= 1 for one, raw in zip(adjusted, p_values, strict=True))
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    assert all(adjusted[a] <= adjusted[b] for a, b in itertools.pairwise(order))
