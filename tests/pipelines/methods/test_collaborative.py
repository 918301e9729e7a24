"""Channels that cost least together: derivatives against differences, sets against brute force, a pair that cancels."""

from __future__ import annotations

import dataclasses
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.dataset import Split
from pipelines.methods import METHODS, Context
from pipelines.removal.gate_fisher import gate_fisher
from pipelines.removal.quadratic import best_kept, change, folded
from pipelines.training import session
from pipelines.training.loop import predictor
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import network
from zoo.channel_graph import ChannelGraph
from zoo.cut import cut
from zoo.keras_gates import gated


def form(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(size + 2, size))
    return draw.normal(size=size) / 4, rows.T @ rows / size


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), size=st.integers(2, 7))
def test_linear_terms_fold_into_the_diagonal(seed, size) -> None:
    slope, curvature = form(seed, size)
    matrix = folded(slope, curvature)
    offset = change(slope, curvature, np.zeros(size, bool))
    for bits in range(2**size):
        stays = np.array([bits >> place & 1 for place in range(size)], bool)
        assert stays @ matrix @ stays + offset == pytest.approx(change(slope, curvature, stays), abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1000), size=st.integers(2, 8), data=st.data())
def test_no_exchange_of_two_lowers_the_cost_and_without_pairs_the_set_is_the_best(seed, size, data) -> None:
    slope, curvature = form(seed, size)
    count = data.draw(st.integers(1, size - 1))
    stays = best_kept(folded(slope, curvature), count)
    assert stays.sum() == count
    for leaves, enters in ((i, j) for i in np.flatnonzero(stays) for j in np.flatnonzero(~stays)):
        other = stays.copy()
        other[[leaves, enters]] = False, True
        assert change(slope, curvature, other) >= change(slope, curvature, stays) - 1e-9
    alone = np.diag(np.diag(curvature))
    found = change(slope, alone, best_kept(folded(slope, alone), count))
    sets = [np.isin(np.arange(size), chosen) for chosen in combinations(range(size), count)]
    assert found == pytest.approx(min(change(slope, alone, one) for one in sets))


def loss_by_gates(model, split: Split, gates: np.ndarray) -> float:
    pixels = split.images.astype(np.float32) / 255
    logits = model([pixels, np.tile(gates.astype(np.float32), (len(pixels), 1))], training=False).numpy().astype(float)
    logits -= logits.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(pixels)), split.labels]))


def small_split(count: int = 24, seed: int = 0) -> Split:
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (count, 8, 8, 1)).astype(np.uint8)
    return Split(images, draw.integers(0, 10, count).astype(np.int32), tuple(str(place) for place in range(count)))


def tiny(seed: int = 0):
    """Convolution, smooth activation, convolution, linear end: gates on the last layer enter the logits linearly."""
    from zoo.keras import keras

    session.open_session(seed)
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(6, 3, activation="tanh", name="one")(image)
    x = keras.layers.Conv2D(5, 3, activation="linear", name="two")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(10, name="logits")(x))


def test_slopes_and_curvatures_are_those_of_differences() -> None:
    model, split = tiny(), small_split()
    for weight in model.trainable_variables:
        weight.assign(weight * 1.5)
    graph = ChannelGraph.of(model)
    groups = [np.unique(graph.outputs_of(name)) for name in ("one", "two")]
    terms = gate_fisher(graph, groups, split, QuietWatch())
    units = np.concatenate(groups)
    asked = gated(graph, units.tolist())
    step = 0.02

    def loss(*moved: tuple[int, float]) -> float:
        gates = np.ones(len(units))
        for place, by in moved:
            gates[place] += by
        return loss_by_gates(asked, split, gates)

    slopes = np.concatenate([slope for slope, _ in terms])
    measured = [(loss((place, step)) - loss((place, -step))) / (2 * step) for place in range(len(units))]
    np.testing.assert_allclose(slopes, measured, rtol=1e-3, atol=2e-4)
    assert np.abs(slopes).max() > 5e-3
    # Behind `two` the logits are linear in the gates, so Gauss-Newton is the whole second derivative there.
    curvature, first, wide = terms[1][1], len(groups[0]), 0.25
    for i, j in combinations(range(len(groups[1])), 2):
        a, b = first + i, first + j
        mixed = loss((a, wide), (b, wide)) - loss((a, wide), (b, -wide)) - loss((a, -wide), (b, wide))
        mixed = (mixed + loss((a, -wide), (b, -wide))) / (4 * wide**2)
        assert 2 * curvature[i, j] == pytest.approx(mixed, abs=2e-3 + 0.05 * abs(mixed))
    assert np.abs(curvature - np.diag(np.diag(curvature))).max() > 1e-2


def test_a_gate_of_zero_is_a_cut_and_gates_of_one_change_nothing() -> None:
    session.open_session(0)
    model = network()
    graph, split = ChannelGraph.of(model), small_split()
    units = graph.free
    asked, pixels = gated(graph, units.tolist()), split.images.astype(np.float32) / 255
    ones = np.ones((len(pixels), len(units)), np.float32)
    np.testing.assert_allclose(asked([pixels, ones]), model(pixels), atol=1e-6)
    gone = units[::3]
    ones[:, ::3] = 0
    np.testing.assert_allclose(asked([pixels, ones]), cut(graph, gone)(pixels), atol=1e-5)


def test_two_channels_that_cancel_go_together_and_only_together(small_digits) -> None:
    """The same filter twice, read with opposite signs, beside useful but weaker ones."""
    from zoo.keras import keras

    session.open_session(1)
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(8, 3, activation="relu", name="one")(image)
    model = keras.Model(image, keras.layers.Dense(10, name="logits")(keras.layers.GlobalAveragePooling2D()(x)))
    kernel, bias = model.get_layer("one").get_weights()
    kernel = np.abs(kernel)
    kernel[..., 1] = kernel[..., 0]
    model.get_layer("one").set_weights([kernel, bias])
    dense, end = model.get_layer("logits").get_weights()
    dense *= 4
    dense[0] = np.abs(dense).max() * np.sign(dense[0])
    dense[1] = -dense[0]
    model.get_layer("logits").set_weights([dense, end])
    # Labels drawn from the network's own shares: then its loss is least as it is, and every other channel is useful.
    train = small_digits.splits["train"]
    shares = np.exp(predictor(model)(train.images).astype(float))
    ladder = np.cumsum(shares / shares.sum(axis=1, keepdims=True), axis=1)
    drawn = (np.random.default_rng(0).random((len(shares), 1)) < ladder).argmax(axis=1)
    labelled = dataclasses.replace(train, labels=drawn.astype(np.int32))
    data = dataclasses.replace(small_digits, splits={**small_digits.splits, "train": labelled})
    kept = {}
    for pairs in ("joint", "diagonal"):
        method = METHODS["collaborative"]
        plan = method.settings(
            epochs=1, learning_rate=1e-9, shift=0.0, recalibration=0, multiple=1, least=1, target="channels",
            remove=1.9 / len(ChannelGraph.of(model).units), pairs=pairs, images=256, keep="last",
        )  # fmt: skip
        outcome = method.apply(model, plan, Context(data, 0, QuietWatch()))
        left = outcome.model.get_layer("one").get_weights()[0]
        assert left.shape[-1] == 6
        kept[pairs] = int((np.abs(left - kernel[..., :1]).max(axis=(0, 1, 2)) < 1e-4).sum())
        if pairs == "joint":
            assert outcome.report["predictions"][0]["differs_from_diagonal"] == 2
            images = small_digits.splits["validation"].images
            np.testing.assert_allclose(predictor(outcome.model)(images), predictor(model)(images), atol=1e-4)
    assert kept == {"joint": 0, "diagonal": 2}


def test_a_ranking_over_all_layers_is_refused(small_digits) -> None:
    method = METHODS["collaborative"]
    with pytest.raises(ValueError, match=r"scope = 'global': .* use layer"):
        method.apply(network(), method.settings(scope="global"), Context(small_digits, 0, QuietWatch()))
