"""The form of a network that int8-aware training can take: other layers, equal answers.

- A normalisation that stands alone (behind a concatenation, a sum, a pool, an activation, or a convolution that others
  read too) has nothing to fold into, and the toolkit has no rule for it. A 1x1 depthwise convolution of ones in
  front of it is that something: the normalisation goes on learning, and the file has one operator for both.
- Layers that learned their groups become plain ones (`zoo/deploy.py`).
- A native grouped convolution becomes slices, convolutions and a concatenation (`zoo/split_form.py`): with simulated
  rounding in it, an epoch of CondenseNet took more than half an hour natively.

`zoo.int8_aware.check` says what still stands in the way.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from zoo.deploy import without_learning
from zoo.int8_aware import folds
from zoo.plans import Call, Plan
from zoo.split_form import split

if TYPE_CHECKING:
    from zoo.keras import keras

CARRIER = "_carrier"  # the name of the norm with this behind it


def int8_form(model: keras.Model) -> keras.Model:
    """`model` in a form that int8-aware training can take, weights copied; the same object where nothing is rewritten.

    So is a model with layers from outside the vocabulary, called twice or nested: nothing is known about those.
    """
    model = without_learning(model)
    plan = Plan.of(model)
    if plan is None:
        return model
    maps = {layer.name for layer in model.layers if len(layer.output.shape) == 4}
    grouped = [call for call in plan.calls.values() if call.kind == "Conv2D" and call.config["groups"] > 1]
    alone = [call for call in plan.calls.values() if call.name in maps and _stands_alone(plan, call)]
    for call in alone:
        carrier = _carrier(plan, call)
        plan.replace([call.name], [carrier, replace(plan.calls[call.name], inputs=(carrier.name,))])
    for call in grouped:
        split(plan, plan.calls[call.name])
    return plan.build() if grouped or alone else model


def _stands_alone(plan: Plan, call: Call) -> bool:
    """Whether it is a norm that has nothing in front which it folds into."""
    if call.kind != "BatchNormalization":
        return False
    before = plan.calls.get(call.inputs[0])
    if before is None or plan.only_reader(before.name) is None:
        return True
    return not folds(before.kind, before.config.get("activation"))


def _carrier(plan: Plan, call: Call) -> Call:
    name = f"{call.name}{CARRIER}"
    while name in plan.calls:
        name += "_"
    config = {"kernel_size": (1, 1), "padding": "same", "use_bias": False}
    ones = np.ones((1, 1, call.channels, 1), np.float32)
    return Call(name, "DepthwiseConv2D", config, call.inputs, call.channels, (ones,))
