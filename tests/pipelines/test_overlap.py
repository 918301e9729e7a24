"""Overlap finds planted duplicates whatever their length; what comes back is orthogonal while there is room."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.overlap import most_overlapping, orthogonal_rows, overlap


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100))
def test_overlap_is_that_of_the_plain_loop_and_ignores_lengths(seed, scale) -> None:
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(7, 12))
    units = [row / np.linalg.norm(row) for row in rows]
    plain = [sum(abs(one @ other) for other in units if other is not one) / 7 for one in units]
    np.testing.assert_allclose(overlap(rows * scale), plain, atol=1e-9)
    np.testing.assert_allclose(overlap(np.eye(5)), 0, atol=1e-12)


def test_planted_duplicates_rank_high_whatever_their_length() -> None:
    hits, chance = [], []
    for seed in range(200):
        draw = np.random.default_rng(seed)
        rows = draw.normal(size=(16, 27))
        rows[[1, 3]] = rows[[0, 2]] * draw.uniform(0.5, 4.0, (2, 1))
        hits.append(np.isin(np.argsort(-overlap(rows))[:4], [0, 1, 2, 3]).mean())
        chance.append(np.isin(np.argsort(-overlap(draw.normal(size=(16, 27))))[:4], [0, 1, 2, 3]).mean())
    assert np.mean(hits) == pytest.approx(0.72, abs=0.08)
    assert np.mean(chance) == pytest.approx(0.25, abs=0.08)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), gone=st.integers(1, 8), stayed=st.integers(1, 20), width=st.integers(4, 40))
def test_new_rows_are_orthogonal_to_old_ones_and_survivors_while_there_is_room(seed, gone, stayed, width) -> None:
    draw = np.random.default_rng(seed)
    old, survivors = draw.normal(size=(gone, width)), draw.normal(size=(stayed, width)).astype(np.float32)
    survivors[-1] = survivors[0]  # equal rows take no room
    new, orthogonal = orthogonal_rows(old, survivors, 0.1, draw)
    assert orthogonal == max(0, min(gone, width - min(width, gone + max(1, stayed - 1))))
    np.testing.assert_allclose(np.linalg.norm(new, axis=1), 0.1 * np.sqrt(width))
    rows = np.concatenate([old, survivors])
    cosines = (new @ rows.T) / np.linalg.norm(new, axis=1)[:, None] / np.linalg.norm(rows, axis=1)
    assert (np.abs(cosines[:orthogonal]) < 1e-4).all()
    between = new[:orthogonal] @ new[:orthogonal].T
    np.testing.assert_allclose(between, np.diag(np.diag(between)), atol=1e-6)


def test_the_highest_scores_of_the_network_go_and_no_layer_is_emptied() -> None:
    scores = {"one": np.array([0.9, 0.8, 0.7, 0.6]), "two": np.array([0.1, 0.5, 0.2, 0.3])}
    assert {k: v.tolist() for k, v in most_overlapping(scores, 0.5, 0.5).items()} == {"one": [0, 1], "two": [1, 3]}
    assert {k: v.tolist() for k, v in most_overlapping(scores, 0.25, 0.5).items()} == {"one": [0, 1]}
    assert most_overlapping(scores, 0.1, 0.5) == {}
