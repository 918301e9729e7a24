"""Magnitude pruning: small weights become zero while the model is fine-tuned. No channel is removed.

Source: Zhu and Gupta, arXiv:1710.01878, equation 1 (polynomial schedule); the masks are tfmot's.
Zeros shrink the compressed download, not the file and not the time on this runtime; the report says so.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from pipelines.kernels import depthwise_layers, kernel_layers, overall_zeros
from pipelines.method import Context, Method, Outcome
from pipelines.settings import setting
from pipelines.training.settings import Fitting


class MagnitudeSettings(Fitting):
    """Which share of the weights becomes zero, in which pattern, and the fine-tuning around it."""

    epochs: int = setting(
        8, ge=1, le=10_000, unit="epochs", help="Fine-tuning epochs; the schedule ends at 3/4 of them"
    )
    learning_rate: float = setting(
        5e-4, gt=0, le=10, help="Peak learning rate of the fine-tuning; about a quarter of training's"
    )
    keep: Literal["best", "last"] = setting(
        "last", help="last: only the last weights have the full sparsity; best may be from before the schedule ended"
    )
    sparsity: float = setting(0.5, ge=0.05, le=0.98, help="Share of zeros in each convolution and dense kernel")
    pattern: Literal["unstructured", "2:4", "xnnpack"] = setting(
        "unstructured",
        help="2:4 zeroes two of every four neighbouring input channels (always 50 %, sparsity is ignored); "
        "xnnpack: 1x1 convolutions only, in networks whose graph XNNPACK's sparse kernels take",
    )
    initial_sparsity: float = setting(0.0, ge=0, le=0.95, help="Share of zeros at the first update")
    skip_ends: bool = setting(
        True, help="Leave the first convolution and the classifier dense: they are the most sensitive"
    )


def apply(model: Any, settings: MagnitudeSettings, context: Context) -> Outcome:
    """Gives a fine-tuned copy of `model` with zeros in its kernels and the same shapes."""
    from tensorflow_model_optimization.python.core.sparsity.keras import prune, pruning_schedule, pruning_wrapper

    from pipelines.training.loop import Hooks, fit, scorer
    from pipelines.training.reports import fit_warnings
    from zoo.cloning import clone
    from zoo.cut import laid_open
    from zoo.keras import keras

    if settings.pattern != "2:4" and settings.initial_sparsity > settings.sparsity:
        raise ValueError(
            f"initial_sparsity {settings.initial_sparsity} is above sparsity {settings.sparsity}; it must not be larger"
        )
    # tfmot wraps the very layers it is given, so training would change the caller's model
    source = clone(laid_open(model))
    kernels = [layer.name for layer in kernel_layers(source)]
    if settings.pattern == "xnnpack":
        misfits = sparse_misfits(source)
        if misfits:
            raise ValueError(
                "pattern = 'xnnpack': XNNPACK's sparse kernels do not take this network: "
                + "; ".join(misfits[:6])
                + (f"; and {len(misfits) - 6} more" if len(misfits) > 6 else "")
                + "; unstructured works for every network"
            )
        pointwise = [layer.name for layer in kernel_layers(source) if getattr(layer, "kernel_size", None) == (1, 1)]
        chosen = set(pointwise) - {kernels[-1]} if settings.skip_ends else set(pointwise)
    else:
        chosen = set(kernels[1:-1] if settings.skip_ends else kernels)
    if not chosen:
        raise ValueError("nothing to prune: the model has no convolution or dense layer between its two ends")
    context.looked_over()
    updates = settings.epochs * (
        len(context.data.splits["train"].labels) // min(settings.batch, len(context.data.splits["train"].labels))
    )
    end = max(1, int(0.75 * updates))
    frequency = max(1, min(100, end // 20))
    if settings.pattern == "2:4":
        options: dict[str, Any] = {
            "sparsity_m_by_n": (2, 4),
            "pruning_schedule": pruning_schedule.ConstantSparsity(0.5, begin_step=0, frequency=frequency),
        }
    else:
        options = {
            "pruning_schedule": pruning_schedule.PolynomialDecay(
                settings.initial_sparsity, settings.sparsity, begin_step=0, end_step=end, power=3, frequency=frequency
            )
        }

    def wrap(layer: Any) -> Any:
        return prune.prune_low_magnitude(layer, **options) if layer.name in chosen else layer

    before = scorer(source)(context.data.splits["validation"])[1]
    pruned = keras.models.clone_model(
        source, clone_function=lambda layer: wrap(layer.__class__.from_config(layer.get_config()))
    )
    wrappers = [layer for layer in pruned.layers if isinstance(layer, pruning_wrapper.PruneLowMagnitude)]
    _copy_weights(source, pruned)

    def set_step(step: Any) -> None:
        for wrapper in wrappers:
            wrapper.pruning_step.assign(step)

    def apply_masks() -> None:
        for wrapper in wrappers:
            wrapper.pruning_obj.weight_mask_op()

    hooks = Hooks(update=set_step, epoch_end=apply_masks)
    fitted = fit(pruned, context.data, settings, context.watch, seed=context.seed, hooks=hooks, label="prune")
    apply_masks()
    result = clone(prune.strip_pruning(pruned))
    reached = _sparsities(result, chosen)
    overall = overall_zeros(result)
    target = 0.5 if settings.pattern == "2:4" else settings.sparsity
    warnings = [*fit_warnings(fitted)]
    short = {name: share for name, share in reached.items() if share < target - 0.01}
    if short:
        shown = ", ".join(f"{name} {share:.2f}" for name, share in list(short.items())[:4])
        warnings.append(f"sparsity {target:.2f} was not reached in {len(short)} of {len(reached)} layers: {shown}")
    depthwise = depthwise_layers(result)
    if depthwise:
        warnings.append(
            f"{len(depthwise)} depthwise kernels are never pruned and stay dense, {', '.join(depthwise[:3])}"
            f"{', ...' if len(depthwise) > 3 else ''}: over all kernels {overall:.0%} are zero"
        )
    if settings.pattern == "xnnpack":
        warnings.append(
            "no channel was removed; a file is faster only where its runtime stores and runs sparse kernels, and those "
            "written here are stored dense"
        )
    else:
        warnings.append(
            "no channel was removed: the file keeps its size and its time, only its compressed size shrinks"
        )
    after = scorer(result)(context.data.splits["validation"])[1]
    report = {
        "fit": fitted.as_dict(),
        "pattern": settings.pattern,
        "target_sparsity": target,
        "sparsity_of_chosen_layers": float(np.mean(list(reached.values()))),
        "sparsity_of_all_weights": overall,
        "layers": reached,
        "left_dense": sorted(set(kernels) - chosen),
        "depthwise_left_dense": depthwise,
        "validation_top1_before": before,
        "validation_top1_after": after,
        "schedule_finished": fitted.epochs_done * fitted.updates_per_epoch >= end,
    }
    if not report["schedule_finished"]:
        warnings.append(f"the pruning schedule ends at update {end} and was not finished")
    return Outcome(result, report, tuple(warnings))


def _copy_weights(source: Any, pruned: Any) -> None:
    """Carries weights over by layer: a wrapper holds its layer's weights plus mask, threshold and step."""
    for layer in source.layers:
        target = pruned.get_layer(layer.name) if layer.name in {item.name for item in pruned.layers} else None
        if target is None:
            target = pruned.get_layer(f"prune_low_magnitude_{layer.name}").layer
        for variable, value in zip(target.weights[: len(layer.weights)], layer.get_weights(), strict=True):
            variable.assign(value)


def _sparsities(model: Any, names: set[str]) -> dict[str, float]:
    return {layer.name: float(np.mean(layer.get_weights()[0] == 0)) for layer in model.layers if layer.name in names}


def sparse_misfits(model: Any) -> list[str]:
    """What keeps XNNPACK's sparse kernels from a network, one sentence each, by tfmot's policy; empty: nothing.

    The policy stops at the first layer that it does not take and does not name it; here all are named.
    Source: Elsen et al., arXiv:1911.09723; the graph as `PruneForLatencyOnXNNPack` of tfmot 0.8.1 demands it.
    """
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_policy

    from zoo.keras import keras

    policy = pruning_policy.PruneForLatencyOnXNNPack()
    try:
        policy.ensure_model_supports_pruning(model)
    except ValueError as error:
        verdict = str(error)
    else:
        return []
    pools = [layer for layer in model.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
    found = []
    entry = [layer for layer in model.layers if policy._start_layer_stop_fn(layer)]
    if not entry:
        first = next((layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)), "no convolution")
        found.append(
            "it must begin with a padding of 1 on each side and a valid 3x3 convolution of stride 2 on 3 channels, and "
            f"begins with {first}"
        )
    if not pools:
        found.append("it must end in a global average pooling")
    names = [layer.name for layer in model.layers]
    inside = names[names.index(entry[0].name) + 1 if entry else 0 : names.index(pools[-1].name) + 1 if pools else None]
    for name in inside:
        layer = model.get_layer(name)
        begins = isinstance(layer, keras.layers.InputLayer | keras.layers.ZeroPadding2D) or layer.name == _first(model)
        if not begins and not policy._check_layer_support(layer):
            found.append(f"{name} ({type(layer).__name__}) is not among what it takes{_as_configured(layer)}")
    return found or [verdict]


def _first(model: Any) -> str:
    layers = kernel_layers(model)
    return layers[0].name if layers else ""


def _as_configured(layer: Any) -> str:
    """The settings of a layer that decide whether the sparse kernels take it."""
    if type(layer).__name__ == "GlobalAveragePooling2D":
        return " without keepdims"
    if not hasattr(layer, "kernel_size"):
        return ""
    side, stride = "x".join(map(str, layer.kernel_size)), layer.strides[0]
    return f" as {side}, stride {stride}, padding {layer.padding}"


METHOD = Method(
    name="magnitude",
    kind="prune",
    title="Magnitude pruning (zeros only)",
    source="Zhu and Gupta, arXiv:1710.01878; tensorflow-model-optimization",
    summary="Sets the smallest weights to zero while fine-tuning. Smaller download, same file size and speed.",
    removes_channels=False,
    settings=MagnitudeSettings,
    apply=apply,
    rehearses=True,
)
