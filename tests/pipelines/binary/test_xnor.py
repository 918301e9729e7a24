"""XNOR and popcount against the same sums in float64: whole numbers, so equal means equal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.binary import xnor


def signs(draw: np.random.Generator, *shape: int) -> np.ndarray:
    return draw.choice([-1.0, 1.0], shape).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 99),
    side=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    kernel=st.sampled_from([1, 2, 3]),
    stride=st.sampled_from([1, 2]),
    groups=st.sampled_from([1, 2]),
    padding=st.sampled_from(["same", "valid"]),
)
def test_convolution_is_that_of_keras_to_the_last_unit(seed, side, kernel, stride, groups, padding) -> None:
    from zoo.keras import keras

    draw = np.random.default_rng(seed)
    x, weights = signs(draw, 2, *side, 6), signs(draw, kernel, kernel, 6 // groups, 4)
    layer = keras.layers.Conv2D(4, kernel, stride, padding, groups=groups, use_bias=False)
    layer.build(x.shape)
    layer.set_weights([weights])
    assert np.array_equal(layer(x).numpy(), xnor.convolution(x, weights, layer.get_config()))


def test_dilated_convolution_too() -> None:
    from zoo.keras import keras

    draw = np.random.default_rng(0)
    x, weights = signs(draw, 1, 9, 8, 3), signs(draw, 3, 3, 3, 5)
    layer = keras.layers.Conv2D(5, 3, padding="same", dilation_rate=2, use_bias=False)
    layer.build(x.shape)
    layer.set_weights([weights])
    assert np.array_equal(layer(x).numpy(), xnor.convolution(x, weights, layer.get_config()))


@pytest.mark.parametrize("inputs", [1, 7, 8, 9, 64, 100])
def test_dense_layer_counts_every_place_once_whatever_the_padding_of_the_last_byte(inputs: int) -> None:
    draw = np.random.default_rng(inputs)
    x, weights = signs(draw, 5, inputs), signs(draw, inputs, 3)
    assert np.array_equal(xnor.dense(x, weights), (x.astype(int) @ weights.astype(int)))


def test_packed_sizes_are_bits_and_words() -> None:
    assert xnor.packed_bytes(np.ones((3, 3, 16, 32)), scaled=False) == 3 * 3 * 16 * 32 // 8
    assert xnor.packed_bytes(np.ones((3, 3)), scaled=True) == 2 + 4 * 3
    assert xnor.words(3 * 3 * 16, 10) == 30  # 144 bits are three words
