"""Halved convolutions: planted pairs are found and reproduced, whatever stands behind them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from zoo.opposites import candidates, halve, pair
from zoo.plans import Plan
from zoo.reorder import reorder


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 12))
def test_planted_opposites_are_paired_whatever_their_length(seed, count) -> None:
    draw = np.random.default_rng(seed)
    filters = draw.normal(size=(count, 27))
    lengths = draw.uniform(0.2, 5.0, (count, 1))
    order = draw.permutation(2 * count)
    pairs = pair(np.concatenate([filters, -lengths * filters])[order])
    assert pairs.similarity == pytest.approx(1.0)
    assert {frozenset(order[place]) for place in pairs.places} == {frozenset((k, k + count)) for k in range(count)}
    with pytest.raises(ValueError, match="an even number can"):
        pair(filters[:1])


def planted(model, names, draw):
    """Makes filter k + n/2 of every named layer -1.7 times filter k (in a shuffled order), and lives up the norms."""
    for layer in model.layers:
        if layer.name in names:
            kernel = layer.get_weights()[0]
            half = kernel.shape[-1] // 2
            kernel[..., half:] = -1.7 * kernel[..., :half]
            layer.set_weights([kernel[..., draw.permutation(2 * half)], *layer.get_weights()[1:]])
        if type(layer).__name__ == "BatchNormalization":
            layer.set_weights([draw.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])


@pytest.mark.parametrize(
    "name",
    ["mobilenet_v1", *(pytest.param(n, marks=pytest.mark.slow) for n in ("mobilenet_v2", "resnet", "shufflenet_v2"))],
)
def test_a_network_of_exact_pairs_is_reproduced_with_half_the_filters(name) -> None:
    model = zoo.build(name, width=0.5, resolution=32, classes=4, channels=3)
    draw = np.random.default_rng(0)
    names = candidates(Plan.of(model))[:6]
    planted(model, names, draw)
    plan = Plan.of(model)
    for layer in names:
        pairs = halve(plan, layer)
        assert pairs.similarity == pytest.approx(1.0, abs=1e-4)
    small = plan.build()
    images = draw.random((4, 32, 32, 3), np.float32)
    np.testing.assert_allclose(small(images), model(images), atol=1e-5, rtol=1e-4)
    cost, before = zoo.cost_of(zoo.sketch_of(small)), zoo.cost_of(zoo.sketch_of(model))
    assert cost.macs < before.macs
    assert cost.params < before.params
    assert [layer.filters for layer in small.layers if layer.name in names] == [
        layer.filters // 2 for layer in model.layers if layer.name in names
    ]


def test_bias_silent_filters_and_readers_that_need_the_old_order_are_served() -> None:
    from zoo.keras import keras

    layers = keras.layers
    image = keras.Input((8, 8, 2), name="image")
    x = layers.Conv2D(6, 3, name="one")(image)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    x = layers.Add(name="sum")([x, layers.DepthwiseConv2D(3, padding="same", name="beside")(x)])
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="spread")(x)
    model = keras.Model(image, layers.Dense(3, name="logits")(layers.Flatten(name="flat")(x)))
    draw = np.random.default_rng(3)
    for layer in model.layers:
        layer.set_weights([draw.uniform(0.2, 1.0, weight.shape) for weight in layer.get_weights()])
    kernel, bias = model.get_layer("one").get_weights()
    kernel[..., 1], kernel[..., 3], kernel[..., 5] = -kernel[..., 0], 0.0, -3 * kernel[..., 4]
    model.get_layer("one").set_weights([kernel, bias])
    plan = Plan.of(model)
    halve(plan, "one")
    assert [call.name for call in plan.calls.values() if call.kind == "ChannelGather"] == ["relu_order", "beside_order"]
    images = draw.random((4, 8, 8, 2)).astype(np.float32)
    np.testing.assert_allclose(plan.build()(images), model(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("architecture", "names"),
    [
        ("mobilenet_v1", ["stem_norm"]),
        pytest.param("mobilenet_v2", ["stem_norm", "stage3_1_project_norm"], marks=pytest.mark.slow),
    ],
)
def test_another_order_changes_no_answer(architecture, names) -> None:
    model = zoo.build(architecture, width=0.25, resolution=32, classes=4, channels=1)
    draw = np.random.default_rng(1)
    planted(model, [], draw)
    images = draw.random((2, 32, 32, 1), np.float32)
    for name in names:
        plan = Plan.of(model)
        channels = plan.channels_of(name)
        order = draw.permutation(channels)
        call = plan.calls[name]
        source = plan.calls[call.inputs[0]]
        assert source.kind == "Conv2D"
        plan.calls[source.name] = replace(source, weights=(source.weights[0][..., order],))
        plan.calls[name] = replace(call, weights=tuple(weight[order] for weight in call.weights))
        reorder(plan, name, order.tolist())
        np.testing.assert_allclose(plan.build()(images), model(images), atol=1e-5)


def test_what_cannot_be_halved_is_refused() -> None:
    plan = Plan.of(zoo.build("mobilenet_v1", width=0.25, resolution=32, classes=4, channels=1))
    assert "head_logits" not in candidates(plan)
    with pytest.raises(ValueError, match="cannot be halved; these can: stem_conv"):
        halve(plan, "head_logits")
