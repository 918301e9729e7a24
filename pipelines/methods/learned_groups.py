"""Pointwise convolutions learn groups while each group gives up most of its inputs. Source: CondenseNet,
arXiv:1711.09224, sections 4.1 (condensation, group lasso) and 4.2 (the network that is deployed).

The paper trains such a network from scratch; here a trained one is taken over, and condensation spans the first half
of the fine-tuning. It also condenses the classifier by two; here that stays whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.method import Context, Method, Outcome
from pipelines.settings import setting
from pipelines.training.grouping import GroupingSettings, Learner, learn_groups
from zoo.plans import Call


class LearnedGroupsSettings(GroupingSettings):
    """How many groups, and how many of its inputs each keeps."""

    condensation: int = setting(
        0, ge=0, le=64, help="Each group keeps one in so many inputs; 0: one in as many as there are groups"
    )
    lasso: float = setting(
        0.0, ge=0, le=1, help="Weight of the group lasso, which makes inputs weak as a whole; the paper has 0.00001 on "
        "ImageNet and none on CIFAR"
    )  # fmt: skip


def apply(model: Any, settings: LearnedGroupsSettings, context: Context) -> Outcome:
    """Gives the deployed network: gathers, grouped convolutions and shuffles."""
    groups, factor = settings.groups, settings.condensation or settings.groups
    if factor == 1:
        raise ValueError("condensation 1 keeps every input; use 2 or more, or 0 for as many as there are groups")

    def mask(call: Call, inputs: int, place: int) -> tuple[np.ndarray, ...]:
        return (np.ones((inputs, groups), np.float32),)

    def misfit(inputs: int, outputs: int) -> str:
        wanted = ((inputs, "inputs", groups), (inputs, "inputs", factor), (outputs, "outputs", groups))
        return next((f"has {count} {what}, no multiple of {by}" for count, what, by in wanted if count % by), "")

    learner = Learner("CondensingConv2D", {"condensation": factor}, mask, misfit)
    penalty = (lambda layers: settings.lasso * group_lasso(layers)) if settings.lasso else None
    return learn_groups(model, settings, context, learner, penalty)


def group_lasso(layers: list[Any]) -> Any:
    """Sum over layers, inputs and groups of the root of the summed squares of a group's weights on that input."""
    from zoo.keras import tf

    total = tf.constant(0.0)
    for layer in layers:
        inputs, groups = layer.mask.shape
        squares = tf.reduce_sum(tf.square(tf.reshape(layer.kernel, (inputs, -1, groups))), axis=1) * layer.mask
        # The root has no gradient at 0.
        total += tf.reduce_sum(tf.sqrt(tf.maximum(squares, 1e-12)))
    return total


METHOD = Method(
    name="learned_groups",
    kind="prune",
    title="Learned groups, condensed",
    source="Huang et al., arXiv:1711.09224",
    summary="Turns 1x1 convolutions into grouped ones whose groups keep the inputs they need most.",
    removes_channels=True,
    settings=LearnedGroupsSettings,
    apply=apply,
    rehearses=True,
)
