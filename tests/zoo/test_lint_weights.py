"""Dead weights, planted one by one in a small model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zoo
from zoo import layers, lint
from zoo.lint import weights


def network() -> Any:
    from zoo.blocks.convolution import conv_norm, depthwise_norm
    from zoo.keras import keras

    keras.utils.set_random_seed(3)
    image = keras.Input((16, 16, 3), name="image")
    x = conv_norm(image, 16, 3, name="stem", stride=2, activation="relu6")
    x = depthwise_norm(x, name="stage1_1_each", activation="relu6")
    x = conv_norm(x, 32, name="stage1_1_project")
    x = layers.conv(x, 8, name="stage1_2_bare_conv", bias=True)
    x = layers.dense(layers.global_pool(x, name="head_pool"), 4, name="head_logits")
    return keras.Model(image, x)


def judged(model: Any, limits: lint.Thresholds = lint.USUAL) -> tuple[dict[str, weights.Alive], list[lint.Finding]]:
    traffic = lint.Traffic(zoo.sketch_of(model))
    found = weights.layers(model, traffic, limits)
    return {layer.layer: layer for layer in found}, list(weights.look(found, traffic, limits))


def change(model: Any, name: str, place: int, channels: slice, value: float) -> None:
    """Sets one weight array of a layer to `value` in some channels, which are its last axis but one if depthwise."""
    layer = model.get_layer(name)
    arrays = layer.get_weights()
    target = arrays[place][..., channels, :] if "each_conv" in name else arrays[place][..., channels]
    target[...] = value
    layer.set_weights(arrays)


@pytest.fixture(scope="module")
def fresh() -> Any:
    return network()


@pytest.fixture
def model(fresh: Any) -> Any:
    from zoo.cloning import clone

    return clone(fresh)


def test_nothing_is_dead_in_a_fresh_model(model):
    found, findings = judged(model)
    assert set(found) == {"stem_conv", "stage1_1_each_conv", "stage1_1_project_conv", "stage1_2_bare_conv"}
    assert all(layer.dead == 0 for layer in found.values())
    assert findings == []


def test_near_zero_depthwise_kernels_are_counted(model):
    change(model, "stage1_1_each_conv", 0, slice(0, 5), 1e-6)
    found, (finding,) = judged(model)
    layer = found["stage1_1_each_conv"]
    assert (layer.depthwise, layer.near_zero, layer.silent, layer.dead) == (True, 5, 0, 5)
    assert (finding.rule, finding.layer) == ("dead_kernels", "stage1_1_each_conv")
    assert finding.saving_bytes == pytest.approx(4 * 5 / 16 * (2 * 8 * 8 * 16 + 9 * 16), abs=1)
    totals = weights.totals(list(found.values()))
    assert totals["dead_depthwise_share"] == 5 / 16
    assert totals["dead_channel_share"] == 5 / (16 + 16 + 32 + 8)


def test_the_scale_of_the_norm_belongs_to_the_kernel(model):
    change(model, "stage1_1_project_norm", 0, slice(0, 4), 0.0)  # gamma
    found, (finding,) = judged(model)
    assert found["stage1_1_project_conv"].near_zero == 4
    assert finding.rule == "dead_channels"
    # A small kernel that its norm makes large again is alive.
    change(model, "stem_conv", 0, slice(0, 4), 1e-4)
    assert judged(model)[0]["stem_conv"].near_zero == 4
    change(model, "stem_norm", 3, slice(0, 4), 0.0)  # moving variance; epsilon is left
    assert judged(model)[0]["stem_conv"].near_zero == 0


def test_a_channel_that_its_relu_never_lets_through_is_dead(model):
    change(model, "stem_norm", 1, slice(0, 3), -5.0)  # beta, with gamma 1
    found, (finding,) = judged(model)
    layer = found["stem_conv"]
    assert (layer.near_zero, layer.silent, layer.dead) == (0, 3, 3)
    assert finding.rule == "dead_channels"
    assert "3 channels silent" in finding.evidence
    # Without a ReLU behind it the same shift says nothing.
    change(model, "stage1_1_project_norm", 1, slice(0, 16), -5.0)
    assert judged(model)[0]["stage1_1_project_conv"].silent == 0


def test_limits_are_relative_and_movable(model):
    layer = model.get_layer("stage1_2_bare_conv")
    kernel, bias = layer.get_weights()
    kernel[..., :] = 1.0
    kernel[..., 0] = 0.05
    layer.set_weights([kernel * np.float32(1e-6), bias])
    assert judged(model)[0]["stage1_2_bare_conv"].near_zero == 0
    found, findings = judged(model, lint.Thresholds(dead_weight=0.1))
    assert found["stage1_2_bare_conv"].near_zero == 1
    assert "stage1_2_bare_conv" in {one.layer for one in findings}
    assert not judged(model, lint.Thresholds(dead_weight=0.1, dead_share=0.2))[1]
