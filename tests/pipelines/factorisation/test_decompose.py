"""Kernels as chains: known answers, exactness at full rank, errors that fall."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipelines.factorisation import decompose
from pipelines.factorisation.decompose import composed, relative_error

MATRICES = arrays.arrays(np.float64, (6, 9), elements=st.floats(-2, 2, width=32))
KERNELS = arrays.arrays(np.float64, (3, 3, 4, 5), elements=st.floats(-2, 2, width=32))
ALL_TERMS = 12 * 3 * 3  # singular values of the (12, 15) matrix, times columns, times rows


def kernel(height: int = 3, width: int = 3, inputs: int = 6, outputs: int = 10, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(height, width, inputs, outputs))


def spatial(whole: np.ndarray, rank: int) -> np.ndarray:
    return composed([(part, False) for part in decompose.spatial_pair(whole, rank)])


def tucker(whole: np.ndarray, rank_in: int, rank_out: int, sweeps: int = 0) -> np.ndarray:
    return composed([(part, False) for part in decompose.tucker2(whole, rank_in, rank_out, sweeps)])


def polyadic(whole: np.ndarray, rank: int, sweeps: int = 100) -> np.ndarray:
    links = (False, True, True, False)
    return composed(list(zip(decompose.cp(whole, rank, sweeps), links, strict=True)))


@settings(deadline=None, max_examples=50)
@given(matrix=MATRICES, rank=st.integers(1, 6))
def test_the_squared_error_is_the_sum_of_the_squared_values_that_were_dropped(matrix, rank) -> None:
    left, right = decompose.low_rank(matrix, rank)
    values = np.linalg.svd(matrix, compute_uv=False)
    assert left.shape == (6, rank)
    assert ((matrix - left @ right) ** 2).sum() == pytest.approx((values[rank:] ** 2).sum(), abs=1e-9)


@settings(deadline=None, max_examples=25)
@given(whole=KERNELS)
def test_full_ranks_give_the_kernel_back(whole) -> None:
    np.testing.assert_allclose(spatial(whole, 12), whole, atol=1e-6)
    np.testing.assert_allclose(tucker(whole, 4, 5), whole, atol=1e-6)
    np.testing.assert_allclose(polyadic(whole, ALL_TERMS, sweeps=0), whole, atol=1e-6)


def test_pointwise_spatial_and_tucker_errors_fall_with_every_rank() -> None:
    whole = kernel()
    for chain in (
        [relative_error(whole, spatial(whole, rank)) for rank in range(1, 19)],
        [relative_error(whole, tucker(whole, rank, 6)) for rank in range(1, 7)],
        [relative_error(whole, tucker(whole, 4, rank, sweeps=20)) for rank in range(1, 11)],
        [relative_error(whole, polyadic(whole, rank)) for rank in (1, 2, 4, 8, 16, 32)],
    ):
        assert all(later < earlier for earlier, later in pairwise(chain)), chain


def test_a_separable_kernel_is_found_at_rank_one() -> None:
    draw = np.random.default_rng(1)
    column, row = draw.normal(size=(3, 1, 4, 1)), draw.normal(size=(1, 5, 1, 7))
    np.testing.assert_allclose(spatial(column * row, 1), column * row, atol=1e-12)
    rows, columns, into, out = (draw.normal(size=size) for size in (3, 5, 4, 7))
    outer = np.einsum("h,w,c,n->hwcn", rows, columns, into, out)
    for chain in (spatial(outer, 1), tucker(outer, 1, 1), polyadic(outer, 1)):
        np.testing.assert_allclose(chain, outer, atol=1e-9)


def test_planted_subspaces_and_planted_components_are_found_at_their_rank_and_not_below() -> None:
    draw = np.random.default_rng(2)
    core = draw.normal(size=(3, 3, 2, 3))
    planted = np.einsum("hwab,ca,bn->hwcn", core, draw.normal(size=(6, 2)), draw.normal(size=(3, 8)))
    assert relative_error(planted, tucker(planted, 2, 3)) < 1e-7
    assert relative_error(planted, tucker(planted, 1, 3, sweeps=50)) > 0.05
    components = np.einsum("hr,wr,cr,nr->hwcn", *(draw.normal(size=(size, 3)) for size in (3, 3, 8, 9)))
    assert relative_error(components, polyadic(components, 3, sweeps=2000)) < 1e-2
    assert relative_error(components, polyadic(components, 2, sweeps=2000)) > 0.05


def test_sweeps_never_make_a_tucker_error_larger_and_help_here() -> None:
    whole = kernel(seed=3)
    errors = [relative_error(whole, tucker(whole, 3, 3, sweeps)) for sweeps in (0, 1, 5, 20)]
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(errors))
    assert errors[-1] < errors[0] - 1e-3


def test_alternating_lowers_the_error_of_where_cp_starts() -> None:
    whole = kernel(seed=4)
    assert relative_error(whole, polyadic(whole, 8)) < 0.9 * relative_error(whole, polyadic(whole, 8, sweeps=0))


def test_column_and_row_together_are_one_depthwise_kernel() -> None:
    first, vertical, horizontal, final = decompose.cp(kernel(), 4, 5)
    one = decompose.merged(vertical, horizontal)
    assert one.shape == (3, 3, 4, 1)
    apart = composed([(first, False), (vertical, True), (horizontal, True), (final, False)])
    np.testing.assert_allclose(composed([(first, False), (one, True), (final, False)]), apart, atol=1e-12)


def test_same_kernel_same_factors() -> None:
    for once, again in zip(decompose.cp(kernel(), 5, 20), decompose.cp(kernel(), 5, 20), strict=True):
        assert np.array_equal(once, again)
