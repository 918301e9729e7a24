"""Every input and output channel of pointwise convolutions learns which group it belongs to. Source: FLGC,
arXiv:1904.00346, section 3 (choice by the largest logit, gradient through the softmax).

Groups need not come out equally large: then the deployed network has one convolution for each, and says so. `balance`
is not in the paper.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.method import Context, Method, Outcome
from pipelines.settings import setting
from pipelines.training.grouping import GroupingSettings, Learner, learn_groups
from zoo.plans import Call


class FullyLearnedGroupsSettings(GroupingSettings):
    """How many groups, and how strongly they are pulled towards equal sizes."""

    balance: float = setting(
        0.0, ge=0, le=100, help="Weight of a penalty on groups of unequal expected size; 0 is the paper, 1 is felt"
    )


def apply(model: Any, settings: FullyLearnedGroupsSettings, context: Context) -> Outcome:
    """Gives the deployed network: gathers and grouped convolutions, one per group where groups are unequal."""
    groups = settings.groups

    def logits(call: Call, inputs: int, place: int) -> tuple[np.ndarray, ...]:
        draw = np.random.default_rng([context.seed, place])
        return tuple(draw.normal(size=(count, groups)).astype(np.float32) for count in (inputs, call.channels))

    def misfit(inputs: int, outputs: int) -> str:
        wanted = ((inputs, "inputs"), (outputs, "outputs"))
        return next((f"has {count} {what} for {groups} groups" for count, what in wanted if count < groups), "")

    learner = Learner("LearnedGroupConv2D", {}, logits, misfit)
    penalty = (lambda layers: settings.balance * imbalance(layers)) if settings.balance else None
    return learn_groups(model, settings, context, learner, penalty)


def imbalance(layers: list[Any]) -> Any:
    """Mean over layers, inputs and outputs, of groups x sum of squared expected shares - 1: 0 for equal groups."""
    from zoo.keras import tf

    found = []
    for layer in layers:
        for logits in (layer.input_groups, layer.output_groups):
            shares = tf.reduce_mean(tf.nn.softmax(logits), axis=0)
            found.append(layer.groups * tf.reduce_sum(tf.square(shares)) - 1.0)
    return tf.add_n(found) / len(found)


METHOD = Method(
    name="fully_learned_groups",
    kind="prune",
    title="Fully learned groups",
    source="Wang et al., arXiv:1904.00346",
    summary="Lets every channel of 1x1 convolutions choose its group; groups may come out unequal, which costs speed.",
    removes_channels=True,
    settings=FullyLearnedGroupsSettings,
    apply=apply,
    rehearses=True,
)
