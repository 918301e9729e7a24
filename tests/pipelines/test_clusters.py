"""K-means in one dimension and the reading of shared values, against plain loops and planted answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipelines.clusters import STARTS, ZERO, distinct, nearest, share, sharing_of

KERNELS = arrays.arrays(np.float32, (2, 2, 3, 4), elements=st.floats(-2, 2, width=16))


@settings(deadline=None, max_examples=60)
@given(
    kernel=KERNELS, start=st.sampled_from(STARTS), per_channel=st.booleans(), keep_zeros=st.booleans(),
    clusters=st.integers(2, 6),
)  # fmt: skip
def test_no_more_values_than_asked_for_and_equal_segments_mean_equal_values(
    kernel, start, per_channel, keep_zeros, clusters
) -> None:
    draw = np.random.default_rng(0)
    shared = share(kernel, clusters, start=start, per_channel=per_channel, keep_zeros=keep_zeros, draw=draw)
    whole, channel = distinct(shared.values)
    assert (channel if per_channel else whole) <= clusters
    for number in np.unique(shared.segments):
        assert len(np.unique(shared.values[shared.segments == number])) == 1
    if keep_zeros:
        assert (shared.values[kernel == 0] == 0).all()
        assert ((shared.segments == ZERO) == (kernel == 0)).all()


@settings(deadline=None, max_examples=40)
@given(
    row=arrays.arrays(np.float64, 20, elements=st.floats(-3, 3, width=16)),
    centroids=arrays.arrays(np.float64, 5, elements=st.floats(-3, 3, width=16)),
)
def test_nearest_is_that_of_the_plain_loop(row, centroids) -> None:
    centroids = np.sort(centroids)
    found = centroids[nearest(row[None], centroids[None])[0]]
    np.testing.assert_allclose(np.abs(row - found), np.abs(row[:, None] - centroids[None]).min(axis=1), atol=1e-12)


@pytest.mark.parametrize("start", STARTS)
def test_planted_groups_are_found(start) -> None:
    draw = np.random.default_rng(1)
    middles = np.array([-1.0, -0.3, 0.2, 0.9])
    places = draw.integers(0, 4, (3, 3, 8, 16))
    kernel = (middles[places] + draw.normal(0, 0.01, places.shape)).astype(np.float32)
    # By lot two centroids may begin in one group and stay there; the others always find all four.
    found = share(kernel, 4, start=start, per_channel=False, keep_zeros=False, draw=draw)
    if start != "random":
        np.testing.assert_allclose(np.unique(found.values), middles, atol=0.01)
    assert np.abs(found.values - kernel).mean() < np.abs(kernel).mean()


def test_sharing_is_read_back_and_ordinary_weights_have_none() -> None:
    draw = np.random.default_rng(2)
    kernel = draw.normal(size=(1, 1, 64, 32)).astype(np.float32)
    assert sharing_of(kernel, keep_zeros=True) is None
    pruned = np.where(draw.random(kernel.shape) < 0.9, 0, kernel)
    assert sharing_of(pruned, keep_zeros=True) is None
    assert sharing_of(np.zeros((3, 4), np.float32), keep_zeros=True) is None
    assert sharing_of(np.ones((1, 1, 8, 1), np.float32), keep_zeros=False) is None
    for per_channel in (False, True):
        shared = share(
            pruned if not per_channel else kernel, 4, start="linear", per_channel=per_channel,
            keep_zeros=not per_channel, draw=draw,
        )  # fmt: skip
        found = sharing_of(shared.values, keep_zeros=not per_channel)
        assert found is not None
        pairs = np.unique(np.stack([found.ravel(), shared.segments.ravel()]), axis=1)
        assert pairs.shape[1] == len(np.unique(shared.segments)) == len(np.unique(found))
