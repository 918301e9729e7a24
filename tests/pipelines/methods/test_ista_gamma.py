"""ISTA on scales: one step as computed by hand, costs by hand, planted channels that go first, answers that stay."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipelines.methods import METHODS, Context
from pipelines.methods.ista_gamma import IstaGammaSettings, channel_cost, channel_costs, prepare
from pipelines.removal.absorb import absorb
from pipelines.removal.scales import pulled, score
from pipelines.training import session
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import network, unpadded
from zoo.channel_graph import ChannelGraph
from zoo.cut import cut

QUICK = {"batch": 32, "shift": 0.0, "multiple": 1, "least": 1, "sparse_learning_rate": 0.05}
PLANTED = [1, 4, 6]


def test_cost_of_a_channel_is_the_sum_done_by_hand() -> None:
    """Own filter + depthwise kernel that reads it + 1x1 convolution that reads it + its map, over 64 pixels."""
    graph = ChannelGraph.of(network())
    assert channel_cost(graph, "stem_conv") == (3 * 3 * 1 + 3 * 3 * 1 + 1 * 1 * 32 + 4 * 4) / 64
    assert channel_cost(graph, "stage1_1_pointwise_conv") == (16 + 32 + 4 * 4) / 64
    # The classifier reads all 16 cells of its flattened map.
    assert channel_cost(graph, "stage1_2_pointwise_conv") == (32 + 16 * 10 + 4 * 4) / 64
    scales = pulled(graph, IstaGammaSettings(**QUICK))
    relative = dict(zip((scale.maker for scale, _ in scales), channel_costs(graph, scales), strict=True))
    mean = (16 * 66 + 32 * 64 + 32 * 208) / 80
    wanted = {"stem_conv": 66 / mean, "stage1_1_pointwise_conv": 64 / mean, "stage1_2_pointwise_conv": 208 / mean}
    assert relative == pytest.approx(wanted)


def test_one_update_is_a_plain_step_and_a_soft_threshold_by_its_rate(small_digits) -> None:
    session.open_session(0)
    model, costs = network(), {}
    after = {}
    for penalty in (0.0, 0.5, 30.0):
        plan = IstaGammaSettings(sparse_epochs=1, penalty=penalty, **{**QUICK, "batch": 256})
        made = prepare(model, plan, quiet(small_digits))
        after[penalty], costs = made.model, made.report["channel_costs"]
    for maker, cost in costs.items():
        stepped, little, much = (
            after[penalty].get_layer(maker.replace("conv", "norm")).gamma.numpy() for penalty in (0.0, 0.5, 30.0)
        )
        assert (stepped != 1).all()
        for found, penalty in ((little, 0.5), (much, 30.0)):
            wanted = np.sign(stepped) * np.maximum(np.abs(stepped) - 0.05 * penalty * cost, 0)
            np.testing.assert_allclose(found, wanted, atol=1e-6, err_msg=maker)
    assert (much == 0).all()  # a threshold of 30 x 0.05 x 1.7 is beyond them, and zero is where they stay


def test_useless_channels_reach_zero_first_and_the_cut_changes_no_answer(small_digits) -> None:
    """What reads three channels of the first layer is frozen at zero, so that nothing holds their scales up."""
    session.open_session(0)
    model = unpadded()
    reader = model.get_layer("conv1")
    kernel = reader.get_weights()[0]
    kernel[:, :, PLANTED] = 0
    reader.set_weights([kernel])
    reader.trainable = False
    model.get_layer("norm0").beta.assign([0.4] * 10)
    plan = IstaGammaSettings(sparse_epochs=12, penalty=0.6, skip="conv1,conv2", **QUICK)
    made = prepare(model, plan, quiet(small_digits))
    gamma = made.model.get_layer("norm0").gamma.numpy()
    assert set(np.flatnonzero(gamma == 0)) == set(PLANTED)
    assert made.report["zero_scales_by_epoch"][0] == 0
    assert made.report["zero_scales_by_epoch"][-1] == pytest.approx(0.3)
    images = np.random.default_rng(1).random((16, 8, 8, 1)).astype(np.float32)
    assert distance_after_cut(made.model, images) < 1e-5


def test_zeros_in_every_layer_are_absorbed(small_digits) -> None:
    session.open_session(0)
    model = unpadded()
    for name in ("norm0", "norm1", "norm2"):
        norm = model.get_layer(name)
        norm.gamma.assign(np.where(np.arange(norm.gamma.shape[0]) < 3, 0.01, 1.0))
        norm.beta.assign(np.full(norm.beta.shape, 0.4))
    made = prepare(model, IstaGammaSettings(sparse_epochs=4, penalty=0.3, **QUICK), quiet(small_digits))
    graph = ChannelGraph.of(made.model)
    worth = score(graph)
    for name in ("conv0", "conv1", "conv2"):
        zeros = [worth[unit] == 0 for unit in graph.outputs_of(name).tolist()]
        assert any(zeros), name
        assert not all(zeros), name
    images = small_digits.splits["validation"].images[:32].astype(np.float32) / 255
    assert distance_after_cut(made.model, images) < 1e-5


def quiet(data):
    return Context(data, 0, QuietWatch())


def distance_after_cut(model, images):
    """The largest change of an answer, relative to the largest answer, when all units of scale zero are cut."""
    graph = ChannelGraph.of(model)
    zero = [unit for unit, value in score(graph).items() if value == 0]
    before = model(images, training=False).numpy()
    absorb(graph, zero, images)
    after = cut(graph, zero)(images, training=False).numpy()
    return np.abs(before - after).max() / np.abs(before).max()


@pytest.mark.parametrize("amount", ["zeros", "target"])
def test_what_went_to_zero_is_removed_or_as_much_as_was_asked(amount, small_digits) -> None:
    session.open_session(0)
    plan = IstaGammaSettings(
        epochs=1, sparse_epochs=8, penalty=0.8, amount=amount, remove=0.8, target="params", recalibration=0, **QUICK
    )
    outcome = METHODS["ista_gamma"].apply(unpadded(), plan, quiet(small_digits))
    report = outcome.report
    gone = sum(row["channels"] - row["kept"] for row in report["layers"])
    zeros = round(report["zero_scales_by_epoch"][-1] * 30)
    assert 0 < zeros < 30
    if amount == "zeros":
        assert gone == zeros
        assert report["validation_top1_after_cut"] == report["validation_top1_prepared"]
    else:
        assert report["left"] <= 0.2
    assert report["absorption_error"] < 1e-5
    assert len(report["zero_scales_by_epoch"]) == 8


def test_without_zeros_the_trained_model_comes_back_whole_with_the_reason(small_digits) -> None:
    session.open_session(0)
    plan = IstaGammaSettings(epochs=1, sparse_epochs=1, penalty=0.01, recalibration=0, **QUICK)
    outcome = METHODS["ista_gamma"].apply(network(), plan, quiet(small_digits))
    assert outcome.model.count_params() == network().count_params()
    assert outcome.report["left"] == 1.0
    assert "no scale reached 0 with penalty 0.01" in outcome.warnings[0]
    assert "no channel is removed; raise penalty or sparse_epochs" in outcome.warnings[0]


def test_floors_that_hold_zeros_back_are_named(small_digits) -> None:
    session.open_session(0)
    plan = IstaGammaSettings(
        epochs=1, sparse_epochs=1, penalty=100.0, recalibration=0, **{**QUICK, "least": 6, "multiple": 4}
    )
    outcome = METHODS["ista_gamma"].apply(network(), plan, quiet(small_digits))
    assert [row["kept"] for row in outcome.report["layers"]] == [6, 6, 6]
    assert any("18 of 80 units with scales of 0 stay" in warning for warning in outcome.warnings)


def test_a_control_starts_from_what_was_prepared_and_not_from_what_was_settled(small_digits, monkeypatch) -> None:
    """At random as many channels go; were biases settled for the others, they would hold constants twice."""
    from pipelines.removal import remove as way

    seen = []
    controls = way._Controls
    monkeypatch.setattr(
        way, "_Controls", lambda graph, *rest: seen.append(graph.model.get_weights()) or controls(graph, *rest)
    )
    session.open_session(0)
    plan = IstaGammaSettings(epochs=1, sparse_epochs=3, penalty=2.0, recalibration=0, **QUICK)
    context = quiet(small_digits)
    outcome = METHODS["ista_gamma"].apply(unpadded(bias=True), plan, context)
    session.open_session(0)
    made = prepare(unpadded(bias=True), plan, dataclasses.replace(context, watch=QuietWatch()))
    assert outcome.report["absorbed"]
    assert all((a == b).all() for a, b in zip(seen[0], made.model.get_weights(), strict=True))
