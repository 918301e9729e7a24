"""Ranks: planted ones under noise, shares of energy, rounding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.factorisation.ranks import Spectrum, evbmf, rounded


def noisy(rank: int, noise: float, seed: int, shape: tuple[int, int] = (32, 96)) -> np.ndarray:
    draw = np.random.default_rng(seed)
    signal = draw.normal(size=(shape[0], rank)) @ draw.normal(size=(rank, shape[1]))
    return signal + noise * draw.normal(size=shape)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("noise", [1e-6, 0.1, 0.5])
def test_a_planted_rank_is_found_under_noise_whichever_way_the_matrix_lies(seed, noise) -> None:
    matrix = noisy(5, noise, seed)
    assert Spectrum.of(matrix).evbmf() == Spectrum.of(matrix.T).evbmf() == 5
    assert Spectrum.of(1000 * matrix).evbmf() == 5


@pytest.mark.parametrize("seed", range(5))
def test_noise_alone_has_rank_nought_and_so_has_nothing(seed) -> None:
    assert Spectrum.of(noisy(0, 1.0, seed)).evbmf() == 0
    assert Spectrum.of(np.zeros((8, 12))).evbmf() == 0
    assert Spectrum.of(np.zeros((8, 12))).energy(0.9) == 0


@pytest.mark.parametrize(("square", "rank"), [(2.85, 0), (3.25, 1)])
def test_what_counts_as_signal_begins_at_the_threshold_of_the_paper(square, rank) -> None:
    """For 32 x 96, alpha 1/3 and tau 2.5129 sqrt(1/3): (1 + tau)(1 + alpha / tau) = 3.01 times the noise."""
    values = np.linalg.svd(noisy(0, 1.0, 0), compute_uv=False)
    values[0] = np.sqrt(96 * square)
    assert evbmf(values, (32, 96)) == rank


def test_rows_of_zeros_do_not_upset_the_estimate() -> None:
    matrix = noisy(3, 0.1, 0)
    matrix[20:] = 0
    assert Spectrum.of(matrix).evbmf() >= 3


def test_energy_is_that_of_squared_values() -> None:
    spectrum = Spectrum(np.array([3.0, 2.0, 1.0, 1.0]), (4, 9))  # squares 9, 4, 1, 1 of 15
    assert [spectrum.energy(level) for level in (0.0, 0.6, 0.61, 13 / 15, 0.9, 1.0)] == [1, 1, 2, 2, 3, 4]


@given(rank=st.floats(0, 300), full=st.integers(1, 300), multiple=st.integers(1, 64))
def test_rounded_ranks_are_multiples_or_full_and_never_less_than_asked_for(rank, full, multiple) -> None:
    found = rounded(rank, full, multiple)
    assert 1 <= found <= full
    assert found % multiple == 0 or found == full
    assert found >= min(rank, full)
    assert found < rank + multiple or found == min(full, multiple)
