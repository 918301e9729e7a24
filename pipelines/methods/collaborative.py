"""Channels go that cost least *together*: one that undoes another is worth nothing without it.

Source: Peng et al., Collaborative Channel Pruning, ICML 2019, PMLR 97:5113: every layer by itself chooses the set whose
removal changes the loss least, to second order and with all pairs. An approximation of theirs: the second derivatives
are those of Gauss and Newton by a factor on each channel (`pipelines/removal/gate_fisher.py`), and the set is found by
greedy choice and exchanges (`pipelines/removal/quadratic.py`). Every layer loses the same share.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from pipelines.method import Context, Method, Outcome
from pipelines.removal.choose import Choice, Group
from pipelines.removal.gate_fisher import gate_fisher
from pipelines.removal.quadratic import best_kept, change, folded
from pipelines.removal.remove import HALF_A_RESNET, Chooser, Criterion, remove
from pipelines.removal.settings import RemovalSettings
from pipelines.settings import setting
from zoo.channel_graph import ChannelGraph


class CollaborativeSettings(RemovalSettings):
    """How much is removed, from how many images the derivatives come, and whether pairs count."""

    images: int = setting(
        512, ge=16, le=20_000, unit="images", help="Training images behind the derivatives; each costs a pass per class"
    )
    pairs: Literal["joint", "diagonal"] = setting(
        "joint",
        help="joint: channels are judged together; diagonal: each for itself, the second-order Taylor criterion",
    )


def apply(model: Any, settings: CollaborativeSettings, context: Context) -> Outcome:
    """Gives a smaller, fine-tuned model."""
    if settings.scope == "global":
        raise ValueError("scope = 'global': the sets of this method are found within layers; use layer")
    train = context.data.splits["train"]
    drawn = np.random.default_rng(context.seed).permutation(len(train.labels))[: settings.images]
    part = dataclasses.replace(
        train, images=train.images[drawn], labels=train.labels[drawn], ids=tuple(train.ids[place] for place in drawn)
    )
    found: list[dict[str, Any]] = []

    def pick(graph: ChannelGraph, groups: Sequence[Group], within: Chooser) -> Choice:
        counts = [kept for _, kept in within(groups).groups]
        terms = gate_fisher(graph, [group.units for group in groups], part, context.watch)
        ranked = []
        for group, kept, (slope, curvature) in zip(groups, counts, terms, strict=True):
            alone = best_kept(folded(slope, np.diag(np.diag(curvature))), kept)
            stays = best_kept(folded(slope, curvature), kept) if settings.pairs == "joint" else alone
            found.append(
                {
                    "layers": list(group.layers),
                    "predicted_change": change(slope, curvature, stays),
                    "predicted_change_diagonal": change(slope, curvature, alone),
                    "differs_from_diagonal": int((stays & ~alone).sum()),
                }
            )
            worth = np.diag(curvature) - slope
            # Ranks keep the set as it was solved; within it, the least worth goes first.
            ranks = np.argsort(np.lexsort((worth, stays))).astype(float)
            ranked.append(dataclasses.replace(group, scores=ranks))
        return within(ranked)

    criterion = Criterion(lambda graph: {int(unit): 1.0 for unit in graph.free}, pick=pick)
    outcome = remove(model, settings, context, criterion)
    report = {**outcome.report, "pairs": settings.pairs, "images_used": len(drawn), "predictions": found}
    return dataclasses.replace(outcome, report=report)


METHOD = Method(
    name="collaborative",
    kind="prune",
    title="Channels that cost least together",
    source="Peng et al., Collaborative Channel Pruning, PMLR 97:5113 (2019)",
    summary="Removes from every layer the set of channels whose loss is least, pairs counted, then fine-tunes; second "
    "derivatives are approximated by Gauss-Newton.",
    measured=HALF_A_RESNET + "+0.2 points [-0.2, +0.7] against random channels, not distinguishable.",
    removes_channels=True,
    settings=CollaborativeSettings,
    apply=apply,
    rehearses=True,
)
