"""Kernel sparsity and entropy: planted channels, ends of the formulas, kernels that share, what is really removed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.methods import METHODS, Context
from pipelines.removal.kernel_worth import entropy, indicators, kernels_of, levels
from pipelines.removal.shared_kernels import SharedKernels, clusters, distinct_kernels
from pipelines.training import session
from pipelines.training.loop import fit, predictor
from pipelines.training.settings import Fitting
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import network
from zoo.channel_graph import ChannelGraph

FILTERS = 16


def planted(seed: int = 0) -> np.ndarray:
    """A kernel (3, 3, 3, 16): channel 0 of zeros, channel 1 of equal and small kernels, channel 2 large and diverse."""
    draw = np.random.default_rng(seed)
    kernel = np.zeros((3, 3, 3, FILTERS))
    kernel[:, :, 1] = draw.normal(size=(3, 3, 1))
    kernel[:, :, 2] = draw.normal(size=(3, 3, FILTERS)) * np.exp(draw.normal(size=FILTERS))
    kernel[:, :, 1] *= 0.4 * np.abs(kernel[:, :, 2]).sum() / np.abs(kernel[:, :, 1]).sum()
    return kernel


def rows(kernel: np.ndarray) -> list[np.ndarray]:
    return [kernel[:, :, channel].reshape(9, -1).T for channel in range(kernel.shape[2])]


@pytest.mark.parametrize("seed", range(5))
def test_zeros_keep_no_kernel_equal_ones_few_and_diverse_ones_all(seed) -> None:
    worth = indicators(rows(planted(seed)), alpha=1.0, neighbours=5)
    none, few, every = levels(worth, FILTERS, granularity=4, tolerance=0)
    assert (none, every) == (0, FILTERS)
    assert 1 <= few <= FILTERS // 4


def test_levels_are_those_of_the_paper() -> None:
    """By hand, G = 4, T = 0, 16 kernels: 16 * 2^(1 + 1 - 4) = 4 from 0.25 on, 8 from 0.5 on, all from 0.75 on."""
    worth = np.array([0.0, 0.24, 0.25, 0.49, 0.5, 0.74, 0.75, 0.76, 1.0])
    assert levels(worth, 16, granularity=4, tolerance=0).tolist() == [0, 0, 4, 4, 8, 8, 16, 16, 16]
    assert levels(worth, 16, granularity=4, tolerance=1).tolist() == [0, 0, 2, 2, 4, 4, 8, 16, 16]
    assert levels(worth, 3, granularity=4, tolerance=0).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 3]


def test_entropy_by_hand_and_at_its_ends() -> None:
    # On a line at 0, 1, 3 with one neighbour: distances 1, 1, 2, shares 1/4, 1/4, 1/2, so 1.5 bits.
    assert entropy(np.array([[0.0], [1.0], [3.0]]), 1) == pytest.approx(1.5)
    assert entropy(np.ones((8, 9)), 5) == pytest.approx(3.0)  # all alike: log2 of 8
    assert entropy(np.array([[0.0], [0.0], [1.0]]), 1) == pytest.approx(0.0)  # two of distance 0 add nothing
    assert entropy(np.ones((1, 9)), 5) == 0.0
    assert np.isfinite(entropy(np.random.default_rng(0).normal(size=(4, 9)), 5))  # fewer kernels than neighbours


def test_equal_channels_are_kept_alike_and_nothing_is_divided_by_zero() -> None:
    same = [np.arange(18.0).reshape(2, 9)] * 4
    with np.errstate(all="raise"):
        assert indicators(same, alpha=1.0, neighbours=5).tolist() == [1.0] * 4
        assert indicators([np.zeros((4, 9))] * 3, alpha=1.0, neighbours=5).tolist() == [0.0] * 3


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), scale=st.floats(0.01, 100), channels=st.integers(1, 6), filters=st.integers(1, 9))
def test_indicators_lie_in_the_unit_range_and_do_not_know_the_scale(seed, scale, channels, filters) -> None:
    kernels = [*np.random.default_rng(seed).normal(size=(channels, filters, 9))]
    worth = indicators(kernels, alpha=1.0, neighbours=5)
    assert worth.min() >= 0
    assert worth.max() == 1
    np.testing.assert_allclose(indicators([scale * one for one in kernels], alpha=1.0, neighbours=5), worth, atol=1e-6)


def test_equal_kernels_are_shared_without_any_error_and_no_more_are_left_than_allowed() -> None:
    from zoo.keras import keras

    kernel = planted().astype(np.float32)
    layer = keras.layers.Conv2D(FILTERS, 3, use_bias=False)
    layer.build((None, 8, 8, 3))
    layer.set_weights([kernel])
    SharedKernels(layer, np.array([1, 4, FILTERS]), 0).share()
    np.testing.assert_allclose(layer.get_weights()[0], kernel, atol=1e-6)
    shared = SharedKernels(layer, np.array([1, 1, 5]), 0)
    shared.share()
    after = layer.get_weights()[0]
    assert distinct_kernels(after) == 1 + 1 + 5 == shared.count
    np.testing.assert_allclose(after[:, :, 2].mean(axis=-1), kernel[:, :, 2].mean(axis=-1), atol=1e-5)
    shared.share()
    np.testing.assert_allclose(layer.get_weights()[0], after, atol=1e-6)


def test_clusters_find_what_belongs_together() -> None:
    draw = np.random.default_rng(0)
    belongs = draw.permutation(np.repeat(np.arange(3), 6))
    kernels = 10.0 * np.eye(3)[belongs] + draw.normal(size=(18, 3)) / 10
    found = clusters(kernels, 3, 0)
    assert len({(a, b) for a, b in zip(found.tolist(), belongs.tolist(), strict=True)}) == 3


def test_kernels_are_read_through_flattening_groups_and_separable_layers() -> None:
    from zoo.keras import keras

    session.open_session(0)
    image = keras.Input((4, 4, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", name="first")(image)
    x = keras.layers.Conv2D(6, 3, padding="same", groups=2, name="grouped")(x)
    x = keras.layers.SeparableConv2D(5, 3, padding="same", depth_multiplier=2, name="separable")(x)
    x = keras.layers.Conv2DTranspose(3, 3, padding="same", name="transposed")(x)
    graph = ChannelGraph.of(keras.Model(image, keras.layers.Dense(7, name="end")(keras.layers.Flatten()(x))))
    shapes = {
        name: {one.shape for one in kernels_of(graph, graph.sites[name]).values()}
        for name in ("grouped", "separable", "transposed", "end")
    }
    # Channels of the two groups go in pairs: 3 filters of either group read such a unit, (6, 9), and the separable
    # layer reads two channels of it at once, (5, 18).
    assert shapes == {"grouped": {(6, 9)}, "separable": {(5, 18)}, "transposed": {(3, 9)}, "end": {(7, 16)}}
    site = graph.sites["end"]
    unit = int(graph.outputs_of("transposed")[1])
    np.testing.assert_allclose(kernels_of(graph, site)[unit], site.layer.get_weights()[0][1::3].T)


@pytest.fixture(scope="module")
def trained(small_digits):
    session.open_session(0)
    model = network()
    fit(model, small_digits, Fitting(epochs=4, batch=32, learning_rate=5e-3, shift=0.0), QuietWatch(), seed=0)
    return model


def plan(**changes):
    quick = {"epochs": 1, "batch": 32, "recalibration": 4, "multiple": 1, "least": 1, "keep": "last"}
    return METHODS["kernel_entropy"].settings(**{**quick, **changes})


def test_a_channel_that_no_layer_reads_is_removed_and_changes_nothing(trained, small_digits) -> None:
    from zoo.cloning import clone

    model = clone(trained)
    conv = model.get_layer("stage1_2_pointwise_conv")
    kernel = conv.get_weights()[0]
    kernel[:, :, [3, 8]] = 0
    conv.set_weights([kernel])
    method = METHODS["kernel_entropy"]
    quiet = plan(
        amount="target", target="channels", remove=0.001, learning_rate=1e-9, recalibration=0, skip="stem*,stage1_2*"
    )
    outcome = method.apply(model, quiet, Context(small_digits, 0, QuietWatch()))
    assert [row["kept"] for row in outcome.report["layers"]] == [31]
    assert outcome.report["validation_top1_after_cut"] == outcome.report["validation_top1_before"]
    zeros = method.apply(model, plan(amount="zeros", granularity=16), Context(small_digits, 0, QuietWatch()))
    left = {row["layers"][0]: row["kept"] for row in zeros.report["layers"]}
    assert left["stage1_1_pointwise_conv"] <= 30
    assert zeros.report["units_without_kernels"] >= 2


def test_kernels_stay_shared_through_fine_tuning_and_the_report_counts_them(trained, small_digits) -> None:
    outcome = METHODS["kernel_entropy"].apply(
        trained, plan(cluster=True, remove=0.3, epochs=2, learning_rate=1e-2), Context(small_digits, 0, QuietWatch())
    )
    report = {row["layer"]: row for row in outcome.report["kernels"]}
    assert set(report) == {"stage1_1_pointwise_conv", "stage1_2_pointwise_conv"}
    for row in report.values():
        assert row["distinct"] <= row["allowed"] < row["kernels"]
        assert row["distinct"] == distinct_kernels(outcome.model.get_layer(row["layer"]).get_weights()[0])
    assert any("nothing faster" in warning for warning in outcome.warnings)
    assert np.isfinite(predictor(outcome.model)(small_digits.splits["validation"].images)).all()
