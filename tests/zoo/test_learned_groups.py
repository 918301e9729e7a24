"""Layers that learn their groups: what is dropped, what is chosen, what learns."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from zoo.learned_groups import condensing_groups, dropped, learned_groups


def condensing(filters: int = 6, groups: int = 3, condensation: int = 4):
    from zoo.keras_layers import CondensingConv2D

    layer = CondensingConv2D(filters, groups, condensation)
    layer.build((None, 2, 2, 8))
    return layer


def test_every_group_gives_up_the_inputs_that_weigh_least_among_its_own_filters():
    layer = condensing()
    kernel = np.ones((1, 1, 8, 6), "float32")
    kernel[0, 0, [2, 5], 0] = kernel[0, 0, [2, 5], 3] = 0.1  # filters 0 and 3 are group 0
    kernel[0, 0, [6, 7], 1], kernel[0, 0, [0, 1], 1] = 0.9, -5.0  # the sign does not matter
    layer.kernel.assign(kernel)
    layer.condense()
    kept = layer.channel_groups().inputs
    assert kept[0] == (0, 1, 3, 4, 6, 7)
    assert kept[1] == (0, 1, 2, 3, 4, 5)
    assert kept[2] == (2, 3, 4, 5, 6, 7)  # equals: the first go
    assert layer.channel_groups().outputs == ((0, 3), (1, 4), (2, 5))


def test_condensation_adds_up_and_ends_at_its_factor():
    layer = condensing()
    masks = [layer.mask.numpy()]
    for stage in range(1, 6):
        layer.condense()
        masks.append(layer.mask.numpy())
        assert layer.stage == min(stage, 3)
        assert layer.channel_groups().density == max(1 - stage / 4, 0.25)
    assert all((after <= before).all() for before, after in pairwise(masks))


def test_what_was_dropped_is_never_dropped_twice():
    mask = np.array([[0.0], [1], [1], [1]])
    assert dropped(np.array([[0.0], [3], [1], [2]]), mask, 1).ravel().tolist() == [0, 1, 0, 1]


def test_a_dropped_weight_neither_acts_nor_learns():
    from zoo.keras import tf

    layer = condensing()
    layer.condense()
    x = tf.random.stateless_normal((4, 2, 2, 8), (1, 2))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    gradient = tape.gradient(loss, layer.kernel).numpy()[0, 0]
    mask = np.tile(layer.mask.numpy(), (1, 2))
    assert (gradient[mask == 0] == 0).all()
    assert (gradient[mask == 1] != 0).all()


def test_the_mask_is_no_trainable_weight_but_is_saved():
    layer = condensing()
    assert [weight.name for weight in layer.trainable_weights] == ["kernel:0"]
    assert [weight.shape for weight in layer.get_weights()] == [(1, 1, 8, 6), (8, 3)]


def test_dense_layer_drops_inputs_for_all_of_its_outputs():
    from zoo.keras_layers import CondensingDense

    layer = CondensingDense(3, 2)
    layer.build((None, 4))
    layer.kernel.assign(np.array([[1, 1, 1], [-9, 0, 0], [0, 0, 2], [4, 4, 4]], "float32"))
    layer.condense()
    assert layer.channel_groups().inputs == ((1, 3),)
    assert (layer.stage, layer.stages) == (1, 1)
    np.testing.assert_array_equal(layer(np.ones((1, 4), "float32")), [[-5.0, 4.0, 4.0]])


def fully_learnable(groups: int = 3):
    from zoo.keras_layers import LearnedGroupConv2D

    layer = LearnedGroupConv2D(4, groups)
    layer.build((None, 2, 2, 6))
    return layer


def test_channels_meet_only_in_the_group_both_chose():
    layer = fully_learnable()
    into, out = [0, 1, 2, 2, 1, 0], [0, 0, 2, 1]
    layer.set_weights([np.ones((1, 1, 6, 4)), np.eye(3)[into], np.eye(3)[out]])
    x = np.arange(1, 7, dtype="float32").reshape(1, 1, 1, 6)
    assert layer(x).numpy().ravel().tolist() == [7.0, 7.0, 7.0, 7.0]
    assert layer.channel_groups() == learned_groups(np.eye(3)[into], np.eye(3)[out])
    assert layer.channel_groups().density == 8 / 24


def test_equal_logits_choose_one_group_only():
    layer = fully_learnable()
    layer.set_weights([np.ones((1, 1, 6, 4)), np.zeros((6, 3)), np.zeros((4, 3))])
    assert layer.channel_groups().inputs == ((0, 1, 2, 3, 4, 5), (), ())
    np.testing.assert_array_equal(layer(np.ones((1, 1, 1, 6), "float32")), np.full((1, 1, 1, 4), 6.0))


def test_choices_learn_through_their_softmax_although_they_are_hard():
    from zoo.keras import tf

    layer = fully_learnable()
    x = tf.random.stateless_normal((8, 2, 2, 6), (1, 2))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    kernel, into, out = (gradient.numpy() for gradient in tape.gradient(loss, layer.trainable_weights))
    for gradient in (into, out):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0
        np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-4)  # a softmax only shifts between groups
    same = layer.input_groups.numpy().argmax(1)[:, None] == layer.output_groups.numpy().argmax(1)[None]
    assert ((kernel[0, 0] != 0) == same).all()


def test_groups_say_what_is_wrong_with_them():
    even = learned_groups(np.eye(2)[[0, 1, 0, 1]], np.eye(2)[[1, 0]])
    assert (even.balanced, even.empty, even.dead_outputs, even.density) == (True, (), 0, 0.5)
    one_sided = learned_groups(np.eye(2)[[0, 0, 0, 0]], np.eye(2)[[1, 0]])
    assert (one_sided.balanced, one_sided.empty, one_sided.dead_outputs) == (False, (2,), 1)
    assert condensing_groups(np.ones((4, 2)), 6).whole


@pytest.mark.parametrize("groups", [1, 2])
def test_sizes_that_do_not_divide_are_refused(groups):
    from zoo import layers
    from zoo.sketches import Sketch

    image = Sketch().input((4, 4, 6))
    with pytest.raises(ValueError, match=r"condensation factor 4 the 6 input"):
        layers.condensing_conv(image, 6, name="one_conv", groups=groups, condensation=4)
    with pytest.raises(ValueError, match=r"factor 4 must divide the 6 inputs"):
        layers.condensing_dense(layers.global_pool(image, name="pool"), 6, name="logits", condensation=4)
