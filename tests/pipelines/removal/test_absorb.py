"""What constant channels hand on is kept: exact without padding and in flattened maps, reported at borders."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.removal.absorb import absorb
from pipelines.training import session
from tests.pipelines.small import unpadded
from zoo.channel_graph import ChannelGraph
from zoo.cut import cut

IMAGES = np.random.default_rng(3).random((8, 8, 8, 1)).astype(np.float32)


def lively(model):
    """Numbers in every norm and bias, so that nothing vanishes by accident."""
    draw = np.random.default_rng(0)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.set_weights([draw.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
        elif getattr(layer, "use_bias", False):
            layer.bias.assign(draw.normal(size=layer.bias.shape))
    return model


def silence(model, norm, channels):
    gamma = model.get_layer(norm).gamma.numpy()
    gamma[channels] = 0
    model.get_layer(norm).gamma.assign(gamma)


def distance(one, other):
    left, right = (model(IMAGES, training=False).numpy() for model in (one, other))
    return np.abs(left - right).max() / np.abs(left).max()


@pytest.mark.parametrize("bias", [False, True])
def test_cut_of_constant_channels_changes_no_answer_without_padding(bias) -> None:
    session.open_session(0)
    model = lively(unpadded(bias))
    gone = {"conv0": [1, 4, 9], "conv1": [0, 2], "conv2": [3, 7]}
    for name, channels in gone.items():
        silence(model, name.replace("conv", "norm"), channels)
    graph = ChannelGraph.of(model)
    units = np.concatenate([graph.outputs_of(name)[channels] for name, channels in gone.items()])
    before = [weight.copy() for weight in model.get_weights()]
    plain = cut(graph, units)
    report, warnings = absorb(graph, units, IMAGES)
    small = cut(graph, units)
    model.set_weights(before)
    assert distance(model, small) < 1e-5
    assert distance(model, plain) > 1e-2  # it was needed
    assert sorted(report["absorbed"]) == ["conv1", "conv2", "logits"]
    assert report["absorption_error"] < 1e-5
    assert not warnings


def test_padding_leaves_an_error_at_the_border_that_is_reported() -> None:
    from zoo import layers
    from zoo.keras import keras

    session.open_session(0)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.relu(layers.norm(layers.conv(image, 6, 3, name="one"), name="one_norm"), name="one_relu")
    x = layers.norm(layers.conv(x, 4, 3, name="two"), name="two_norm")
    model = lively(keras.Model(image, x))
    silence(model, "one_norm", [2])
    graph = ChannelGraph.of(model)
    units = graph.outputs_of("one")[[2]]
    before, answers = [weight.copy() for weight in model.get_weights()], model(IMAGES).numpy()
    report, _ = absorb(graph, units, IMAGES)
    error = np.abs(cut(graph, units)(IMAGES).numpy() - answers)
    assert error[:, 1:-1, 1:-1].max() < 1e-5
    assert error[:, 0].max() > 1e-2
    model.set_weights(before)
    norm = model.get_layer("two_norm")
    scale = norm.gamma.numpy() / np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
    whole = IMAGES
    for name in ("one", "one_norm", "one_relu", "two"):
        whole = model.get_layer(name)(whole)
    assert report["absorption_error"] == pytest.approx((error / scale).max() / np.abs(whole).max(), rel=1e-3)


def test_a_constant_passes_depthwise_layers_their_norms_and_a_residual_addition() -> None:
    from zoo import layers
    from zoo.keras import keras

    session.open_session(0)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.relu6(layers.norm(layers.conv(image, 6, 3, name="one"), name="one_norm"), name="one_relu")
    x = layers.norm(layers.depthwise(x, name="deep", padding="valid"), name="deep_norm")
    y = layers.norm(layers.conv(x, 6, name="two"), name="two_norm")
    x = layers.hard_swish(layers.add([x, y], name="add"), name="swish")
    model = lively(keras.Model(image, layers.norm(layers.conv(x, 4, 3, name="end", padding="valid"), name="end_norm")))
    for norm in ("one_norm", "two_norm"):
        silence(model, norm, [0, 5])
    graph = ChannelGraph.of(model)
    units = graph.outputs_of("one")[[0, 5]]
    assert set(units) == set(graph.outputs_of("two")[[0, 5]])
    before = [weight.copy() for weight in model.get_weights()]
    plain = cut(graph, units)
    report, warnings = absorb(graph, units, IMAGES)
    small = cut(graph, units)
    model.set_weights(before)
    assert distance(model, small) < 1e-5
    assert distance(model, plain) > 1e-2
    assert sorted(report["absorbed"]) == ["end", "two"]
    assert not warnings


def test_nothing_to_absorb_changes_nothing_and_a_reader_without_bias_or_norm_is_named() -> None:
    from zoo import layers
    from zoo.keras import keras

    session.open_session(0)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.relu(layers.norm(layers.conv(image, 4, 3, name="one"), name="one_norm"), name="one_relu")
    model = lively(keras.Model(image, layers.relu(layers.conv(x, 4, 1, name="bare"), name="end")))
    graph = ChannelGraph.of(model)
    before = [weight.copy() for weight in model.get_weights()]
    assert absorb(graph, [], IMAGES) == ({"absorbed": [], "absorption_error": 0.0}, [])
    _, warnings = absorb(graph, graph.outputs_of("one")[[1]], IMAGES)
    assert "handed on to bare is lost" in warnings[0]
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
