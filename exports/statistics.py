"""Honest error bars: intervals for a share, for the difference of two shares on the same images, and McNemar's test.

Sources: Wilson, JASA 22 (1927) 209; McNemar, Psychometrika 12 (1947) 153, with the continuity correction of Edwards,
Psychometrika 13 (1948) 185; Bonett and Price, J. Educ. Behav. Stat. 37 (2012) 479, recommended for paired shares by
Fagerland, Lydersen and Laake, Stat. Med. 33 (2014) 2850; Holm, Scand. J. Stat. 6 (1979) 65, for many tests at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist, fmean, stdev

import numpy as np

# Below this many discordant pairs the chi-square approximation is not trusted (the usual textbook rule).
EXACT_BELOW = 25


@dataclass(frozen=True)
class McNemar:
    """`only_a`/`only_b`: images only the first/second file got right; `p_value` of "both are equally good"."""

    only_a: int
    only_b: int
    p_value: float
    method: str

    def as_dict(self) -> dict[str, object]:
        """JSON-ready values."""
        return asdict(self)


def wilson(correct: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for `correct` of `n`; (0, 1) when nothing was counted."""
    if not 0 <= correct <= n:
        raise ValueError(f"{correct} correct of {n} is not possible; 0 <= correct <= n")
    if n == 0:
        return 0.0, 1.0
    z = _z(confidence)
    share = correct / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(a_correct: np.ndarray, b_correct: np.ndarray) -> McNemar:
    """McNemar's test on two boolean vectors `(n,)` over the same images.

    Exact (two-sided binomial) below 25 discordant pairs, else chi-square with continuity correction.
    """
    only_a, only_b, _ = _discordant(a_correct, b_correct)
    together = only_a + only_b
    if together < EXACT_BELOW:
        tail = sum(math.comb(together, k) for k in range(min(only_a, only_b) + 1)) / 2**together
        return McNemar(only_a, only_b, min(1.0, 2 * tail), "exact binomial")
    square = (abs(only_a - only_b) - 1) ** 2 / together if only_a != only_b else 0.0
    # Survival function of chi-square with one degree of freedom.
    return McNemar(only_a, only_b, math.erfc(math.sqrt(square / 2)), "chi-square with continuity correction")


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values made fit for being looked at together: claiming those up to 0.05 errs at all in at most 5 of 100.

    Step-down: the least is multiplied by their number, the next by one less, and none falls below one before it.
    """
    adjusted = [0.0] * len(p_values)
    least = 0.0
    for done, at in enumerate(sorted(range(len(p_values)), key=lambda one: p_values[one])):
        least = max(least, min(1.0, (len(p_values) - done) * p_values[at]))
        adjusted[at] = least
    return adjusted


def paired_difference(
    a_correct: np.ndarray, b_correct: np.ndarray, *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Accuracy of b minus accuracy of a over the same images, with its Bonett-Price interval: (difference, low, high).

    One image is added to each kind of disagreement, `p = (count + 1) / (n + 2)`, and the ordinary interval is taken.
    """
    only_a, only_b, n = _discordant(a_correct, b_correct)
    if n == 0:
        raise ValueError("no images were compared; give at least one")
    loss, gain = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = _z(confidence) * math.sqrt((loss + gain - (gain - loss) ** 2) / (n + 2))
    return (only_b - only_a) / n, max(-1.0, gain - loss - half), min(1.0, gain - loss + half)


def median_interval(values: list[float], *, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of the median from the order statistics of `values`, free of any assumption on their shape.

    Its limits are the k-th least and k-th greatest value, k being the largest with a coverage of at least
    `confidence`; with fewer than six values no such k exists and the whole range is returned.

    Source: David and Nagaraja, Order Statistics (2003), section 7.1.
    """
    ordered = sorted(values)
    n = len(ordered)
    if n == 0:
        raise ValueError("the median of nothing has no interval; give at least one value")
    k = 1
    while 2 * (k + 1) <= n and 1 - 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n >= confidence:
        k += 1
    return ordered[k - 1], ordered[n - k]


def _discordant(a_correct: np.ndarray, b_correct: np.ndarray) -> tuple[int, int, int]:
    a, b = np.asarray(a_correct, bool), np.asarray(b_correct, bool)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"paired answers need the same images: got shapes {a.shape} and {b.shape}")
    return int((a & ~b).sum()), int((b & ~a).sum()), len(a)


def _z(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1; 0.95 is usual")
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean over repeats, Student's t: with few repeats it is wide, as it should be.

    Raises: ValueError for fewer than two values.
    """
    from scipy.stats import t

    if len(values) < 2:
        raise ValueError(f"an interval over repeats needs two values or more; got {len(values)}")
    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return fmean(values) - half, fmean(values) + half
