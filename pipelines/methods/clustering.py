"""Clustering: the weights of a kernel take a few values only, which are then trained on. No channel is removed.

Source: Han et al., arXiv:1510.00149, section 3: k-means on the trained weights, membership fixed from then on, the
gradient of a shared value is the sum of its members' gradients (equation 3).
tensorflow-model-optimization's wrapper is not used: its version 0.8.1 leaves convolutions without bias as they are when
asked for clusters per channel, takes the kernel away from the model it is given, and counts members anew at every pass.
"""

from __future__ import annotations

from math import log2
from typing import Any, Literal

import numpy as np

from pipelines.clusters import distinct, share
from pipelines.kernels import PRUNED, depthwise_layers, kernel_layers, zeros_of
from pipelines.method import Context, Method, Outcome
from pipelines.settings import setting
from pipelines.training.settings import Fitting


class ClusteringSettings(Fitting):
    """How many values a kernel may take, how they are found, and the fine-tuning of the values."""

    epochs: int = setting(4, ge=1, le=10_000, unit="epochs", help="Fine-tuning epochs; a few are enough")
    learning_rate: float = setting(
        1e-4, gt=0, le=10, help="Peak learning rate; a value moves for all its weights at once, so it is a gentle one"
    )
    clusters: int = setting(
        16, ge=2, le=256, unit="values", help="Values per kernel or channel, zero among them; 16 fit in four bits"
    )
    start: Literal["linear", "density", "random", "kmeans++"] = setting(
        "linear", help="Where k-means begins: linear suited the paper best, for it keeps the rare large weights"
    )
    per_channel: bool = setting(
        False, help="Values for each output channel by itself: closer to the weights, and more values to store"
    )
    preserve_sparsity: Literal["auto", "never"] = setting(
        "auto", help="auto: in pruned kernels zeros stay zero and count as one of the values; never: they are weights"
    )
    gradient: Literal["sum", "average"] = setting(
        "sum", help="A value's gradient: the sum over its weights as in the paper, or their mean; alike under Adam"
    )
    skip_ends: bool = setting(
        True, help="Leave the first convolution and the classifier alone: they are the most sensitive"
    )


def apply(model: Any, settings: ClusteringSettings, context: Context) -> Outcome:
    """Gives a fine-tuned copy of `model` whose kernels take at most `clusters` values.

    Raises: ValueError when no kernel has enough weights for so many values.
    """
    from pipelines.training.held import SharedValues, hooks_of
    from pipelines.training.loop import fit, scorer
    from pipelines.training.reports import fit_warnings
    from zoo.cloning import clone
    from zoo.cut import laid_open

    result = clone(laid_open(model))
    chosen, skipped = _chosen(result, settings)
    if not chosen:
        raise ValueError(
            f"clusters = {settings.clusters}: no kernel can share so many values; "
            + ", ".join(f"{name} ({why})" for name, why in list(skipped.items())[:4])
            + "; fewer clusters, per_channel = false or skip_ends = false would work"
        )
    context.looked_over()
    validation = context.data.splits["validation"]
    draw = np.random.default_rng(context.seed)
    report: dict[str, Any] = {"validation_top1_before": scorer(result)(validation)[1]}
    segments, errors = [], {}
    for layer in chosen:
        kernel = layer.kernel.numpy()
        shared = share(
            kernel, settings.clusters, start=settings.start, per_channel=settings.per_channel,
            keep_zeros=_keeps_zeros(layer, settings), draw=draw,
        )  # fmt: skip
        errors[layer.name] = float(np.linalg.norm(shared.values - kernel)) / max(float(np.linalg.norm(kernel)), 1e-30)
        layer.kernel.assign(shared.values)
        segments.append((layer.kernel, shared.segments))
    zeros = {layer.name: zeros_of(layer) for layer in chosen if _keeps_zeros(layer, settings)}
    report["validation_top1_clustered"] = scorer(result)(validation)[1]
    hooks = hooks_of(SharedValues(segments, settings.gradient))
    fitted = fit(result, context.data, settings, context.watch, seed=context.seed, hooks=hooks, label="cluster")
    rows = [_row(layer, settings, errors[layer.name]) for layer in chosen]
    per_kernel = "distinct_in_a_channel" if settings.per_channel else "distinct"
    over = [row["layer"] for row in rows if row[per_kernel] > settings.clusters]
    lost = [name for name, share_of in zeros.items() if zeros_of(result.get_layer(name)) < share_of]
    if over or lost:
        raise RuntimeError(f"values came apart in {over}, zeros moved in {lost}")
    report |= {
        "fit": fitted.as_dict(),
        "clusters": settings.clusters,
        "per_channel": settings.per_channel,
        "layers": rows,
        "skipped": skipped,
        "kernels_with_zeros_held": len(zeros),
        "validation_top1_after": scorer(result)(validation)[1],
    }
    warnings = [
        *fit_warnings(fitted),
        "no channel was removed: the file keeps its size and its time, only its compressed size shrinks",
    ]
    if not settings.per_channel:
        warnings.append(
            f"int8 files scale every output channel by itself: {settings.clusters} values of a kernel become up to "
            f"{settings.clusters} for each channel there"
        )
    return Outcome(result, report, tuple(warnings))


def _chosen(model: Any, settings: ClusteringSettings) -> tuple[list[Any], dict[str, str]]:
    """The layers whose kernels are clustered, and why the others are not."""
    layers = kernel_layers(model)
    skipped = dict.fromkeys(depthwise_layers(model), "depthwise")
    ends = [layers[0].name, layers[-1].name] if settings.skip_ends and layers else []
    chosen = []
    for layer in layers:
        kernel = layer.kernel.numpy()
        size = kernel.size // kernel.shape[-1] if settings.per_channel else kernel.size
        if layer.name in ends:
            skipped[layer.name] = "first or last"
        elif size <= settings.clusters:
            skipped[layer.name] = f"{size} weights{' a channel' if settings.per_channel else ''}"
        else:
            chosen.append(layer)
    return chosen, skipped


def _keeps_zeros(layer: Any, settings: ClusteringSettings) -> bool:
    return settings.preserve_sparsity == "auto" and zeros_of(layer) > PRUNED


def _row(layer: Any, settings: ClusteringSettings, error: float) -> dict[str, Any]:
    """What a kernel became; `ideal_ratio` is the paper's storage ratio (its equation 1), before any entropy code."""
    kernel = layer.kernel.numpy()
    whole, channel = distinct(kernel)
    books = kernel.shape[-1] if settings.per_channel else 1
    bits = kernel.size * max(1.0, log2(settings.clusters)) + books * settings.clusters * 32
    return {
        "layer": layer.name,
        "weights": int(kernel.size),
        "distinct": whole,
        "distinct_in_a_channel": channel,
        "zeros": float(np.mean(kernel == 0)),
        "relative_error": error,
        "ideal_ratio": kernel.size * 32 / bits,
    }


METHOD = Method(
    name="clustering",
    kind="prune",
    title="Clustering (few values)",
    source="Han et al., arXiv:1510.00149",
    summary="Lets the weights of a kernel share a few values and trains these. Smaller download, same size and speed.",
    removes_channels=False,
    settings=ClusteringSettings,
    apply=apply,
    rehearses=True,
)
