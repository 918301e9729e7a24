"""Pointwise convolutions of a trained model learn groups: put in place of plain ones, trained, deployed.

What is shared by `learned_groups` (arXiv:1711.09224) and `fully_learned_groups` (arXiv:1904.00346). The layers that
learn stand in `zoo/keras_learned.py`, their schedule in `pipelines/training/condensation.py`, and `zoo/deploy.py` turns
them into gathers and native grouped convolutions, so that what a method gives holds plain layers only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import Any

import numpy as np

import zoo
from pipelines.method import Context, Outcome
from pipelines.settings import setting
from pipelines.training.settings import Fitting
from zoo.deploy import deploy
from zoo.plans import Call, Plan

EQUAL = 1e-5  # of the largest logit: as far as the deployed network may be from the trained one
COMPARED = 256  # validation images


class GroupingSettings(Fitting):
    """Which convolutions learn groups, how many, and how they are trained."""

    epochs: int = setting(20, ge=1, le=10_000, unit="epochs", help="Epochs in which groups and weights are trained")
    learning_rate: float = setting(
        1e-3, gt=0, le=10, help="Peak learning rate; about half of training's, since whole inputs are lost on the way"
    )
    groups: int = setting(4, ge=2, le=64, unit="groups", help="Groups of every convolution chosen; 4 and 8 are usual")
    layers: str = setting("*", max_length=2000, help="Layers to choose, names with * and ?, separated by commas")
    skip: str = setting("", max_length=2000, help="Layers to leave alone, written alike: stage1_*, last_conv")


@dataclass(frozen=True)
class Learner:
    """A layer that learns groups: its class, and for a chosen call its configuration, its weights behind the kernel,
    and why it cannot take the call's place, empty if it can."""

    kind: str
    config: dict[str, Any]
    weights: Callable[[Call, int, int], tuple[np.ndarray, ...]]
    misfit: Callable[[int, int], str]


def learn_groups(
    model: Any,
    settings: GroupingSettings,
    context: Context,
    learner: Learner,
    penalty: Callable[[list[Any]], Any] | None = None,
) -> Outcome:
    """Gives the deployed network; `model` is left as it is. `penalty` of the learning layers joins the loss.

    Raises: ValueError, before anything is trained, when no convolution fits.
    """
    from pipelines.training.loop import cross_entropy, fit, predictor, scorer
    from pipelines.training.reports import fit_warnings
    from zoo.cut import laid_open

    plain = deploy(laid_open(model))
    plan = Plan.of(plain)
    if plan is None:
        raise ValueError(
            "this model cannot be rewritten: it has layers of another kind than the zoo's, a nested model, or a layer "
            "that is called twice"
        )
    left = _put(plan, settings, learner)
    context.looked_over()
    learning = plan.build()
    validation = context.data.splits["validation"]
    report: dict[str, Any] = {
        "validation_top1_before": scorer(model)(validation)[1],
        "validation_top1_replaced": scorer(learning)(validation)[1],
    }
    layers = [layer for layer in learning.layers if type(layer).__name__ == learner.kind]
    plain_loss = cross_entropy(context.data, settings)

    def objective(images: Any, labels: Any, logits: Any) -> Any:
        loss = plain_loss(images, labels, logits)
        return loss + penalty(layers) if penalty else loss

    fitted = fit(learning, context.data, settings, context.watch, seed=context.seed, objective=objective, label="prune")
    result = deploy(learning)
    images = validation.images[:COMPARED]
    ours, theirs = predictor(learning)(images), predictor(result)(images)
    difference = float(np.abs(ours - theirs).max() / max(float(np.abs(ours).max()), 1e-30))
    before, after = (zoo.cost_of(zoo.sketch_of(one)) for one in (plain, result))
    report |= {
        "fit": fitted.as_dict(),
        "validation_top1_trained": scorer(learning)(validation)[1],
        "validation_top1_after": scorer(result)(validation)[1],
        "deployed_difference": difference,
        "params_before": before.params,
        "params_after": after.params,
        "macs_before": before.macs,
        "macs_after": after.macs,
        "learned_groups": _rows(fitted.learned_groups, plan),
        "left_alone": left,
    }
    warnings = [*fit_warnings(fitted)]
    if difference > EQUAL:
        warnings.append(f"the deployed network differs from the trained one by {difference:.1e} of the largest logit")
    if after.macs > before.macs:
        warnings.append(f"the deployed network has more multiply-adds ({after.macs:,}) than before ({before.macs:,})")
    return Outcome(result, report, tuple(warnings))


def _put(plan: Plan, settings: GroupingSettings, learner: Learner) -> dict[str, str]:
    """Puts learning layers in place of what fits; gives the reason for each pointwise convolution that was left."""
    left: dict[str, str] = {}
    chosen = 0
    for name, call in list(plan.calls.items()):
        if call.kind != "Conv2D" or tuple(call.config["kernel_size"]) != (1, 1):
            continue
        reason = _misfit(plan, call, settings, learner)
        if reason:
            left[name] = reason
            continue
        extra = learner.weights(call, plan.channels_of(call.inputs[0]), chosen)
        config = {"filters": call.channels, "groups": settings.groups, **learner.config}
        plan.calls[name] = replace(call, kind=learner.kind, config=config, weights=(call.weights[0], *extra))
        chosen += 1
    if not chosen:
        reasons = [f"{name} {why}" for name, why in list(left.items())[:4]]
        raise ValueError(
            f"no convolution can learn {settings.groups} groups: {'; '.join(reasons) or 'none is of size 1x1'}"
        )
    return left


def _misfit(plan: Plan, call: Call, settings: GroupingSettings, learner: Learner) -> str:
    """Why a pointwise convolution is left alone; empty when it is not."""
    if not _fits(call.name, settings.layers) or _fits(call.name, settings.skip):
        return "was not asked for"
    config = call.config
    if tuple(config["strides"]) != (1, 1):
        return f"has stride {config['strides'][0]}"
    if config["use_bias"]:
        return "has a bias"
    if config["groups"] > 1:
        return f"has {config['groups']} groups already"
    if config["activation"] != "linear":
        return "has an activation inside"
    return learner.misfit(plan.channels_of(call.inputs[0]), call.channels)


def _fits(name: str, patterns: str) -> bool:
    return any(fnmatch(name, part.strip()) for part in patterns.split(",") if part.strip())


def _rows(learned: list[dict[str, Any]], plan: Plan) -> list[dict[str, Any]]:
    """What a fitting says of its groups, with the channels of each layer."""
    calls = [plan.calls[row["name"]] for row in learned]
    widths = [(plan.channels_of(call.inputs[0]), call.channels) for call in calls]
    return [{**row, "inputs": into, "outputs": out} for row, (into, out) in zip(learned, widths, strict=True)]
