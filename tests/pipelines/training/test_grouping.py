"""Trained networks whose pointwise convolutions learn groups: what is left, what is deployed, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from pipelines.methods import METHODS, Context
from pipelines.methods.fully_learned_groups import imbalance
from pipelines.methods.learned_groups import group_lasso
from pipelines.training import session
from pipelines.training.loop import fit, predictor, scorer
from pipelines.training.settings import Fitting
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import digits, network
from tests.pipelines.training.test_loop import StopAfter, same_weights

FIRST, SECOND = "stage1_1_pointwise_conv", "stage1_2_pointwise_conv"
CELLS = 4 * 4  # of the maps that both read
PLAN = {"epochs": 6, "batch": 32, "learning_rate": 2e-3, "shift": 0.0}


class NoTraining(QuietWatch):
    def progress(self, *_: object) -> None:
        raise AssertionError("training began")


@pytest.fixture(scope="module")
def some_digits(cache_folder):
    return digits(cache_folder, images=800)


@pytest.fixture(scope="module")
def trained(some_digits):
    session.open_session(0)
    model = network()
    fit(model, some_digits, Fitting(epochs=10, batch=32, learning_rate=5e-3, shift=0.0), QuietWatch(), seed=0)
    return model


@pytest.fixture(scope="module")
def condensed(trained, some_digits):
    return apply("learned_groups", trained, some_digits, groups=4, condensation=2)


@pytest.fixture(scope="module")
def chosen(trained, some_digits):
    return apply("fully_learned_groups", trained, some_digits, groups=2, learning_rate=1e-2)


def apply(name, model, data, watch=None, seed=0, **changes):
    method = METHODS[name]
    return method.apply(model, method.settings(**{**PLAN, **changes}), Context(data, seed, watch or QuietWatch()))


def test_condensed_groups_keep_their_share_and_the_counts_are_those_of_the_formula(condensed, trained) -> None:
    report = condensed.report
    assert [(row["name"], row["groups"], row["density"]) for row in report["learned_groups"]] == [
        (FIRST, 4, 0.5), (SECOND, 4, 0.5)
    ]  # fmt: skip
    gone = (16 * 32 + 32 * 32) / 2
    assert report["params_before"] - report["params_after"] == gone
    assert report["macs_before"] - report["macs_after"] == gone * CELLS
    cost = zoo.cost_of(zoo.sketch_of(condensed.model))
    assert (cost.params, cost.macs) == (report["params_after"], report["macs_after"])
    assert zoo.cost_of(zoo.sketch_of(trained)).macs == report["macs_before"]
    assert report["validation_top1_replaced"] == report["validation_top1_before"]
    assert report["validation_top1_after"] > report["validation_top1_before"] - 0.1
    assert report["validation_top1_after"] == pytest.approx(report["validation_top1_trained"], abs=0.005)
    assert condensed.model.get_layer(SECOND).groups == 4


def test_free_groups_have_the_density_of_their_sizes_and_say_when_they_are_unequal(chosen) -> None:
    report = chosen.report
    rows = {row["name"]: row for row in report["learned_groups"]}
    assert set(rows) == {FIRST, SECOND}
    for name, row in rows.items():
        parts = [layer for layer in chosen.model.layers if layer.name.startswith(name.removesuffix("_conv"))]
        kernels = [layer.kernel for layer in parts if type(layer).__name__ == "Conv2D"]
        left = sum(int(np.prod(kernel.shape)) for kernel in kernels)
        assert left == round(row["density"] * row["inputs"] * row["outputs"])
        assert 0 < row["density"] < 1
        assert len(kernels) == (1 if row["balanced"] else row["groups"])
    gone = sum((1 - row["density"]) * row["inputs"] * row["outputs"] for row in rows.values())
    assert report["macs_before"] - report["macs_after"] == pytest.approx(gone * CELLS)
    unequal = [name for name, row in rows.items() if not row["balanced"]]
    assert any("came out unequal" in warning for warning in chosen.warnings) == bool(unequal)
    assert report["validation_top1_after"] > 0.6


@pytest.mark.parametrize("outcome", ["condensed", "chosen"])
def test_deployed_network_answers_as_the_trained_one_and_is_plain(outcome, request, some_digits, tmp_path) -> None:
    from exports import load_model, save_model
    from zoo import int8_aware

    found = request.getfixturevalue(outcome)
    assert found.report["deployed_difference"] <= 1e-5
    assert not any("differs" in warning for warning in found.warnings)
    assert not any(hasattr(layer, "channel_groups") for layer in found.model.layers)
    assert int8_aware.check(found.model) == []
    save_model(found.model, tmp_path / "net.keras")
    images = some_digits.splits["validation"].images[:64]
    loaded = load_model(tmp_path / "net.keras")
    np.testing.assert_allclose(predictor(loaded)(images), predictor(found.model)(images), atol=1e-5)


def test_deployed_network_becomes_a_file_that_agrees(condensed, some_digits) -> None:
    from ai_edge_litert.interpreter import Interpreter

    from zoo.keras import tf

    content = tf.lite.TFLiteConverter.from_keras_model(condensed.model).convert()
    reader = Interpreter(model_content=content)
    reader.allocate_tensors()
    image = some_digits.splits["validation"].images[:1]
    reader.set_tensor(reader.get_input_details()[0]["index"], image.astype(np.float32) / 255)
    reader.invoke()
    answer = reader.get_tensor(reader.get_output_details()[0]["index"])
    np.testing.assert_allclose(answer, predictor(condensed.model)(image), atol=1e-4)


def test_int8_aware_training_takes_the_deployed_network(condensed, some_digits) -> None:
    method = METHODS["int8_aware"]
    plan = method.settings(epochs=1, batch=32, calibration_images=64)
    outcome = method.apply(condensed.model, plan, Context(some_digits, 0, QuietWatch()))
    assert outcome.report["validation_top1_warmed"] > outcome.report["validation_top1_float"] - 0.1


def test_norm_in_front_that_folds_into_its_convolution_stays_there(condensed) -> None:
    norm = condensed.model.get_layer("stage1_1_depthwise_norm")
    before = norm.inbound_nodes[0].inbound_layers
    assert before.name == "stage1_1_depthwise_conv"


def test_patterns_and_misfits_leave_layers_alone_with_the_reason(trained, some_digits) -> None:
    outcome = apply("learned_groups", trained, some_digits, groups=4, layers="stage1_*", skip="*_2_*", epochs=1)
    assert [row["name"] for row in outcome.report["learned_groups"]] == [FIRST]
    assert outcome.report["left_alone"] == {SECOND: "was not asked for"}
    outcome = apply("learned_groups", trained, some_digits, groups=2, condensation=32, epochs=1)
    assert outcome.report["left_alone"] == {FIRST: "has 16 inputs, no multiple of 32"}


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("learned_groups", {"groups": 3}, "no convolution can learn 3 groups: .*has 16 inputs, no multiple of 3"),
        ("learned_groups", {"condensation": 1}, "condensation 1 keeps every input"),
        ("learned_groups", {"skip": "*"}, "was not asked for"),
        ("fully_learned_groups", {"groups": 64}, "has 16 inputs for 64 groups"),
    ],
)
def test_wishes_that_no_layer_fits_are_refused_before_any_training(
    name, changes, message, trained, some_digits
) -> None:
    with pytest.raises(ValueError, match=message):
        apply(name, trained, some_digits, NoTraining(), **changes)


def test_networks_that_cannot_be_rewritten_or_have_no_bare_pointwise_convolution_are_refused(some_digits) -> None:
    from zoo.keras import keras

    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(8, 3, name="wide")(image)
    logits = keras.layers.Dense(10)(keras.layers.Flatten()(x))
    with pytest.raises(ValueError, match="none is of size 1x1"):
        apply("learned_groups", keras.Model(image, logits), some_digits, NoTraining())
    x = keras.layers.Conv2D(8, 1, strides=2, name="far")(keras.layers.Conv2D(8, 1, name="biased")(x))
    logits = keras.layers.Dense(10)(keras.layers.Flatten()(x))
    with pytest.raises(ValueError, match="biased has a bias; far has stride 2"):
        apply("learned_groups", keras.Model(image, logits), some_digits, NoTraining())
    logits = keras.layers.Dense(10)(keras.layers.Flatten()(keras.layers.LayerNormalization()(x)))
    with pytest.raises(ValueError, match="cannot be rewritten"):
        apply("learned_groups", keras.Model(image, logits), some_digits, NoTraining())


@pytest.mark.parametrize("name", ["learned_groups", pytest.param("fully_learned_groups", marks=pytest.mark.slow)])
def test_resumed_training_ends_with_bit_equal_weights(name, trained, some_digits, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("pipelines.training.loop.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("pipelines.training.loop.CHUNK_SECONDS", 0.0)
    whole = apply(name, trained, some_digits, seed=2, epochs=3)
    with pytest.raises(InterruptedError):
        apply(name, trained, some_digits, StopAfter(tmp_path, 30), seed=2, epochs=3)
    rest = apply(name, trained, some_digits, QuietWatch(tmp_path), seed=2, epochs=3)
    assert rest.report["fit"]["resumed_from_epoch"]
    assert same_weights(whole.model, rest.model)


def learning(kind: str, inputs: int, outputs: int, groups: int, seed: int):
    from zoo.keras_layers import layer_class

    options = {"condensation": 2} if kind == "CondensingConv2D" else {}
    layer = layer_class(kind)(filters=outputs, groups=groups, **options)
    layer.build((None, 2, 2, inputs))
    draw = np.random.default_rng(seed)
    layer.kernel.assign(draw.normal(size=layer.kernel.shape))
    return layer


@given(groups=st.sampled_from([2, 4]), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=15)
def test_group_lasso_is_that_of_the_plain_loop_over_what_is_left(groups, seed) -> None:
    layer = learning("CondensingConv2D", 8, 12, groups, seed)
    layer.condense()
    kernel, mask = layer.kernel.numpy()[0, 0], layer.mask.numpy()
    plain = sum(
        np.sqrt((kernel[row, group::groups] ** 2).sum())
        for row in range(8)
        for group in range(groups)
        if mask[row, group]
    )
    assert float(group_lasso([layer])) == pytest.approx(plain, rel=1e-4, abs=1e-3)


def test_group_lasso_has_a_finite_gradient_where_weights_are_zero() -> None:
    from zoo.keras import tf

    layer = learning("CondensingConv2D", 8, 12, 4, 0)
    layer.kernel.assign(tf.zeros_like(layer.kernel))
    with tf.GradientTape() as tape:
        found = group_lasso([layer])
    assert np.isfinite(tape.gradient(found, layer.kernel).numpy()).all()


def test_imbalance_is_zero_for_equal_groups_and_groups_less_one_for_a_single_one() -> None:
    layer = learning("LearnedGroupConv2D", 8, 12, 4, 0)
    for logits in (layer.input_groups, layer.output_groups):
        logits.assign(20.0 * np.eye(4)[np.arange(logits.shape[0]) % 4])
    assert float(imbalance([layer])) == pytest.approx(0, abs=1e-5)
    for logits in (layer.input_groups, layer.output_groups):
        logits.assign(20.0 * np.eye(4)[np.zeros(logits.shape[0], int)])
    assert float(imbalance([layer])) == pytest.approx(3, abs=1e-5)


@pytest.mark.slow
def test_penalties_reach_the_weights(trained, some_digits) -> None:
    def weakness(outcome):
        kernel = outcome.model.get_layer(SECOND).kernel.numpy()
        return float(np.abs(kernel).mean())

    free = apply("learned_groups", trained, some_digits, epochs=2)
    pulled = apply("learned_groups", trained, some_digits, epochs=2, lasso=0.05)
    assert weakness(pulled) < 0.9 * weakness(free)
    assert scorer(pulled.model)(some_digits.splits["validation"])[1] > 0.3
