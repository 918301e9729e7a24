"""Channels go that nobody reads much: of every channel, how large and how diverse the kernels are that read it.

Source: Li et al., KSE, arXiv:1812.04368, section 3 (equations in `pipelines/removal/kernel_worth.py`). No image is
needed to choose. The paper skips a channel in each layer by itself; here one is removed where all its readers can do
without, because a layer that reads a part of its input would need a gather. What the paper saves by adding up shared
kernels has no form in Keras or TFLite, so `cluster` makes the compressed file smaller and nothing faster.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from pipelines.method import Context, Method, Outcome
from pipelines.removal.choose import Choice, Group, counted, exactly
from pipelines.removal.kernel_worth import indicators, kernels_of, levels
from pipelines.removal.remove import HALF_A_RESNET, Chooser, Criterion, Tuning, remove
from pipelines.removal.settings import RemovalSettings
from pipelines.removal.shared_kernels import SharedKernels, distinct_kernels
from pipelines.settings import setting
from zoo.channel_graph import ChannelGraph


class KernelEntropySettings(RemovalSettings):
    """How fine the levels are, how much is removed, and whether kernels that stay are shared."""

    amount: Literal["target", "zeros"] = setting(
        "target",
        help="target: the channels of the lowest indicator until the share of the target is gone; zeros: those that "
        "keep no kernel at any reader, as in the paper (remove is ignored)",
    )
    granularity: int = setting(
        4, ge=2, le=16, unit="levels", help="G: levels between none and all kernels of a channel"
    )
    tolerance: int = setting(0, ge=0, le=8, help="T: each step halves the kernels of every level between none and all")
    alpha: float = setting(1.0, ge=0, le=100, help="How much diversity counts against size; 0 counts size alone")
    neighbours: int = setting(5, ge=1, le=64, unit="kernels", help="k: nearest kernels that measure how dense they lie")
    cluster: bool = setting(
        False,
        help="Also lets channels that stay share kernels, as many as their level allows: a smaller compressed file, "
        "but the same file size and no gain in time",
    )


def apply(model: Any, settings: KernelEntropySettings, context: Context) -> Outcome:
    """Gives a smaller, fine-tuned model."""
    readers: dict[str, dict[int, float]] = {}  # reading layer -> unit -> v
    wanted: list[int] = []
    allowed: dict[str, np.ndarray] = {}
    shared: list[SharedKernels] = []

    def score(graph: ChannelGraph) -> dict[int, float]:
        readers.update(worth_by_reader(graph, settings))
        worth = {int(unit): 0.0 for unit in graph.free}
        for found in readers.values():
            for unit in worth.keys() & found.keys():
                worth[unit] = max(worth[unit], found[unit])
        return worth

    def pick(graph: ChannelGraph, groups: Sequence[Group], within: Chooser) -> Choice:
        if settings.amount == "target":
            return within(groups)
        for group in groups:
            wanted.extend(group.units[np.floor(group.scores * settings.granularity) == 0].tolist())
        return exactly(graph, groups, wanted, target=counted(settings.target))

    def settle(graph: ChannelGraph, chosen: Choice) -> None:
        """Notes what share of its kernels each channel keeps: min and max over a layer are those before the cut."""
        for site in graph.makers:
            if site.name in readers and site.kind == "Conv2D" and site.word == "fresh":
                units = graph.inputs_of(site.name)
                worth = np.array([readers[site.name][unit] for unit in units.tolist()])
                allowed[site.name.replace("/", "_")] = worth[~np.isin(units, chosen.units)]

    def tune(small: Any) -> Tuning:
        from pipelines.training.loop import Hooks

        for layer in small.layers:
            if layer.name in allowed:
                count = layer.kernel.shape[-1]
                kept = levels(
                    allowed[layer.name], count, granularity=settings.granularity, tolerance=settings.tolerance
                )
                shared.append(SharedKernels(layer, np.maximum(kept, 1), context.seed))

        def share(*_: Any) -> None:
            for one in shared:
                one.share()

        share()
        return Tuning(hooks=Hooks(update=share, epoch_end=share))

    criterion = Criterion(
        score,
        pick=pick,
        by_target=settings.amount == "target",
        settle=settle if settings.cluster else None,
        tune=tune if settings.cluster else None,
    )
    outcome = remove(model, settings, context, criterion)
    report, warnings = {**outcome.report, "amount": settings.amount}, [*outcome.warnings]
    if settings.amount == "zeros":
        report["units_without_kernels"] = len(wanted)
        if all(row["channels"] == row["kept"] for row in report["layers"]):
            warnings.append(
                f"no channel was removed: {len(wanted)} keep no kernel, and floors and multiples kept those; "
                "amount = target removes a given share"
            )
    if settings.cluster:
        report["kernels"] = [
            {
                "layer": one.layer.name,
                "kernels": len(one.labels),
                "allowed": one.count,
                "distinct": distinct_kernels(outcome.model.get_layer(one.layer.name).get_weights()[0]),
            }
            for one in shared
        ]
        warnings.append(
            "shared kernels make the compressed file smaller and nothing faster: a convolution of Keras and TFLite "
            "computes with every kernel; only removed channels save time"
        )
    return dataclasses.replace(outcome, report=report, warnings=tuple(warnings))


def worth_by_reader(graph: ChannelGraph, settings: KernelEntropySettings) -> dict[str, dict[int, float]]:
    """v of every unit that a maker reads, by the name of that maker. Layers that read the image alone are left out."""
    free = set(graph.free.tolist())
    found = {}
    for site in graph.makers:
        kernels = kernels_of(graph, site) if free & set(graph.inputs_of(site.name).tolist()) else {}
        if kernels:
            worth = indicators([*kernels.values()], alpha=settings.alpha, neighbours=settings.neighbours)
            found[site.name] = dict(zip(kernels, worth.tolist(), strict=True))
    return found


METHOD = Method(
    name="kernel_entropy",
    kind="prune",
    title="Channels read by few and similar kernels",
    source="Li et al., KSE, arXiv:1812.04368",
    summary="Removes the channels that every reader uses least, by size and diversity of its kernels, then fine-tunes; "
    "on request the kernels that stay share weights, which shrinks the compressed file only.",
    measured=HALF_A_RESNET + "+0.3 points [-0.1, +0.8] against random channels, not distinguishable.",
    removes_channels=True,
    settings=KernelEntropySettings,
    apply=apply,
    rehearses=True,
)
