"""A network whose body is a model of its own, as transfer learning leaves it: every method sees the layers inside."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.kernels import overall_zeros
from pipelines.training.loop import predictor
from tests.pipelines.small import shaped


@pytest.fixture(scope="module")
def nested():
    from zoo import layers
    from zoo.keras import keras

    keras.utils.set_random_seed(0)
    inner = x = keras.Input((8, 8, 1), name="inner_image")
    for number in range(3):
        x = layers.conv(x, 16, 3, name=f"conv{number}", stride=2 if number == 1 else 1)
        x = layers.relu(layers.norm(x, name=f"norm{number}"), name=f"relu{number}")
    body = keras.Model(inner, x, name="body")
    image = keras.Input((8, 8, 1), name="image")
    x = layers.flatten(layers.global_pool(body(image), name="pool"), name="flatten")
    return keras.Model(image, layers.dense(x, 10, name="logits"))


def test_zeros_reach_the_layers_inside_and_the_report_counts_them(nested, small_digits) -> None:
    outcome = shaped("magnitude", nested, small_digits, epochs=2, sparsity=0.8, skip_ends=False)
    zeros = {
        layer.name: float(np.mean(layer.get_weights()[0] == 0))
        for layer in outcome.model.layers
        if "conv" in layer.name
    }
    assert len(zeros) == 3
    assert all(share == pytest.approx(0.8, abs=0.02) for share in zeros.values()), zeros
    assert outcome.report["sparsity_of_all_weights"] == pytest.approx(overall_zeros(outcome.model))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("clustering", {"epochs": 1, "clusters": 4}),
        ("lottery_ticket", {"epochs": 1, "rounds": 1, "control_reinit": False}),
        ("repr", {"epochs": 1, "cycles": 1, "full_epochs": 1, "part_epochs": 1}),
        ("channel_norm", {"epochs": 1, "multiple": 4, "least": 4, "compare_files": False}),
        ("tucker2", {"epochs": 1, "multiple": 1, "budget": 0.9, "skip_ends": False}),
        ("binary_connect", {"epochs": 1}),
    ],
)
def test_methods_work_on_the_layers_inside(name, values, nested, small_digits) -> None:
    before = [value.copy() for value in nested.get_weights()]
    outcome = shaped(name, nested, small_digits, **values)
    assert not any(hasattr(layer, "_nodes_by_depth") for layer in outcome.model.layers)
    assert all(np.array_equal(one, other) for one, other in zip(before, nested.get_weights(), strict=True))


def test_laid_open_answers_as_before(nested, small_digits) -> None:
    from zoo.cut import laid_open

    images = small_digits.splits["validation"].images[:16]
    assert np.allclose(predictor(laid_open(nested))(images), predictor(nested)(images), atol=1e-5)
    flat = laid_open(nested)
    assert laid_open(flat) is flat
