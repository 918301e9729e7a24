"""Where a network becomes binary: which layers, and of what they read the signs."""

from __future__ import annotations

import pytest

import zoo
from pipelines.binary.places import places, with_signs
from tests.pipelines.small import network
from zoo.plans import Plan


def plan_of(name: str, **options: object) -> Plan:
    plan = Plan.of(zoo.build(name, classes=10, channels=1, **options))
    assert plan is not None
    return plan


def test_first_last_and_depthwise_layers_stay_float() -> None:
    plan = Plan.of(network())
    assert plan is not None
    assert places(plan, "float") == ("stage1_1_pointwise_conv", "stage1_2_pointwise_conv")
    assert places(plan, "binary") == ("stem_conv", "stage1_1_pointwise_conv", "stage1_2_pointwise_conv", "logits")


def test_the_sign_takes_the_place_of_the_relu_that_nobody_else_reads() -> None:
    plan = Plan.of(network())
    assert plan is not None
    found = with_signs(plan, places(plan, "float"))
    assert found.signs == found.names
    assert plan.calls["stage1_1_pointwise_conv"].inputs == ("stage1_1_depthwise_norm_sign",)
    assert "stage1_1_depthwise_relu6" not in plan.calls
    plan.build()


def test_a_residual_network_keeps_its_relu_for_the_addition() -> None:
    plan = plan_of("resnet", variant="cifar20", width=0.25, resolution=16)
    found = with_signs(plan, places(plan, "float"))
    model = plan.build()
    kinds = [type(layer).__name__ for layer in model.layers]
    # Behind a padding of its own a layer reads zeros, which are no signs.
    assert set(found.names) - set(found.signs) == {"stage2_1_first_conv", "stage3_1_first_conv"}
    assert kinds.count("Sign") > 10
    assert kinds.count("ReLU") >= 9, "what is added up later is still rectified"


def test_one_sign_serves_all_that_read_the_same() -> None:
    plan = plan_of("shufflenet_v2", width=0.5, resolution=16)
    with_signs(plan, places(plan, "float"))
    sources = [call.inputs for call in plan.calls.values() if call.kind == "Sign"]
    assert len(sources) == len(set(sources))
    plan.build()


def test_a_layer_behind_a_flattened_relu_keeps_float_inputs() -> None:
    plan = Plan.of(network())
    assert plan is not None
    found = with_signs(plan, places(plan, "binary"))
    assert "logits" not in found.signs
    assert "stem_conv" not in found.signs, "it reads the image"


def test_a_network_that_is_binary_already_gets_no_second_sign() -> None:
    plan = Plan.of(network())
    assert plan is not None
    first = with_signs(plan, places(plan, "float"))
    again = with_signs(plan, places(plan, "float"))
    assert again.signs == first.signs
    assert sum(call.kind == "Sign" for call in plan.calls.values()) == 2


@pytest.mark.parametrize("name", ["vgg", "alexnet"])
def test_max_pooling_is_looked_through(name: str) -> None:
    plan = plan_of(name, width=0.125, resolution=32)
    found = with_signs(plan, places(plan, "float"))
    convolutions = [each for each in found.names if plan.calls[each].kind == "Conv2D"]
    assert set(convolutions) <= set(found.signs)
    plan.build()
