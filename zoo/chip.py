"""The form of a network for chips that know few operators: the same answers, channels put in order by multiplying.

A shuffle or gather of channels becomes a pointwise convolution with a single 1 for each output. That costs
multiply-adds where there were none; handing the tensor to the host and back costs more. For the same reason layers
that learned their groups become whole convolutions with zeros: gathers and small convolutions would multiply no less.
Hard-swish is spelt so that the converter does not find its own operator for it: an addition, a ReLU6, products.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from zoo.deploy import whole_convolution
from zoo.plans import Call, Plan
from zoo.rules import RULES

if TYPE_CHECKING:
    from zoo.keras import keras

# The next number that a float32 knows: the converter's pattern asks for 3 exactly.
ALMOST_THREE = float(np.nextafter(np.float32(3.0), np.float32(inf)))
ORDERING = ("ChannelShuffle", "ChannelGather")
LEARNING = tuple(kind for kind, rule in RULES.items() if rule.kind.startswith("learned"))


def for_chip(model: keras.Model) -> keras.Model:
    """A new functional model with equal outputs, weights copied; a model with foreign layers is given back as it is."""
    plan = Plan.of(model)
    if plan is None:
        return model
    for call in list(plan.calls.values()):
        if call.kind in ORDERING:
            plan.replace([call.name], [_pointwise(plan, call)])
        elif call.kind in LEARNING:
            plan.replace([call.name], [whole_convolution(call)])
    built = plan.build()
    for layer in built.layers:
        if type(layer).__name__ == "HardSwish":
            layer.three = ALMOST_THREE
    return built


def _pointwise(plan: Plan, call: Call) -> Call:
    inputs = plan.channels_of(call.inputs[0])
    if call.kind == "ChannelShuffle":
        groups = call.config["groups"]
        order = np.arange(inputs).reshape(groups, inputs // groups).T.ravel()
    else:
        order = np.asarray(call.config["indices"])
    kernel = np.zeros((1, 1, inputs, len(order)), np.float32)
    kernel[0, 0, order, np.arange(len(order))] = 1.0
    config = {"filters": len(order), "kernel_size": (1, 1), "padding": "same", "use_bias": False}
    return replace(call, kind="Conv2D", config=config, weights=(kernel,), channels=len(order))
