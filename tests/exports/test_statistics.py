from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from exports import mcnemar, paired_difference, wilson
from exports.statistics import median_interval

# (correct, n, low, high). Newcombe, Stat. Med. 17 (1998) 857, table I, method 3 (score without correction).
WILSON = [
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0000, 0.1611),
    (1, 29, 0.0061, 0.1718),
]


@pytest.mark.parametrize(("correct", "n", "low", "high"), WILSON)
def test_wilson_gives_the_published_intervals(correct: int, n: int, low: float, high: float):
    assert wilson(correct, n) == pytest.approx((low, high), abs=6e-5)


def test_wilson_of_nothing_knows_nothing_and_refuses_nonsense():
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="not possible"):
        wilson(3, 2)


def pairs(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Two vectors of answers with the given counts."""
    a = [True] * both + [True] * only_a + [False] * only_b + [False] * neither
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return np.array(a), np.array(b)


def test_few_disagreements_are_tested_exactly():
    # 1 against 7: 2 * (C(8,0) + C(8,1)) / 2**8 = 18 / 256.
    result = mcnemar(*pairs(1, 1, 7, 12))
    assert (result.only_a, result.only_b, result.method) == (1, 7, "exact binomial")
    assert result.p_value == pytest.approx(18 / 256)
    assert result.p_value == pytest.approx(stats.binomtest(1, 8).pvalue)


def test_many_disagreements_are_tested_by_chi_square_with_continuity():
    # (|86 - 150| - 1)**2 / 236 = 3969 / 236.
    result = mcnemar(*pairs(794, 150, 86, 570))
    assert result.p_value == pytest.approx(stats.chi2.sf(3969 / 236, 1))
    assert result.method.startswith("chi-square")


def test_equal_answers_give_no_evidence():
    assert mcnemar(*pairs(50, 0, 0, 3)).p_value == 1.0
    assert mcnemar(*pairs(50, 20, 20, 3)).p_value == 1.0


# (both, only first, only second, neither, difference, low, high) for first minus second: the Bonett-Price interval of
# the consolidation therapy data as the R package contingencytables (Fagerland, Lydersen, Laake) prints it.
BONETT_PRICE = [(59, 6, 16, 80, -0.0621, -0.1195, -0.0032)]


@pytest.mark.parametrize(("both", "first", "second", "neither", "difference", "low", "high"), BONETT_PRICE)
def test_the_paired_interval_is_the_published_one(
    both: int, first: int, second: int, neither: int, difference: float, low: float, high: float
):
    # Ours is second minus first, so the vectors are handed over in the other order.
    a, b = pairs(both, first, second, neither)
    assert paired_difference(b, a) == pytest.approx((difference, low, high), abs=6e-5)


def test_the_paired_interval_by_hand():
    # n = 21, 1 and 7: p = 2/23 and 8/23, half = 1.959964 * sqrt((10/23 - (6/23)**2) / 23).
    a, b = pairs(1, 7, 1, 12)
    half = 1.959964 * ((10 / 23 - (6 / 23) ** 2) / 23) ** 0.5
    assert paired_difference(a, b) == pytest.approx((-6 / 21, -6 / 23 - half, -6 / 23 + half), abs=1e-6)


# With four disagreements expected the method is known to be cautious (the added images weigh half as much as they do),
# so only too little coverage is a fault there.
@pytest.mark.parametrize(
    ("n", "loss", "gain", "most"),
    [(100, 0.02, 0.02, 1.0), (300, 0.05, 0.02, 0.975), (40, 0.10, 0.15, 0.975), (2000, 0.03, 0.04, 0.965)],
)
def test_the_paired_interval_covers_the_truth_about_as_often_as_it_says(n: int, loss: float, gain: float, most: float):
    random = np.random.default_rng(11)
    tables = random.multinomial(n, [1 - loss - gain, loss, gain], size=2000)
    covered = 0
    for _, only_a, only_b in tables:
        _, low, high = paired_difference(*pairs(int(n - only_a - only_b), int(only_a), int(only_b), 0))
        covered += low <= gain - loss <= high
    assert 0.935 <= covered / len(tables) <= most


def test_paired_answers_need_the_same_images():
    with pytest.raises(ValueError, match="same images"):
        mcnemar(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="no images"):
        paired_difference(np.ones(0), np.ones(0))


def test_the_interval_of_a_median_uses_the_widest_exact_order_statistics():
    # Ten values: coverage of (2nd, 9th) is 1 - 2 * 11/1024 = 0.979, of (3rd, 8th) 0.891 (David and Nagaraja, 7.1).
    assert median_interval([float(value) for value in range(1, 11)]) == (2.0, 9.0)
    assert median_interval([3.0, 1.0, 2.0]) == (1.0, 3.0)
