"""Masks trained to zero: exactly, without labels, and folded into weights without a trace; branches that may go."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipelines.methods import METHODS, Context
from pipelines.training import session
from pipelines.training.loop import fit, predictor
from pipelines.training.settings import Fitting
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import network
from zoo.branches import branches_of, scaled, without
from zoo.channel_graph import ChannelGraph
from zoo.plans import Plan

METHOD = METHODS["adversarial"]


def residual(blocks: int = 2, end: str = "norm"):
    """A small ResNet; the branch of block 1 gives a constant zero, because the scale and offset of its norm are 0."""
    from zoo import layers
    from zoo.keras import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.conv(image, 8, 3, name="stem_conv", stride=2)
    x = layers.relu(layers.norm(x, name="stem_norm"), name="stem_relu")
    for block in range(1, blocks + 1):
        y = layers.conv(x, 8, 3, name=f"block{block}_conv1")
        y = layers.relu(layers.norm(y, name=f"block{block}_norm1"), name=f"block{block}_relu1")
        y = layers.conv(y, 8, 3, name=f"block{block}_conv2")
        y = layers.norm(y, name=f"block{block}_norm2")
        x = layers.relu(layers.add([x, y], name=f"block{block}_add"), name=f"block{block}_relu2")
    return keras.Model(image, layers.dense(layers.flatten(x, name="flatten"), 10, name="logits"))


@pytest.fixture(scope="module")
def trained_residual(small_digits):
    session.open_session(0)
    model = residual()
    silent = model.get_layer("block1_norm2")
    gamma, _, mean, variance = silent.get_weights()
    silent.set_weights([np.zeros_like(gamma), np.zeros_like(gamma), mean, variance])
    silent.trainable = False
    plan = Fitting(epochs=8, batch=32, learning_rate=5e-3, shift=0.0)
    fit(model, small_digits, plan, QuietWatch(), seed=0)
    assert not model.get_layer("block1_norm2").get_weights()[0].any()
    return model


@pytest.fixture(scope="module")
def trained(small_digits):
    session.open_session(0)
    model = network()
    fit(model, small_digits, Fitting(epochs=4, batch=32, learning_rate=5e-3, shift=0.0), QuietWatch(), seed=0)
    return model


def settings(**changes):
    quick = {
        "epochs": 1, "batch": 32, "recalibration": 4, "multiple": 1, "least": 1, "mask_epochs": 4, "mask_every": 1,
        "penalty": 0.1, "shift": 0.0,
    }  # fmt: skip
    return METHOD.settings(**{**quick, **changes})


def test_a_branch_of_zeros_gets_a_mask_of_exactly_zero_and_leaving_it_out_changes_nothing(
    trained_residual, small_digits
) -> None:
    still = settings(
        structures="branches", amount="zeros", mask_learning_rate=1e-6, learning_rate=1e-9, recalibration=0,
        penalty=0.1,
    )  # fmt: skip
    outcome = METHOD.apply(trained_residual, still, Context(small_digits, 0, QuietWatch()))
    first, second = outcome.report["branches"]
    assert (first["add"], first["mask"], first["removed"]) == ("block1_add", 0.0, True)
    assert not second["removed"]
    assert second["mask"] > 0
    names = {layer.name for layer in outcome.model.layers}
    assert not any(name.startswith("block1") for name in names - {"block1_relu2"})
    assert outcome.report["params_before"] == trained_residual.count_params()
    assert outcome.report["params_after"] == outcome.model.count_params() < trained_residual.count_params()
    plan = Plan.of(trained_residual)
    images = small_digits.splits["validation"].images
    whole = predictor(trained_residual)(images)
    np.testing.assert_allclose(predictor(without(plan, branches_of(plan)[:1]).build())(images), whole, atol=1e-5)


def test_a_branch_takes_a_factor_in_its_last_layer(trained_residual, small_digits) -> None:
    from zoo.keras import keras

    plan = Plan.of(trained_residual)
    one, two = branches_of(plan)
    assert (one.scale, two.scale) == ("block1_norm2", "block2_norm2")
    assert two.calls == ("block2_conv1", "block2_norm1", "block2_relu1", "block2_conv2", "block2_norm2")
    pixels = small_digits.splits["validation"].images[:16].astype(np.float32) / 255
    place = ("block2_relu1", "block2_norm2", "block1_relu2", "block2_add")
    watch = keras.Model(trained_residual.inputs, [trained_residual.get_layer(name).output for name in place])
    _, branch, trunk, _ = (value.numpy() for value in watch(pixels))
    scaled(plan, two, 0.3)
    after = plan.build()
    found = keras.Model(after.inputs, after.get_layer("block2_add").output)(pixels).numpy()
    np.testing.assert_allclose(found, trunk + 0.3 * branch, atol=1e-5)


def test_branches_are_taken_until_the_target_is_reached_and_impossible_wishes_are_refused(
    trained_residual, small_digits
) -> None:
    class NoTraining(QuietWatch):
        def progress(self, *_: object) -> None:
            raise AssertionError("training began")

    context = Context(small_digits, 0, NoTraining())
    with pytest.raises(ValueError, match=r"remove = 0\.99 of the macs is not possible: all 2 branches together"):
        METHOD.apply(trained_residual, settings(structures="branches", remove=0.99), context)
    with pytest.raises(ValueError, match="no branch of an addition that could go"):
        METHOD.apply(network(), settings(structures="branches"), context)
    with pytest.raises(ValueError, match="use macs or params"):
        METHOD.apply(trained_residual, settings(structures="branches", target="channels"), context)
    with pytest.raises(ValueError, match="use e or none"):
        METHOD.apply(trained_residual, settings(structures="branches", control_random=True), context)
    half = settings(structures="branches", remove=0.4, mask_epochs=1)
    outcome = METHOD.apply(trained_residual, half, Context(small_digits, 0, QuietWatch()))
    assert sum(row["removed"] for row in outcome.report["branches"]) == 1
    assert outcome.report["left"] <= 0.6


@pytest.mark.slow
def test_labels_are_never_read(trained, small_digits) -> None:
    train = small_digits.splits["train"]
    shuffled = dataclasses.replace(train, labels=np.random.default_rng(1).permutation(train.labels))
    other = dataclasses.replace(small_digits, splits={**small_digits.splits, "train": shuffled})
    assert (shuffled.labels != train.labels).any()
    found = []
    for data in (small_digits, other):
        session.open_session(0)
        plan = settings(discriminator=0.5, mask_epochs=1, shift=0.1)
        found.append(METHOD.apply(trained, plan, Context(data, 0, QuietWatch())))
    for a, b in zip(found[0].model.get_weights(), found[1].model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    losses = [row["train_loss"] for row in found[0].report["mask_fit"]["history"]]
    assert np.isfinite(losses).all()
    assert np.isfinite(predictor(found[0].model)(train.images)).all()


def test_channels_of_mask_zero_are_cut_without_a_trace_and_other_masks_lie_in_the_weights(
    trained, small_digits
) -> None:
    """Against the masked network itself: its answers before the cut, asked of the student with its masks."""
    from pipelines.methods.adversarial import _Channels
    from zoo.cut import cut

    kept = {}

    class Watching(_Channels):
        def _trained(self, *arguments):
            kept["student"], kept["masks"], fitted = found = super()._trained(*arguments)
            assert fitted.epochs_done == 6
            return found

    session.open_session(0)
    plan = settings(amount="zeros", mask_epochs=6, penalty=0.05)
    structures = Watching(plan, Context(small_digits, 0, QuietWatch()))
    prepared = structures.prepare(trained)
    images = small_digits.splits["validation"].images
    masked = predictor(kept["student"])(images)
    np.testing.assert_allclose(predictor(prepared.model)(images), masked, atol=1e-4)
    zeros = [unit for unit, mask in structures.worth.items() if mask == 0]
    assert 0 < len(zeros) < len(structures.worth)
    assert len({mask for mask in kept["masks"].tolist() if mask > 0}) > 3
    graph = ChannelGraph.of(prepared.model)
    whole = predictor(prepared.model)(images)
    session.open_session(0)
    outcome = METHOD.apply(trained, plan, Context(small_digits, 0, QuietWatch()))
    assert outcome.report["masks"]["zeros"] == len(zeros)
    gone = sum(row["channels"] - row["kept"] for row in outcome.report["layers"])
    assert 0 < gone <= len(zeros)
    if gone == len(zeros):  # else a layer would have been emptied
        np.testing.assert_allclose(predictor(cut(graph, zeros))(images), whole, atol=1e-5)


def test_masks_and_discriminator_go_on_bit_equal_after_a_stop(trained, small_digits, tmp_path, monkeypatch) -> None:
    from pipelines.methods.adversarial import _Channels
    from pipelines.training import loop

    class Stopped(Exception):
        pass

    class Stopping(QuietWatch):
        def progress(self, done, *_: object) -> None:
            if done > 10:  # in the second epoch of eight updates
                raise Stopped

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    plan = settings(discriminator=0.5, mask_epochs=2, mask_every=3)

    def masks(watch):
        session.open_session(0)
        structures = _Channels(plan, Context(small_digits, 0, watch))
        prepared = structures.prepare(trained)
        return prepared, structures.worth

    whole, worth = masks(QuietWatch())
    with pytest.raises(Stopped):
        masks(Stopping(tmp_path))
    resumed, again = masks(QuietWatch(tmp_path))
    assert resumed.report["mask_fit"]["resumed_from_epoch"] == 1
    assert worth == again
    assert any(0 < mask < 1 for mask in worth.values())
    for a, b in zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_penalty_of_nothing_removes_nothing_and_says_so(trained, small_digits) -> None:
    session.open_session(0)
    plan = settings(amount="zeros", penalty=0.0, mask_epochs=1, mask_rate=1e-4)
    outcome = METHOD.apply(trained, plan, Context(small_digits, 0, QuietWatch()))
    assert outcome.report["left"] == 1
    assert np.isfinite([row["train_loss"] for row in outcome.report["mask_fit"]["history"]]).all()
    assert any("nothing was removed: 0 masks reached zero" in warning for warning in outcome.warnings)


def test_masks_step_as_the_formula_says_and_slopes_are_those_of_the_loss() -> None:
    from zoo.keras import keras, tf
    from zoo.keras_gates import MaskGate, Masks

    session.open_session(0)
    masks = Masks(2, name="masks")
    image = keras.Input((3,))
    model = keras.Model(image, MaskGate(masks, np.array([0, 1, 2]))(image))
    x = tf.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])

    @tf.function
    def slopes():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(x) * [[1.0, 2.0, 4.0]])
        return tape.gradient(loss, model.trainable_variables)

    slopes()
    np.testing.assert_allclose(masks.slopes, [5.0, 14.0])
    slopes()
    masks.step(0.1, 0.2, 2)
    np.testing.assert_allclose(masks.values, [1 - 0.5 - 0.02, 0.0])
    np.testing.assert_allclose(masks.slopes, [0.0, 0.0])
    values, last, pace = 0.48, 1.0, (1 + np.sqrt(5)) / 2
    assert float(masks.pace[0]) == pytest.approx(pace)
    for _ in range(2):  # without a slope: momentum and threshold alone
        ahead = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        values, last, pace = values + (pace - 1) / ahead * (values - last) - 0.02, values, ahead
        masks.step(0.1, 0.2, 1)
        np.testing.assert_allclose(masks.values, [values, 0.0], atol=1e-6)
    assert float(masks.pace[0]) == pytest.approx(pace)
    masks.slopes.assign([-0.5, 0.0])  # the loss would fall with a larger mask, the momentum goes on down
    masks.step(0.1, 0.2, 1)
    assert float(masks.values[0]) < values
    assert float(masks.pace[0]) == 1.0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"remove": 0.99}, "is not possible"),
        ({"remove": 0.5, "least": 64, "multiple": 1}, "is not possible"),
        ({"amount": "zeros", "least": 64, "multiple": 1}, "lets no layer lose a channel"),
    ],
)
def test_what_cannot_be_reached_is_refused_before_masks_are_trained(values, said, small_digits) -> None:
    from pipelines.methods import METHODS, Context
    from tests.pipelines.small import network

    class Watch(QuietWatch):
        def check(self) -> None:
            raise AssertionError("a training began")

    settings = METHODS["adversarial"].settings(**values)
    with pytest.raises(ValueError, match=said):
        METHODS["adversarial"].apply(network(), settings, Context(small_digits, 0, Watch()))
