"""A grouped convolution in the form that trains fast: slices, small convolutions and a concatenation.

The other way round than `zoo/deploy.py` joins them. A native grouped convolution is the smaller file, but its gradient
on a CPU takes many times as long as that of the parts (docs/results.md).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zoo.deploy import chained, followers, of_group
from zoo.plans import Call, Plan


def split(plan: Plan, call: Call) -> None:
    """Rewrites a native grouped convolution of `plan`, with the normalisation and activation behind it.

    NAME_conv becomes NAME_slice1, NAME_group1_conv, ... NAME_concat, weights copied, answers equal.
    """
    groups, stem, last = call.config["groups"], call.name.removesuffix("_conv"), followers(plan, call)
    reads, makes = plan.channels_of(call.inputs[0]) // groups, call.channels // groups
    new: list[Call] = []
    ends: list[str] = []
    for number in range(groups):
        name, own = f"{stem}_group{number + 1}", slice(number * makes, (number + 1) * makes)
        places = {"start": number * reads, "stop": (number + 1) * reads}
        parts = [
            replace(one, name=of_group(one.name, stem, name), channels=makes, weights=_of(one, own))
            for one in (call, *last)
        ]
        parts[0] = replace(parts[0], config={**call.config, "groups": 1, "filters": makes})
        new += chained([Call(f"{stem}_slice{number + 1}", "ChannelSlice", places, call.inputs, reads), *parts])
        ends.append(parts[-1].name)
    join = Call(f"{stem}_concat", "Concatenate", {}, tuple(ends), call.channels, merges=True)
    plan.replace([call.name, *(one.name for one in last)], [*new, join])


def _of(call: Call, channels: slice) -> tuple[np.ndarray, ...]:
    """The weights of some output channels, which are the last axis."""
    return tuple(weight[..., channels] for weight in call.weights)
