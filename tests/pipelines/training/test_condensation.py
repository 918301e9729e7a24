"""Networks that learn their groups through the shared loop: stages, resuming, the best epoch, what is reported."""

import numpy as np
import pytest

from pipelines.methods import METHODS, Context
from pipelines.training import loop, session
from pipelines.training.condensation import Condensation
from pipelines.training.loop import FitReport, fit, predictor
from pipelines.training.reports import fit_warnings
from pipelines.training.settings import Fitting
from pipelines.training.watch import QuietWatch
from tests.pipelines.training.test_loop import StopAfter, same_weights
from zoo.deploy import deploy
from zoo.learned_groups import describe

SETTINGS = {"batch": 32, "learning_rate": 5e-3, "shift": 0.0}


def condensing(seed=0):
    """Two layers and the classifier of a CondenseNet with 4 groups, condensed by 4."""
    from zoo import layers
    from zoo.architectures.condensenet import bottleneck, head
    from zoo.blocks.convolution import norm_activate
    from zoo.blocks.grouped import grouped_conv
    from zoo.keras import keras

    keras.utils.set_random_seed(seed)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.conv(image, 16, 3, name="stem_conv", stride=2)
    for number in (1, 2):
        y = bottleneck(x, 32, f"stage1_{number}_bottleneck", "train", 4, 4)
        y = grouped_conv(y, 16, 3, name=f"stage1_{number}_grow", groups=4, form="train")
        x = layers.concat([x, y], name=f"stage1_{number}_concat")
    x = norm_activate(x, "relu", name="last")
    return keras.Model(image, head(x, 10, "train", 0.0))


def choosing(seed=0):
    """Three 1x1 convolutions that learn four groups each."""
    from zoo import layers
    from zoo.architectures.flgc import learned_group_norm
    from zoo.blocks.convolution import conv_norm
    from zoo.keras import keras

    keras.utils.set_random_seed(seed)
    image = keras.Input((8, 8, 1), name="image")
    x = conv_norm(image, 16, 3, name="stem", stride=2, activation="relu6")
    for number in (1, 2, 3):
        name = f"stage1_{number}"
        x = learned_group_norm(x, 32, name=name, groups=4, form="train", activation="relu6")
    return keras.Model(image, layers.dense(layers.flatten(x, name="head_flat"), 10, name="head_logits"))


def densities(model):
    return [row["density"] for row in describe(model)]


def masks(model):
    return [layer.mask.numpy() for layer in model.layers if hasattr(layer, "condense")]


def assert_deploys_equal(model, data):
    images = data.splits["validation"].images
    ours, theirs = predictor(model)(images), predictor(deploy(model))(images)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5 * np.abs(ours).max())


def test_training_condenses_learns_and_deploys_with_equal_answers(small_digits):
    session.open_session(0)
    model = condensing()
    report = fit(model, small_digits, Fitting(epochs=10, **SETTINGS), QuietWatch(), seed=0)
    assert densities(model) == [0.25, 0.25, 0.5]  # 1 - 1/C of the weights are gone, and half of the classifier's
    assert report.best_epoch > 5
    assert report.history[-1]["validation_top1"] > 0.4  # after 80 updates; 0.1 is chance
    assert [(row["groups"], row["stage"], row["stages"]) for row in report.learned_groups] == [(4, 3, 3)] * 2 + [
        (1, 1, 1)
    ]
    assert not any("condensation" in warning for warning in fit_warnings(report))
    assert_deploys_equal(model, small_digits)
    gone = 3 / 4 * (16 * 32 + 32 * 32) + 48 * 10 / 2 + (16 + 32) * 4 + 48  # kernels, classifier, masks
    assert deploy(model).count_params() == model.count_params() - gone


def test_stages_are_spread_evenly_over_the_first_half_to_the_update():
    model = condensing()
    schedule = Condensation(model, epochs=6, updates=10)
    stages, at = {}, 0
    while at < 60:
        ahead = schedule.advance(at)
        stages[at] = describe(model)[0]["stage"]
        at += min(ahead, 7)  # in pieces, as the loop goes
    begins = [min(at for at, stage in stages.items() if stage >= wanted) for wanted in (1, 2, 3)]
    assert begins == [10, 20, 30]
    assert schedule.done_in_epoch == 3
    assert Condensation(model, epochs=6, updates=10).done_in_epoch == 0  # a further training finds it condensed


def test_very_short_training_condenses_as_well():
    model = condensing()
    Condensation(model, epochs=1, updates=2).advance(1)
    assert densities(model) == [0.25, 0.25, 0.5]


def test_resumed_condensation_ends_with_bit_equal_weights_and_masks(small_digits, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.training.loop.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("pipelines.training.loop.CHUNK_SECONDS", 0.0)
    settings = Fitting(epochs=5, **SETTINGS)
    session.open_session(0)
    uninterrupted = condensing()
    whole = fit(uninterrupted, small_digits, settings, QuietWatch(), seed=3)
    interrupted = condensing()
    with pytest.raises(InterruptedError):
        fit(interrupted, small_digits, settings, StopAfter(tmp_path, 13), seed=3)  # between the stages
    assert 0.25 < densities(interrupted)[0] < 1
    resumed = condensing()
    rest = fit(resumed, small_digits, settings, QuietWatch(tmp_path), seed=3)
    assert rest.resumed_from_epoch
    assert same_weights(uninterrupted, resumed)
    assert (rest.history, rest.best_epoch) == (whole.history, whole.best_epoch)


def falling(model):
    """A judge to whom the first epoch was the best."""
    scores = iter(np.linspace(0.9, 0.1, 30))
    return lambda split: (1.0, float(next(scores)))


def test_the_best_weights_are_never_those_of_the_network_before_condensation(small_digits, monkeypatch):
    monkeypatch.setattr(loop, "scorer", falling)
    session.open_session(0)
    model = condensing()
    report = fit(model, small_digits, Fitting(epochs=6, keep="best", **SETTINGS), QuietWatch(), seed=0)
    assert report.best_epoch == 4  # the last stage begins with the fourth epoch
    assert densities(model) == [0.25, 0.25, 0.5]


def test_patience_waits_for_the_end_of_condensation(small_digits, monkeypatch):
    monkeypatch.setattr(loop, "scorer", falling)
    session.open_session(0)
    model = condensing()
    report = fit(model, small_digits, Fitting(epochs=8, patience=1, **SETTINGS), QuietWatch(), seed=0)
    assert report.stopped_early
    assert (report.best_epoch, report.epochs_done) == (5, 6)
    assert densities(model) == [0.25, 0.25, 0.5]


def test_condensation_goes_on_in_whichever_method_trains(small_digits):
    session.open_session(0)
    teacher, model = condensing(1), condensing()
    context = Context(small_digits, 0, QuietWatch(), load_run=lambda run: teacher)
    settings = METHODS["hinton"].settings(epochs=2, teacher="run:r1", **SETTINGS)
    outcome = METHODS["hinton"].apply(model, settings, context)
    assert densities(outcome.model) == [0.25, 0.25, 0.5]
    assert densities(model) == [1.0, 1.0, 1.0]
    assert [row["density"] for row in outcome.report["fit"]["learned_groups"]] == [0.25, 0.25, 0.5]
    before = masks(outcome.model)
    again = METHODS["supervised"].apply(
        outcome.model, METHODS["supervised"].settings(epochs=1, **SETTINGS), Context(small_digits, 0, QuietWatch())
    )
    assert all((one == other).all() for one, other in zip(before, masks(again.model), strict=True))


def test_unfinished_condensation_is_said():
    model = condensing()
    model.get_layer("stage1_1_bottleneck_conv").condense()
    (warning,) = fit_warnings(FitReport(1, 1, learned_groups=describe(model)))
    assert warning.startswith("condensation is not finished: stage1_1_bottleneck_conv, stage1_2_bottleneck_conv")
    assert "reached stage 1 of 3" in warning


def test_learned_groups_move_while_they_train_and_deploy_with_equal_answers(small_digits):
    session.open_session(0)
    model = choosing()
    chosen = [layer.channel_groups() for layer in model.layers if hasattr(layer, "channel_groups")]
    settings = Fitting(epochs=10, **{**SETTINGS, "learning_rate": 2e-2})
    report = fit(model, small_digits, settings, QuietWatch(), seed=0)
    after = [layer.channel_groups() for layer in model.layers if hasattr(layer, "channel_groups")]
    assert all(one != other for one, other in zip(chosen, after, strict=True))
    assert report.history[-1]["validation_top1"] > 0.4
    assert_deploys_equal(model, small_digits)
    assert [row["stage"] for row in report.learned_groups] == [None] * 3
    assert any("came out unequal" in warning for warning in fit_warnings(report))


def test_empty_groups_are_said():
    model = choosing()
    layer = model.get_layer("stage1_2_conv")
    kernel, into, out = layer.get_weights()
    into[:, 3] = -9.0
    layer.set_weights([kernel, into, out])
    (row,) = [row for row in describe(model) if row["empty_groups"]]
    assert row["empty_groups"] == [4]
    warning = fit_warnings(FitReport(1, 1, learned_groups=[row]))[0]
    assert "came out empty in stage1_2_conv" in warning
    assert f"{row['dead_outputs']} of their output channels are constant" in warning
