"""Scaled channels change no answer, and a scale that one layer has by mistake is found and taken back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import zoo
from zoo.equalise import equalise
from zoo.plans import Plan

# Networks with ReLUs that have no upper end; in MobileNetV1 all of them, as an option.
OPEN = {
    "squeezenet": {"width": 0.25},
    "mobilenet_v1": {"width": 0.25, "activation": "relu"},
    "resnet": {"width": 0.5, "variant": "cifar20"},
    "shufflenet_v2": {"width": 0.5},
}
CLOSED = {"mobilenet_v1": {"width": 0.25}, "mobilenet_v3": {"width": 0.35, "variant": "small"}}


def small(name: str, options: dict) -> zoo.keras.keras.Model:
    return zoo.build(name, resolution=32, classes=5, **options)


def ranges_of(plan: Plan) -> dict[str, np.ndarray]:
    """Ranges drawn so that every channel wants a factor of its own, up to 30."""
    draw = np.random.default_rng(1)
    return {name: np.exp(draw.uniform(-7, 0, call.channels)) for name, call in plan.calls.items()}


def answers(model: zoo.keras.keras.Model) -> np.ndarray:
    images = np.random.default_rng(3).random((4, 32, 32, 3), np.float32)
    return np.asarray(model(images, training=False))


@pytest.mark.parametrize("name", OPEN)
def test_answers_stay_when_channels_are_scaled(name: str) -> None:
    model = small(name, OPEN[name])
    plan = Plan.of(model)
    found = equalise(plan, ranges_of(plan))
    assert found.channels > 0.3 * sum(len(one) for one in found.factors.values()), "most of the network can be scaled"
    wanted, given = answers(model), answers(found.plan.build())
    assert np.abs(given - wanted).max() <= 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize("name", CLOSED)
def test_activations_that_let_no_factor_through_keep_their_channels(name: str) -> None:
    model = small(name, CLOSED[name])
    plan = Plan.of(model)
    found = equalise(plan, ranges_of(plan))
    wanted, given = answers(model), answers(found.plan.build())
    assert np.abs(given - wanted).max() <= 1e-4 * np.abs(wanted).max()
    for call in plan.calls.values():
        if call.kind in ("HardSwish", "HardSigmoid") or (call.kind == "ReLU" and call.config.get("max_value")):
            before = call.inputs[0]
            assert (found.factors.get(before, np.ones(1)) == 1).all(), call.name


def test_a_planted_scale_is_taken_back() -> None:
    """Half the channels of a layer 64 times as large, what reads them as much smaller: the factors undo it."""
    plan = Plan.of(small("mobilenet_v1", OPEN["mobilenet_v1"]))
    norm, reader = "stage2_1_pointwise_norm", "stage2_2_depthwise_conv"
    assert {norm, reader} <= set(plan.calls), list(plan.calls)[:20]
    even = {name: np.ones(call.channels) for name, call in plan.calls.items()}
    channels = plan.calls[norm].channels
    factor = np.where(np.arange(channels) % 2, 64.0, 1.0)
    gamma, beta, *rest = plan.calls[norm].weights
    plan.calls[norm] = replace(plan.calls[norm], weights=(gamma * factor, beta * factor, *rest))
    (kernel,) = plan.calls[reader].weights
    plan.calls[reader] = replace(plan.calls[reader], weights=(kernel / factor[:, None],))
    for name in (norm, norm.replace("norm", "relu")):
        if name in even:
            even[name] = factor
    found = equalise(plan, even)
    assert found.factors[norm] * factor == pytest.approx(np.full(channels, 64.0), rel=1e-3)


def test_the_given_plan_stays_and_dead_channels_are_left_alone() -> None:
    plan = Plan.of(small("squeezenet", OPEN["squeezenet"]))
    before = {name: [one.copy() for one in call.weights] for name, call in plan.calls.items()}
    dead = {name: np.zeros(call.channels) for name, call in plan.calls.items()}
    found = equalise(plan, dead)
    assert found.channels == 0
    equalise(plan, ranges_of(plan))
    for name, call in plan.calls.items():
        assert all(np.array_equal(a, b) for a, b in zip(before[name], call.weights, strict=True))
