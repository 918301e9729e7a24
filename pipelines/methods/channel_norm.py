"""Filters of small norm go, with everything that reads them. Source: Li et al., arXiv:1608.08710, section 3.

The paper sums absolute weights within a layer. A convolution in front of a norm may be scaled by any number without any
effect, so `folded` multiplies the norm's scale in first; `kernel` is the paper's own.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from pipelines.method import Context, Method, Outcome
from pipelines.removal.remove import HALF_A_RESNET, Criterion, by_filter, remove
from pipelines.removal.settings import RemovalSettings
from pipelines.settings import setting


class ChannelNormSettings(RemovalSettings):
    """Which norm, of which numbers, and how much is removed."""

    norm: Literal["l1", "l2"] = setting("l1", help="l1: sum of absolute weights, as in the paper; l2: root of squares")
    weights: Literal["folded", "kernel"] = setting(
        "folded", help="folded: with the scale of the norm behind the layer; kernel: bare, as in the paper"
    )


def l1(filters: np.ndarray) -> np.ndarray:
    """Sum of absolute weights per row."""
    return np.abs(filters).sum(axis=1)


def l2(filters: np.ndarray) -> np.ndarray:
    """Euclidean norm per row."""
    return np.linalg.norm(filters, axis=1)


def apply(model: Any, settings: ChannelNormSettings, context: Context) -> Outcome:
    """Gives a smaller, fine-tuned model."""
    measure = l1 if settings.norm == "l1" else l2
    criterion = Criterion(lambda graph: by_filter(graph, measure, settings.weights == "folded"))
    return remove(model, settings, context, criterion)


METHOD = Method(
    name="channel_norm",
    kind="prune",
    title="Channels of small norm",
    source="Li et al., arXiv:1608.08710",
    summary="Removes the filters with the smallest weights and everything that reads them, then fine-tunes.",
    measured=HALF_A_RESNET + "+0.1 points [-0.7, +0.9] against random channels, not distinguishable.",
    removes_channels=True,
    settings=ChannelNormSettings,
    apply=apply,
    rehearses=True,
)
