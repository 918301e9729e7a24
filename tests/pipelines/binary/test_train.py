"""Networks of one-bit weights: what the training leaves in the kernels, and what it refuses beforehand."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from pipelines.binary.places import Binarised
from pipelines.binary.train import differing
from pipelines.method import Context
from pipelines.methods import METHODS
from pipelines.training import session
from pipelines.training.loop import predictor
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import DyingWatch, network, shaped


@pytest.fixture(scope="module")
def learned(small_digits):
    from pipelines.training.loop import fit
    from pipelines.training.settings import Fitting

    session.open_session(0)
    model = network()
    fit(model, small_digits, Fitting(epochs=10, batch=32, learning_rate=5e-3, shift=0.0), QuietWatch(), seed=0)
    return model


@pytest.fixture(scope="module")
def signed(learned, small_digits):
    return shaped("binary", learned, small_digits, epochs=10, learning_rate=5e-3, shift=0.0)


def test_every_filter_holds_two_values_of_one_magnitude(signed) -> None:
    for row in signed.report["binary_layers"]:
        kernel = signed.model.get_layer(row["layer"]).get_weights()[0]
        for filter in np.moveaxis(kernel, -1, 0):
            assert len(np.unique(np.abs(filter))) == 1
            assert len(np.unique(filter)) <= 2


def test_it_learned_more_than_chance_and_says_what_no_runtime_does(signed) -> None:
    report = signed.report
    assert report["validation_top1_after"] > 0.6
    assert any("no runtime here computes with single bits" in warning for warning in signed.warnings)
    rows = report["binary_layers"]
    assert all(row["bytes_packed"] == row["weights"] // 8 + 4 * 32 for row in rows)
    saved = sum(row["bytes_float32"] - row["bytes_packed"] for row in rows)
    assert report["bytes_float32"] - report["bytes_packed"] == saved


def test_xnor_and_popcount_give_what_the_layers_compute(signed, small_digits) -> None:
    assert signed.report["xnor_differs_in"] == []
    images = small_digits.splits["train"].images[:32].astype(np.float32) / 255.0
    names = tuple(row["layer"] for row in signed.report["binary_layers"])
    assert differing(signed.model, names, images) == []


def test_the_proof_would_notice_a_layer_that_reads_no_signs(learned, small_digits) -> None:
    images = small_digits.splits["train"].images[:4].astype(np.float32) / 255.0
    assert differing(learned, ("stage1_1_pointwise_conv",), images) == ["stage1_1_pointwise_conv"]


def test_weights_behind_the_signs_stay_within_one_once_they_are_clipped(learned, small_digits, monkeypatch) -> None:
    """With a huge rate they leave [-1, 1] unless something holds them."""
    from pipelines.training import loop

    seen: list[float] = []
    real = loop.fit

    def watched(model, *arguments, **named):
        found = real(model, *arguments, **named)
        named["hooks"].update(10**6)  # what stands before an update of the second stage
        seen.append(max(float(np.abs(layer.kernel).max()) for layer in model.layers if hasattr(layer, "signed")))
        return found

    monkeypatch.setattr(loop, "fit", watched)
    shaped("binary_connect", learned, small_digits, epochs=2, learning_rate=0.5, unclipped=1.0)
    assert seen[-1] == 1.0
    del seen[:]
    monkeypatch.setattr(loop, "fit", real)


def test_a_killed_training_goes_on_to_the_same_bits(learned, small_digits, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("pipelines.training.loop.CHECKPOINT_SECONDS", 0.0)
    whole = shaped("binary", learned, small_digits, epochs=4, watch=QuietWatch(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        shaped("binary", learned, small_digits, epochs=4, watch=DyingWatch(tmp_path / "killed", "quantise", 3))
    again = shaped("binary", learned, small_digits, epochs=4, watch=QuietWatch(tmp_path / "killed"))
    assert again.report["fit"]["resumed_from_epoch"] == 2
    pairs = zip(whole.model.get_weights(), again.model.get_weights(), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(
    ("method", "values", "name", "said"),
    [
        ("binary_connect", {}, "squeezenet", "magnitude = one needs a norm behind every binary layer"),
        ("binary_ensemble", {}, "squeezenet", "must be a dense one"),
        ("binary_ensemble", {"ends": "binary"}, "mobilenet_v1", "the last layer, which must stay float"),
        ("main_subsidiary", {}, "mobilenet_v1", "no layer with binary weights"),
    ],
)
def test_what_cannot_be_is_refused_before_any_training(small_digits, method, values, name, said) -> None:
    class Watch(QuietWatch):
        def check(self) -> None:
            raise AssertionError("a training began")

    model = zoo.build(name, resolution=16, classes=10, channels=1)
    with pytest.raises(ValueError, match=said):
        METHODS[method].apply(model, METHODS[method].settings(**values), Context(small_digits, 0, Watch()))


def test_a_network_of_two_layers_has_nothing_between_its_ends(small_digits) -> None:
    from zoo import layers
    from zoo.keras import keras

    image = keras.Input((8, 8, 1), name="image")
    x = layers.flatten(layers.conv(image, 4, name="stem_conv"), name="flatten")
    model = keras.Model(image, layers.dense(x, 10, name="logits"))
    with pytest.raises(ValueError, match="ends: binary takes those too"):
        shaped("binary_connect", model, small_digits)


def test_nothing_is_planned_in_place(learned) -> None:
    from pipelines.binary.train import planned

    before = [layer.name for layer in learned.layers]
    found = planned(learned, METHODS["binary"].settings(), signs=True)
    assert isinstance(found, Binarised)
    assert [layer.name for layer in learned.layers] == before


def test_members_of_an_ensemble_are_added_up_by_their_voices(learned, signed, small_digits) -> None:
    from pipelines.methods.binary_ensemble import voting

    images = small_digits.splits["validation"].images[:16]
    whole = predictor(voting([learned, signed.model], [3.0, 1.0]))(images)
    wanted = 0.75 * predictor(learned)(images) + 0.25 * predictor(signed.model)(images)
    assert np.allclose(whole, wanted, atol=1e-4)
    with pytest.raises(ValueError, match="better than guessing"):
        voting([learned], [0.0])


def test_a_voice_follows_the_error_and_is_never_negative() -> None:
    from pipelines.methods.binary_ensemble import RATE, voice_of

    assert voice_of(0.5, 2, 100) == 0
    assert voice_of(0.9, 10, 100) == pytest.approx(0, abs=1e-12), "guessing among ten"
    assert voice_of(0.95, 10, 100) == 0
    assert voice_of(0.5, 10, 100) == pytest.approx(RATE * np.log(9))
    assert np.isfinite(voice_of(0.0, 10, 100))


def test_boosting_gives_hard_images_more_weight_and_bagging_draws_with_replacement(learned, small_digits) -> None:
    quick = {"members": 2, "epochs": 1, "learning_rate": 1e-3, "shift": 0.0, "recalibration": 4}
    outcome = shaped("binary_ensemble", learned, small_digits, draw="boosting", **quick)
    voices = [member["voice"] for member in outcome.report["members"]]
    assert len(voices) == 2
    assert all(voice >= 0 for voice in voices)
    assert outcome.report["params_after"] == pytest.approx(2 * learned.count_params(), rel=0.01)


def test_switches_take_filters_away_and_weights_stay_binary(learned, small_digits) -> None:
    from pipelines.methods.main_subsidiary import is_binary
    from zoo.plans import Plan

    given = shaped("binary_connect", learned, small_digits, epochs=6, shift=0.0)
    outcome = shaped("main_subsidiary", given.model, small_digits, epochs=1, mask_rate=0.05, penalty=5.0)
    rows = outcome.report["layers"]
    assert sum(row["kept"] for row in rows) < sum(row["channels"] for row in rows)
    assert min(row["kept"] for row in rows) >= 4
    assert outcome.report["params_after"] < outcome.report["params_before"]
    assert outcome.report["bytes_float32"] == 4 * outcome.report["params_after"]
    assert outcome.report["bytes_packed"] < given.report["bytes_packed"]
    plan = Plan.of(outcome.model)
    assert plan is not None
    assert all(is_binary(plan, row["layers"][0]) for row in rows)


def test_without_a_penalty_a_filter_that_harms_is_the_one_that_goes(learned, small_digits) -> None:
    """One filter answers a large constant that its reader turns into noise: its switch turns off, before any other."""
    from dataclasses import replace

    from pipelines.methods.main_subsidiary import MainSubsidiarySettings, _switched
    from zoo.channel_graph import ChannelGraph
    from zoo.plans import Plan

    plan = Plan.of(learned)
    assert plan is not None
    gamma, beta, mean, variance = plan.calls["stage1_1_pointwise_norm"].weights
    beta = beta.copy()
    beta[7] = 6.0
    kernel = plan.calls["stage1_2_pointwise_conv"].weights[0].copy()
    kernel[:, :, 7] = np.where(np.arange(32) % 2, 0.7, -0.7)
    plan.calls["stage1_1_pointwise_norm"] = replace(
        plan.calls["stage1_1_pointwise_norm"], weights=(gamma, beta, mean, variance)
    )
    plan.calls["stage1_2_pointwise_conv"] = replace(plan.calls["stage1_2_pointwise_conv"], weights=(kernel,))
    session.open_session(0)
    model = plan.build()
    graph = ChannelGraph.of(model)
    units = np.intersect1d(graph.outputs_of("stage1_1_pointwise_conv"), graph.free)
    settings = MainSubsidiarySettings(mask_epochs=2, mask_rate=0.02, penalty=0.0, batch=32, shift=0.0)
    logits = _switched(model, graph, units, settings, Context(small_digits, 0, QuietWatch()), 1)
    worst = int(graph.outputs_of("stage1_1_pointwise_conv")[7])
    assert logits[units.tolist().index(worst)] <= 0
    assert logits.argmin() == units.tolist().index(worst)
