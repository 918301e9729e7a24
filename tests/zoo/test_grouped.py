"""The two forms of a grouped convolution, and the shuffle that goes with it."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo import layers
from zoo.blocks.grouped import grouped_conv_norm
from zoo.deploy import deploy
from zoo.sketches import Sketch


def network(form: str, groups: int):
    from zoo.keras import keras

    image = keras.Input((9, 7, 6), name="image")
    x = grouped_conv_norm(image, 12, 3, name="one", groups=groups, form=form, stride=2, activation="relu6")
    x = layers.shuffle(x, groups, name="one_shuffle")
    x = grouped_conv_norm(x, 6, name="two", groups=groups, form=form)
    return keras.Model(image, layers.dense(layers.global_pool(x, name="head_pool"), 3, name="head_logits"), name=form)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_both_forms_compute_the_same_with_the_same_weights(groups):
    rng = np.random.default_rng(groups)
    train, other = network("train", groups), network("deploy", groups)
    train.set_weights([rng.uniform(0.1, 1.0, weight.shape).astype("float32") for weight in train.weights])
    joined = deploy(train)
    assert {layer.name for layer in joined.layers} == {layer.name for layer in other.layers}
    for layer in other.layers:
        layer.set_weights(joined.get_layer(layer.name).get_weights())
    image = rng.random((3, 9, 7, 6), dtype="float32")
    np.testing.assert_allclose(other(image, training=False), train(image, training=False), rtol=1e-5, atol=1e-6)


def test_both_forms_cost_the_same_weights_and_multiply_adds():
    train, deploy = zoo.cost_of(zoo.sketch_of(network("train", 3))), zoo.cost_of(zoo.sketch_of(network("deploy", 3)))
    assert (train.params, train.trainable_params, train.macs) == (deploy.params, deploy.trainable_params, deploy.macs)
    assert deploy.memory_access_bytes < train.memory_access_bytes  # slices and concatenations are not free


def test_groups_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="4 groups must divide the 6 input"):
        grouped_conv_norm(Sketch().input((4, 4, 6)), 8, name="one", groups=4, form="train")


def test_split_form_trains_int8_aware():
    from zoo import int8_aware

    assert int8_aware.check(network("train", 3)) == []


def test_shuffle_deals_channels_out_across_groups():
    from zoo.keras_layers import ChannelShuffle

    labels = np.broadcast_to(np.arange(6, dtype="float32"), (1, 2, 3, 6))
    shuffled = ChannelShuffle(2)(labels).numpy()
    assert shuffled[0, 1, 2].tolist() == [0, 3, 1, 4, 2, 5]
    assert ChannelShuffle(3)(shuffled).numpy()[0, 0, 0].tolist() == [
        0,
        1,
        2,
        3,
        4,
        5,
    ]  # shuffle(C / g) undoes shuffle(g)
    assert labels.shape == shuffled.shape


def test_split_parts_join_to_the_whole():
    from zoo.keras import keras

    image = keras.Input((4, 4, 6))
    parts = layers.split(image, 3, name="part")
    array = np.random.default_rng(0).random((2, 4, 4, 6), dtype="float32")
    outputs = keras.Model(image, parts)(array)
    np.testing.assert_array_equal(np.concatenate([part.numpy() for part in outputs], axis=-1), array)
    with pytest.raises(ValueError, match="4 equal parts"):
        layers.split(image, 4, name="uneven")
