"""Channels whose scale reached exactly zero go, and what they still hand on is moved into what reads them.

Source: Ye et al., arXiv:1802.00124. Scales move by proximal gradient steps alone (ISTA, section 4): a plain step down
the gradient, then towards zero by learning rate times penalty times the cost of a channel of that layer, where what
would pass zero stays there. Everything else moves by SGD with momentum. Not done: the paper's rescaling of scales and
kernels, which has no exact form behind ReLU6 and whose purpose, a faster way to zero, `penalty` serves as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from pipelines.method import Context, Method, Outcome
from pipelines.removal.absorb import IMAGES, absorb
from pipelines.removal.choose import Choice, Group, counted, exactly
from pipelines.removal.remove import HALF_A_RESNET, Chooser, Criterion, Prepared, remove
from pipelines.removal.scales import (
    Scale,
    SparseScaleSettings,
    by_variable,
    collapsed,
    histogram,
    judged,
    penalty_of,
    pulled,
    score,
    sparse_fitting,
    values_of,
)
from pipelines.settings import setting
from zoo.channel_graph import ChannelGraph

NAME = "ista_gamma"
# Measured on digits: 0.5 takes a fifth of MobileNetV2's work and no accuracy, 1 kills it within 370 updates; a net of
# four layers bears 2 and gives up more than half. The gentle one is the default, since a dead net does not come back.
PULL = 0.5


class IstaGammaSettings(SparseScaleSettings):
    """How strongly scales are pulled to zero, how long, and what is removed then."""

    scope: Literal["layer", "global"] = setting(
        "global", help="With amount = target. global: one threshold over all scales; layer: in every layer"
    )
    amount: Literal["zeros", "target"] = setting(
        "zeros",
        help="zeros: the channels whose scales are exactly 0, as in the paper, and remove is not used; target: as many "
        "as remove says, smallest scales first",
    )
    penalty: float | None = setting(
        None,
        ge=0,
        le=100,
        help="Rho: every update moves a scale towards 0 by learning rate x rho x the relative cost of its layer's "
        f"channels; empty: such that by itself it would move a scale of mean cost by {PULL:g} over sparse_epochs",
    )


def channel_cost(graph: ChannelGraph, maker: str) -> float:
    """What a channel of a layer costs in memory, in images of the model's input size: its filter, all weights that read
    it, and its map. Source: section 4.2, the cost lambda of a layer."""
    site = graph.sites[maker]
    unit = next(unit for unit in graph.outputs_of(maker).tolist() if unit not in graph.locked)
    weights = _kernel_size(site) / len(site.writes)
    for reader in graph.sites.values():
        if reader.first or not (reader.makes or reader.kind == "DepthwiseConv2D") or reader.name == maker:
            continue
        entries = int((graph.units[reader.reads[0]] == unit).sum())
        weights += _kernel_size(reader) * entries / len(reader.reads[0])
    cells, image = (_cells(tensor) for tensor in (site.node.outputs, graph.model.inputs[0]))
    return (weights + cells) / image


def channel_costs(graph: ChannelGraph, scales: Sequence[tuple[Scale, np.ndarray]]) -> np.ndarray:
    """The costs by layer, relative to their mean over all channels, so that a penalty means the same in any network."""
    costs = np.array([channel_cost(graph, scale.maker) for scale, _ in scales])
    found: np.ndarray = costs / np.average(costs, weights=[mask.sum() for _, mask in scales])
    return found


def prepare(model: Any, settings: IstaGammaSettings, context: Context) -> Prepared:
    """A copy of `model`, trained on while its scales are thresholded."""
    from pipelines.training.loop import Hooks, fit, scorer
    from zoo.cut import cut
    from zoo.keras import tf

    copy = cut(ChannelGraph.of(model), ())  # nested models laid open, so that every map can be looked up
    graph = ChannelGraph.of(copy)
    scales = pulled(graph, settings)
    penalty, costs = penalty_of(settings, context, pull=PULL), channel_costs(graph, scales)
    before, place_of = values_of(scales), by_variable(scales)

    def gradients(found: list[Any], variables: Sequence[Any], rate: Any) -> list[Any]:
        left: list[Any] = []
        for gradient, variable in zip(found, variables, strict=True):
            place = place_of(variable)
            if place is None:
                left.append(gradient)
                continue
            threshold = rate * penalty * tf.constant(costs[place] * scales[place][1], tf.float32)
            moved = variable - rate * gradient
            variable.assign(tf.sign(moved) * tf.maximum(tf.abs(moved) - threshold, 0.0))
            left.append(None)
        return left

    def zeros() -> dict[str, float]:
        return {"zero_scales": float((values_of(scales) == 0).mean())}

    fitted = fit(
        copy,
        context.data,
        sparse_fitting(settings),
        context.watch,
        seed=context.seed,
        hooks=Hooks(gradients=gradients, epoch_end=zeros),
        label="sparse",
    )
    after = values_of(scales)
    report = {
        "penalty": penalty,
        "scales": histogram(before, after),
        "zero_scales_by_epoch": [row["zero_scales"] for row in fitted.history],
        "channel_costs": {scale.maker: float(cost) for (scale, _), cost in zip(scales, costs, strict=True)},
        "sparse_fit": fitted.as_dict(),
    }
    top1 = scorer(model)(context.data.splits["validation"])[1]
    warnings = collapsed(top1, fitted.history[-1]["validation_top1"], penalty)
    if (after > 0).all():
        what = "no channel is removed" if settings.amount == "zeros" else "what was removed was not constant"
        warnings.append(
            f"no scale reached 0 with penalty {penalty:.3g} (smallest {after.min():.3g}), so {what}; raise penalty or "
            "sparse_epochs"
        )
    return Prepared(copy, report, fitted.epochs_done, tuple(warnings))


def apply(model: Any, settings: IstaGammaSettings, context: Context) -> Outcome:
    """Gives a smaller, fine-tuned model; with `amount` zeros it has its old size when no scale reached zero."""
    images = context.data.splits["train"].images[:IMAGES].astype(np.float32) / 255.0

    def pick(graph: ChannelGraph, groups: Sequence[Group], within: Chooser) -> Choice:
        zero = [int(unit) for group in groups for unit in group.units[group.scores == 0]]
        return exactly(graph, groups, zero, target=counted(settings.target))

    def settle(graph: ChannelGraph, chosen: Choice) -> tuple[dict[str, Any], list[str]]:
        zero = np.concatenate([np.zeros(0, int), *(group.units[group.scores == 0] for group, _ in chosen.groups)])
        constant = np.intersect1d(zero, chosen.units)
        found, warnings = absorb(graph, constant, images)
        if settings.amount == "zeros" and len(constant) < len(zero):
            stay = len(zero) - len(constant)
            warnings.append(f"{stay} of {len(zero)} units with scales of 0 stay because of least, multiple or a slice")
        return found, warnings

    criterion = Criterion(
        score,
        judges=lambda graph: judged(graph, NAME),
        raw=True,
        prepare=lambda plain: prepare(plain, settings, context),
        pick=pick if settings.amount == "zeros" else None,
        by_target=settings.amount == "target",
        settle=settle,
    )
    return remove(model, settings, context, criterion)


def _kernel_size(site: Any) -> int:
    """The weights of a layer without its bias."""
    return sum(int(np.prod(weight.shape)) for weight in site.layer.weights if len(weight.shape) > 1)


def _cells(tensor: Any) -> int:
    return int(np.prod([size or 1 for size in tensor.shape[1:-1]]))


METHOD = Method(
    name=NAME,
    kind="prune",
    title="Channels of scale zero (ISTA)",
    source="Ye et al., arXiv:1802.00124",
    summary="Trains scales of norms to exact zeros and removes those channels; what they hand on is not lost.",
    measured=HALF_A_RESNET + "-0.0 points [-0.2, +0.2] against random channels within layers, not distinguishable; "
    "with one threshold for all layers 0.60 of top-1.",
    removes_channels=True,
    settings=IstaGammaSettings,
    apply=apply,
    rehearses=True,
)
