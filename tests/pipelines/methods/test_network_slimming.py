"""Network slimming: what the penalty does to a scale in one update and over a training, one threshold, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.methods import METHODS, Context
from pipelines.methods.network_slimming import NetworkSlimmingSettings, prepare
from pipelines.removal.scales import histogram, penalty_of, pulled, scales_of
from pipelines.training import session
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import network, unpadded
from zoo.channel_graph import ChannelGraph

QUICK = {"batch": 32, "shift": 0.0, "multiple": 1, "least": 1, "sparse_learning_rate": 0.05}


class NoTraining(QuietWatch):
    def progress(self, *_: object) -> None:
        raise AssertionError("training began")


def test_one_update_with_the_penalty_differs_by_its_subgradient_alone(small_digits) -> None:
    """One step of Nesterov's SGD from rest goes 1 + 0.9 times the gradient, so lambda shows as 1.9 x rate x lambda."""
    session.open_session(0)
    model = network()
    model.get_layer("stem_norm").gamma.assign([-1.0, 1.0] * 8)
    after = {}
    for penalty in (0.0, 0.5):
        plan = NetworkSlimmingSettings(
            sparse_epochs=1, penalty=penalty, skip="stage1_2_*", **{**QUICK, "batch": 256}
        )  # fmt: skip
        after[penalty] = prepare(model, plan, Context(small_digits, 0, QuietWatch())).model
    for name, pull in (
        ("stem_norm", [-1.0, 1.0] * 8),
        ("stage1_1_pointwise_norm", [1.0] * 32),
        ("stage1_1_depthwise_norm", [0.0] * 16),  # no layer that makes channels is in front of it
        ("stage1_2_pointwise_norm", [0.0] * 32),  # its channels stay, so nothing is gained by pulling
    ):
        moved = after[0.5].get_layer(name).gamma.numpy() - after[0.0].get_layer(name).gamma.numpy()
        np.testing.assert_allclose(moved, -1.9 * 0.05 * 0.5 * np.array(pull), atol=1e-6, err_msg=name)


def test_channels_that_cannot_go_are_not_pulled(small_digits) -> None:
    """The first half of a layer's channels enters a softmax over them, which locks these alone."""
    from zoo import layers
    from zoo.keras import keras
    from zoo.keras_layers import layer_class

    session.open_session(0)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.norm(layers.conv(image, 6, 3, name="one"), name="one_norm")
    locked = keras.layers.Softmax(name="mixed")(layer_class("ChannelSlice")(start=0, stop=3, name="first")(x))
    rest = layer_class("ChannelSlice")(start=3, stop=6, name="second")(x)
    x = layers.flatten(layers.concat([locked, rest], name="both"), name="flat")
    model = keras.Model(image, layers.dense(x, 10, name="logits"))
    after = []
    for penalty in (0.0, 0.5):
        plan = NetworkSlimmingSettings(sparse_epochs=1, penalty=penalty, **{**QUICK, "batch": 256})
        made = prepare(model, plan, Context(small_digits, 0, QuietWatch())).model
        after.append(made.get_layer("one_norm").gamma.numpy())
    wanted = -1.9 * 0.05 * 0.5 * np.array([0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(after[1] - after[0], wanted, atol=1e-6)


def test_scales_gather_at_zero_with_the_penalty_and_do_not_without(small_digits) -> None:
    session.open_session(0)
    found = {}
    for penalty in (0.0, 0.27):
        plan = NetworkSlimmingSettings(sparse_epochs=12, penalty=penalty, **QUICK)
        found[penalty] = prepare(network(), plan, Context(small_digits, 0, QuietWatch()))
    without, with_it = (found[penalty].report["scales"] for penalty in (0.0, 0.27))
    assert without["near_zero_after"] == 0.0
    assert with_it["near_zero_after"] > 0.2
    scales = pulled(ChannelGraph.of(found[0.0].model), NetworkSlimmingSettings(**QUICK))
    assert min(scale.values.min() for scale, _ in scales) > 0.7
    assert "no scale came below" in found[0.0].warnings[0]
    assert not found[0.27].warnings
    assert found[0.27].epochs == 12


def test_a_network_that_the_pull_has_killed_is_named() -> None:
    from pipelines.removal.scales import collapsed

    assert not collapsed(0.9, 0.75, 0.1)
    assert "fell from 0.900 to 0.100" in collapsed(0.9, 0.1, 0.1)[0]


def test_histogram_counts_every_scale_once() -> None:
    made = histogram(np.array([1.0, 0.5, 0.005]), np.array([0.0, 0.009, 2.0]))
    assert len(made["edges"]) == 21
    assert made["edges"][-1] == 2.0
    assert sum(made["before"]) == sum(made["after"]) == 3
    assert (made["after"][0], made["after"][-1]) == (2, 1)
    assert made["near_zero_before"] == pytest.approx(1 / 3)
    assert made["near_zero_after"] == pytest.approx(2 / 3)


def test_the_default_penalty_alone_moves_a_scale_as_far_as_the_papers(small_digits) -> None:
    """Cosine from 0.05 to 0.0005 without warm-up has a mean rate of about 0.02525; momentum makes it ten times that."""
    plan = NetworkSlimmingSettings(sparse_epochs=100, warmup=0.0, **QUICK)
    updates = 100 * (256 // 32)
    found = penalty_of(plan, Context(small_digits, 0, QuietWatch()), pull=6.6, momentum=0.9)
    assert found * updates * 0.02525 * 10 == pytest.approx(6.6, rel=0.02)
    assert penalty_of(NetworkSlimmingSettings(penalty=0.25), Context(small_digits, 0, QuietWatch()), pull=6.6) == 0.25


def test_one_threshold_over_all_scales_parts_the_channels_and_floors_hold(small_digits) -> None:
    """All scales of one layer lie below those of the others: a threshold on raw scales would empty it."""
    session.open_session(0)
    model = unpadded()
    draw = np.random.default_rng(0)
    for name, low, high in (("norm0", 1.0, 2.0), ("norm1", 0.001, 0.002), ("norm2", 1.0, 2.0)):
        norm = model.get_layer(name)
        norm.gamma.assign(draw.uniform(low, high, norm.gamma.shape))
    plan = NetworkSlimmingSettings(
        epochs=1, sparse_epochs=1, penalty=0.0, remove=0.4, target="channels",
        recalibration=1, **{**QUICK, "least": 3, "sparse_learning_rate": 1e-8},
    )  # fmt: skip
    outcome = METHODS["network_slimming"].apply(model, plan, Context(small_digits, 0, QuietWatch()))
    kept = {row["layers"][0]: row["kept"] for row in outcome.report["layers"]}
    assert kept["conv1"] == 3
    first, last = (model.get_layer(name).gamma.numpy() for name in ("norm0", "norm2"))
    # 40 % of 41 channels, image and answers included, are 17; the floor lets 9 of them be conv1's.
    assert kept["conv0"] + kept["conv2"] == 18 - (17 - 9)
    threshold = np.sort(np.concatenate([first, last]))[8]
    assert (kept["conv0"], kept["conv2"]) == ((first >= threshold).sum(), (last >= threshold).sum())


def test_a_network_without_norms_is_refused_before_training(small_digits) -> None:
    from zoo import layers
    from zoo.keras import keras

    image = keras.Input((8, 8, 1), name="image")
    x = layers.relu(layers.conv(image, 8, 3, name="one", bias=True), name="relu")
    model = keras.Model(image, layers.dense(layers.flatten(x, name="flat"), 10, name="logits"))
    context = Context(small_digits, 0, NoTraining())
    for name in ("network_slimming", "ista_gamma"):
        with pytest.raises(ValueError, match=f"{name} ranks channels by the scales.*geometric_median need no norms"):
            METHODS[name].apply(model, METHODS[name].settings(), context)
    frozen = network()
    for layer in frozen.layers:
        layer.trainable = False
    with pytest.raises(ValueError, match="with a scale that is trained"):
        METHODS["network_slimming"].apply(frozen, NetworkSlimmingSettings(**QUICK), context)


def test_what_the_floors_forbid_is_refused_before_training(small_digits) -> None:
    with pytest.raises(ValueError, match="is not possible"):
        METHODS["network_slimming"].apply(
            network(), NetworkSlimmingSettings(remove=0.95, least=32), Context(small_digits, 0, NoTraining())
        )


def test_units_of_an_addition_have_the_mean_of_their_scales_and_those_without_a_norm_stay() -> None:
    from pipelines.removal.scales import judged, score
    from zoo import layers
    from zoo.keras import keras

    image = keras.Input((8, 8, 1), name="image")
    one = layers.norm(layers.conv(image, 4, 3, name="one"), name="one_norm")
    other = layers.norm(layers.conv(image, 4, 3, name="other"), name="other_norm")
    x = layers.relu(layers.add([one, other], name="add"), name="relu")
    x = layers.relu(layers.conv(x, 4, 3, name="bare", bias=True), name="bare_relu")
    model = keras.Model(image, layers.dense(layers.flatten(x, name="flat"), 10, name="logits"))
    model.get_layer("one_norm").gamma.assign([1.0, -2.0, 3.0, 0.0])
    model.get_layer("other_norm").gamma.assign([3.0, 2.0, -1.0, 0.0])
    graph = ChannelGraph.of(model)
    worth = score(graph)
    assert [worth[unit] for unit in graph.outputs_of("one").tolist()] == [2.0, 2.0, 2.0, 0.0]
    assert set(worth) == set(judged(graph, "test")) == set(graph.outputs_of("one").tolist())
    assert {scale.maker for scale in scales_of(graph)} == {"one", "other"}
