"""The pattern for XNNPACK's sparse kernels: only 1x1 convolutions, and refusals that name what does not fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import zoo
from pipelines.methods.magnitude import sparse_misfits
from tests.pipelines.small import network, shaped


def sparse_network():
    """Padding, a valid 3x3 of stride 2 on RGB, 1x1 and depthwise, a pooling that keeps the map: the policy's wish."""
    from zoo import layers
    from zoo.keras import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.conv(layers.pad(image, 1, 1, 1, 1, name="pad"), 16, 3, name="stem_conv", stride=2, padding="valid")
    x = layers.relu(layers.norm(x, name="stem_norm"), name="stem_relu")
    x = layers.relu(layers.norm(layers.conv(x, 32, name="one_conv"), name="one_norm"), name="one_relu")
    x = layers.depthwise(x, name="two_conv")
    x = layers.relu(layers.norm(x, name="two_norm"), name="two_relu")
    x = layers.relu(layers.norm(layers.conv(x, 32, name="three_conv"), name="three_norm"), name="three_relu")
    x = layers.flatten(layers.global_pool(x, name="pool", keep_map=True), name="flatten")
    return keras.Model(image, layers.dense(x, 10, name="logits"))


def test_only_pointwise_convolutions_of_a_fitting_network_are_pruned(small_digits) -> None:
    three = dataclasses.replace(
        small_digits,
        splits={
            name: dataclasses.replace(split, images=np.repeat(split.images, 3, axis=-1))
            for name, split in small_digits.splits.items()
        },
    )
    model = sparse_network()
    assert sparse_misfits(model) == []
    outcome = shaped("magnitude", model, three, pattern="xnnpack", sparsity=0.7)
    assert set(outcome.report["layers"]) == {"one_conv", "three_conv"}
    assert min(outcome.report["layers"].values()) >= 0.69
    assert outcome.report["depthwise_left_dense"] == ["two_conv"]
    assert any("never pruned and stay dense, two_conv" in warning for warning in outcome.warnings)


def test_a_network_that_does_not_fit_is_refused_with_every_reason(learned, small_digits) -> None:
    with pytest.raises(ValueError, match=r"begins with stem_conv; it must end in a global average pooling"):
        shaped("magnitude", learned, small_digits, pattern="xnnpack")
    found = sparse_misfits(zoo.build("mobilenet_v2", width=0.35, resolution=32, classes=4, channels=3))
    assert found[0].startswith("it must begin with a padding of 1")
    assert any("stride 2, padding same" in reason for reason in found)
    assert any("without keepdims" in reason for reason in found)


def test_two_of_four_input_channels_are_zero_at_every_place_of_a_wide_kernel(small_digits) -> None:
    from zoo import layers
    from zoo.keras import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.relu(layers.conv(image, 8, 3, name="stem_conv"), name="stem_relu")
    x = layers.relu(layers.conv(x, 12, 3, name="wide_conv", stride=2), name="wide_relu")
    model = keras.Model(image, layers.dense(layers.global_pool(x, name="pool"), 10, name="logits"))
    outcome = shaped("magnitude", model, small_digits, pattern="2:4")
    assert list(outcome.report["layers"]) == ["wide_conv"]
    kernel = outcome.model.get_layer("wide_conv").get_weights()[0]  # height, width, 8 inputs, 12 outputs
    zeros = (kernel.reshape(3, 3, 2, 4, 12) == 0).sum(axis=3)
    assert (zeros >= 2).all()


def test_schedule_that_stops_early_is_reported(small_digits) -> None:
    """The rate is so large that no epoch is better than the first: patience ends the training before the schedule."""
    changes = {"epochs": 30, "patience": 1, "learning_rate": 5.0, "warmup": 0.0, "sparsity": 0.9, "keep": "last"}
    outcome = shaped("magnitude", network(), small_digits, **changes)
    assert outcome.report["fit"]["stopped_early"]
    assert not outcome.report["schedule_finished"]
    assert any("was not finished" in warning for warning in outcome.warnings)
    assert any("sparsity 0.90 was not reached" in warning for warning in outcome.warnings)
