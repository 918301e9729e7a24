"""Channels drawn by lot: the control that every criterion must beat to be worth anything.

Source: Liu et al., arXiv:1810.05270, who found that what a criterion keeps often matters little.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.method import Context, Method, Outcome
from pipelines.removal.remove import HALF_A_RESNET, Criterion, remove
from pipelines.removal.settings import RemovalSettings


class RandomSettings(RemovalSettings):
    """How much is removed; the draw follows the recipe's seed."""


def apply(model: Any, settings: RandomSettings, context: Context) -> Outcome:
    """Gives a smaller, fine-tuned model."""
    draw = np.random.default_rng(context.seed)
    criterion = Criterion(lambda graph: {int(unit): float(draw.random()) for unit in graph.free.tolist()})
    return remove(model, settings, context, criterion)


METHOD = Method(
    name="random",
    kind="prune",
    title="Channels at random (control)",
    source="Liu et al., arXiv:1810.05270",
    summary="Removes channels drawn by lot and fine-tunes: the control for every other choice.",
    measured=HALF_A_RESNET + "no criterion came out above it; the same small network from random weights gained 0.5 "
    "points [+0.1, +0.9] over it.",
    removes_channels=True,
    settings=RandomSettings,
    apply=apply,
    rehearses=True,
)
