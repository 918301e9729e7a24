"""Removing channels for real: scores with known answers, statistics put right, controls, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import zoo
from pipelines.methods import METHODS, Context
from pipelines.methods.channel_norm import l1, l2
from pipelines.methods.geometric_median import distances
from pipelines.removal.recalibrate import recalibrate
from pipelines.removal.remove import by_filter
from pipelines.training import session
from pipelines.training.loop import fit, scorer
from pipelines.training.settings import Fitting
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import digits, network
from zoo.channel_graph import ChannelGraph
from zoo.cut import cut

ROWS = arrays.arrays(np.float64, (6, 9), elements=st.floats(-2, 2, width=32))
FINE = {"multiple": 1, "least": 1, "compare_files": False}


@pytest.fixture(scope="module")
def all_digits(cache_folder):
    return digits(cache_folder, images=2000)


@pytest.fixture(scope="module")
def trained(all_digits):
    session.open_session(0)
    model = network()
    fit(model, all_digits, Fitting(epochs=12, batch=32, learning_rate=5e-3, shift=0.0), QuietWatch(), seed=0)
    return model


@settings(deadline=None, max_examples=30)
@given(filters=ROWS)
def test_distances_are_those_of_the_plain_loop(filters) -> None:
    plain = [sum(np.linalg.norm(one - other) for other in filters) for one in filters]
    np.testing.assert_allclose(distances(filters), plain, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(filters=ROWS, offset=st.floats(-3, 3))
def test_an_offset_common_to_all_filters_leaves_the_distances_alone(filters, offset) -> None:
    np.testing.assert_allclose(distances(filters + offset), distances(filters), atol=1e-4)


def test_an_offset_changes_the_order_of_norms() -> None:
    filters = np.random.default_rng(0).normal(size=(16, 27))
    assert (np.argsort(l2(filters)) != np.argsort(l2(filters + 1.0))).any()
    assert (np.argsort(distances(filters)) == np.argsort(distances(filters + 1.0))).all()


@pytest.mark.parametrize("seed", range(5))
def test_four_equal_filters_of_equal_norm_are_the_first_to_go(seed) -> None:
    filters = np.random.default_rng(seed).normal(size=(16, 27))
    filters[[3, 7, 11]] = filters[1]
    filters /= np.linalg.norm(filters, axis=1, keepdims=True)
    assert set(np.argsort(distances(filters))[:4]) == {1, 3, 7, 11}


@pytest.mark.parametrize("measure", [l1, l2])
def test_filters_of_zeros_score_lowest_and_a_scale_before_a_norm_counts_for_nothing(measure) -> None:
    session.open_session(0)
    model = zoo.build("mobilenet_v1", width=0.25, resolution=16, classes=4, channels=1)
    draw = np.random.default_rng(0)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.set_weights([draw.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    name = "stage3_1_pointwise_conv"
    kernel = model.get_layer(name).get_weights()[0]
    kernel[..., :5] = 0
    model.get_layer(name).set_weights([kernel])
    graph = ChannelGraph.of(model)
    units = graph.outputs_of(name)
    worth = by_filter(graph, measure, folded=True)
    assert set(sorted(units.tolist(), key=worth.__getitem__)[:5]) == set(units[:5].tolist())

    norm = model.get_layer("stage3_1_pointwise_norm")
    gamma, beta, mean, variance = norm.get_weights()
    model.get_layer(name).set_weights([kernel * 10])
    norm.set_weights([gamma, beta, mean * 10, (variance + norm.epsilon) * 100 - norm.epsilon])
    again = by_filter(ChannelGraph.of(model), measure, folded=True)
    np.testing.assert_allclose([again[unit] for unit in units], [worth[unit] for unit in units], rtol=1e-4)


def test_statistics_of_norms_become_those_of_the_images(trained, all_digits) -> None:
    from zoo.cloning import clone

    model = clone(trained)
    norm = model.get_layer("stem_norm")
    right = norm.moving_mean.numpy().copy()
    norm.moving_mean.assign(right + 5.0)
    kept = [value.copy() for value in (variable.numpy() for variable in model.trainable_variables)]
    plan = Fitting(batch=64, shift=0.0)
    assert scorer(model)(all_digits.splits["validation"])[1] < 0.5
    assert recalibrate(model, all_digits, plan, batches=20, seed=0) == 20
    assert np.abs(norm.moving_mean.numpy() - right).max() < 0.2
    assert all((a == b.numpy()).all() for a, b in zip(kept, model.trainable_variables, strict=True))
    assert norm.momentum == trained.get_layer("stem_norm").momentum
    assert scorer(model)(all_digits.splits["validation"])[1] > 0.8


@pytest.mark.parametrize("name", ["channel_norm", "geometric_median", "random"])
def test_half_of_the_work_goes_and_the_report_tells_it(name, trained, all_digits) -> None:
    session.open_session(0)
    method = METHODS[name]
    assert method.removes_channels
    plan = method.settings(epochs=3, batch=32, shift=0.0, remove=0.5, recalibration=10, **FINE)
    outcome = method.apply(trained, plan, Context(all_digits, 0, QuietWatch()))
    report = outcome.report
    cost = zoo.cost_of(zoo.sketch_of(outcome.model))
    assert (report["params_after"], report["macs_after"]) == (cost.params, cost.macs)
    assert report["macs_after"] <= 0.5 * report["macs_before"]
    assert report["macs_before"] == zoo.cost_of(zoo.sketch_of(trained)).macs
    assert report["validation_top1_after"] > report["validation_top1_before"] - 0.1
    assert report["validation_top1_after_recalibration"] > report["validation_top1_after_cut"] - 0.05
    assert all(row["kept"] <= row["channels"] for row in report["layers"])


def test_controls_run_beside_it_at_the_same_size(trained, all_digits) -> None:
    session.open_session(0)
    method = METHODS["channel_norm"]
    plan = method.settings(
        epochs=1, batch=32, shift=0.0, remove=0.5, recalibration=5, control_random=True, control_scratch="both",
        dense_epochs=1, **FINE,
    )  # fmt: skip
    outcome = method.apply(trained, plan, Context(all_digits, 0, QuietWatch()))
    assert set(outcome.report["controls"]) == {"random", "scratch_e", "scratch_b"}
    assert all(0 <= value <= 1 for value in outcome.report["controls"].values())


def test_a_network_of_barriers_and_impossible_wishes_are_refused_before_any_training(trained, all_digits) -> None:
    from zoo.keras import keras

    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(8, 3, name="one")(image)
    x = keras.layers.LayerNormalization(name="mixed")(x)
    barrier = keras.Model(image, keras.layers.Dense(10)(keras.layers.Flatten()(x)))

    class NoTraining(QuietWatch):
        def progress(self, *_: object) -> None:
            raise AssertionError("training began")

    context = Context(all_digits, 0, NoTraining())
    method = METHODS["channel_norm"]
    with pytest.raises(ValueError, match="no channel of this model can be removed: 8 because it enters mixed"):
        method.apply(barrier, method.settings(), context)
    with pytest.raises(ValueError, match="is not possible"):
        method.apply(trained, method.settings(remove=0.95, least=64), context)
    with pytest.raises(ValueError, match="less than 1"):
        method.settings(remove=1.0)
    with pytest.raises(ValueError, match="use layer"):
        METHODS["geometric_median"].apply(trained, METHODS["geometric_median"].settings(scope="global"), context)


@pytest.mark.slow
def test_learned_groups_are_deployed_first(all_digits) -> None:
    session.open_session(0)
    model = zoo.build("flgc", width=0.25, resolution=8, classes=10, channels=1, form="train")
    method = METHODS["random"]
    plan = method.settings(
        epochs=1, batch=32, shift=0.0, remove=0.2, target="channels", recalibration=2, **FINE
    )
    outcome = method.apply(model, plan, Context(all_digits, 0, QuietWatch()))
    assert not any(type(layer).__name__ == "LearnedGroupConv2D" for layer in outcome.model.layers)
    assert outcome.report["left"] <= 0.8


def test_what_is_cut_is_what_the_report_counts(trained) -> None:
    graph = ChannelGraph.of(trained)
    assert cut(graph, []).count_params() == trained.count_params()
