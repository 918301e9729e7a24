"""Channels with small scales in their norms go, after training that pulls scales to zero.

Source: Liu et al., arXiv:1708.06519, section 3: equation 1 adds lambda times the sum of absolute scales to the loss, by
its subgradient; one threshold over all scales of the network then parts the channels. As in the released code the
subgradient joins the gradient of the scales, and SGD with momentum moves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pipelines.method import Context, Method, Outcome
from pipelines.removal.remove import HALF_A_RESNET, Criterion, Prepared, remove
from pipelines.removal.scales import (
    NEAR_ZERO,
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

NAME = "network_slimming"
MOMENTUM = 0.9  # of the loop's SGD: it makes every pull ten times as long
# The paper's 1e-5 for ResNet and 1e-4 for VGG come to 0.66 and 6.6 over 160 epochs of 782 updates, with rates 0.1, 0.01
# and 0.001. Measured on digits: MobileNetV2 is dead after 6.6 within 370 updates, a net of four layers gains by it.
PULL = 1.0


class NetworkSlimmingSettings(SparseScaleSettings):
    """How strongly scales are pulled, how long, and how much is removed."""

    scope: Literal["layer", "global"] = setting(
        "global", help="global: one threshold over all scales of the network, as in the paper; layer: in every layer"
    )
    penalty: float | None = setting(
        None,
        ge=0,
        le=100,
        help="Lambda, the weight of the sum of |scale| beside the loss; empty: such that by itself it would move a "
        f"scale by {PULL:g} over sparse_epochs (the paper's come to 0.66 for ResNet and 6.6 for VGG)",
    )


def prepare(model: Any, settings: NetworkSlimmingSettings, context: Context) -> Prepared:
    """A copy of `model`, trained on with the penalty on its scales."""
    from pipelines.training.loop import Hooks, fit, scorer
    from zoo.cloning import clone
    from zoo.keras import tf

    copy = clone(model)
    scales = pulled(ChannelGraph.of(copy), settings)
    penalty, place_of = penalty_of(settings, context, pull=PULL, momentum=MOMENTUM), by_variable(scales)
    before = values_of(scales)

    def gradients(found: list[Any], variables: Sequence[Any], rate: Any) -> list[Any]:
        changed = []
        for gradient, variable in zip(found, variables, strict=True):
            place = place_of(variable)
            if place is not None:
                gradient += penalty * tf.constant(scales[place][1], tf.float32) * tf.sign(variable)
            changed.append(gradient)
        return changed

    fitted = fit(
        copy,
        context.data,
        sparse_fitting(settings),
        context.watch,
        seed=context.seed,
        hooks=Hooks(gradients=gradients),
        label="sparse",
    )
    report: dict[str, Any] = {
        "penalty": penalty,
        "scales": histogram(before, values_of(scales)),
        "pulled_layers": [scale.maker for scale, _ in scales],
        "sparse_fit": fitted.as_dict(),
    }
    top1 = scorer(model)(context.data.splits["validation"])[1]
    warnings = collapsed(top1, fitted.history[-1]["validation_top1"], penalty)
    if not report["scales"]["near_zero_after"]:
        warnings.append(
            f"no scale came below {NEAR_ZERO} with penalty {penalty:.3g}: the channels that went still counted; raise "
            "penalty or sparse_epochs"
        )
    return Prepared(copy, report, fitted.epochs_done, tuple(warnings))


def apply(model: Any, settings: NetworkSlimmingSettings, context: Context) -> Outcome:
    """Gives a smaller, fine-tuned model."""
    criterion = Criterion(
        score,
        judges=lambda graph: judged(graph, NAME),
        raw=True,
        prepare=lambda plain: prepare(plain, settings, context),
    )
    return remove(model, settings, context, criterion)


METHOD = Method(
    name=NAME,
    kind="prune",
    title="Channels of small scale (slimming)",
    source="Liu et al., arXiv:1708.06519",
    summary="Trains with a penalty on the scales of norms, removes the channels with the smallest, then fine-tunes.",
    measured=HALF_A_RESNET + "-0.0 points [-0.4, +0.4] against random channels, not distinguishable.",
    removes_channels=True,
    settings=NetworkSlimmingSettings,
    apply=apply,
    rehearses=True,
)
