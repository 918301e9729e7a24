"""Sizes that cost more than they need to: odd channel counts, early convolutions without a stride, one dense layer that
is most of the network, large kernels. Choices of this project, not the paper's guidelines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from math import prod

from zoo.arithmetic import pair
from zoo.lint.finding import Finding, Rule, area, megabytes
from zoo.lint.thresholds import Thresholds
from zoo.lint.traffic import CONVOLUTIONS, Traffic
from zoo.sketches import Op


def odd_channels(traffic: Traffic, limits: Thresholds) -> Iterator[Finding]:
    """Channel counts that fill no vector: one finding for each count in a stage, one per class left out."""
    found: dict[tuple[str, int], list[Op]] = defaultdict(list)
    ends = _ends(traffic)
    for op in traffic.ops:
        if op.kind in CONVOLUTIONS and op.shape[-1] % limits.channel_multiple and op.name not in ends:
            found[op.stage, op.shape[-1]].append(op)
    for (stage, channels), ops in found.items():
        filled = -(-channels // limits.channel_multiple) * limits.channel_multiple
        more = f" and {len(ops) - 1} more of this stage" if len(ops) > 1 else ""
        yield Finding(
            "channel_multiple", ops[0].name, stage,
            f"{channels} channels{more}: not a multiple of {limits.channel_multiple}, so vector units work as for "
            f"{filled}; {100 * (filled - channels) / filled:.0f} % of that work is for nothing",
        )  # fmt: skip


def _ends(traffic: Traffic) -> set[str]:
    """The convolutions that make the network's outputs: their channels are the classes, which the task sets."""
    ends: set[str] = set()
    waiting = [traffic.home[name] for name in traffic.sketch.outputs]
    while waiting:
        name = waiting.pop()
        if name not in ends:
            ends.add(name)
            if traffic.sketch[name].kind not in (*CONVOLUTIONS, "dense"):
                waiting.extend(traffic.inputs[name])
    return ends


def early_convolutions(traffic: Traffic, limits: Thresholds) -> Iterator[Finding]:
    """Convolutions at the image's full size, before anything has made the map smaller."""
    full: set[str] = set()
    for op in traffic.ops:
        if op.kind == "input":
            if len(op.shape) == 3 and min(op.shape[:2]) >= limits.early_side:
                full.add(op.name)
            continue
        sources = traffic.inputs[op.name]
        same = len(op.shape) == 3 and sources and all(
            source in full and traffic.sketch[source].shape[:2] == op.shape[:2] for source in sources
        )  # fmt: skip
        if not same:
            continue
        full.add(op.name)
        if op.kind in CONVOLUTIONS:
            saving = prod(op.shape) * 3 // 4 * traffic.element_bytes
            yield Finding(
                "early_convolution", op.name, op.stage,
                f"convolution with stride 1 at the image's full {area(op.shape)} (limit {limits.early_side} pixels); "
                f"with stride 2 it writes {megabytes(saving)} less and needs a quarter of its "
                f"{op.macs / 1e6:,.1f} M multiply-adds",
                ((op.name, saving),),
            )  # fmt: skip


def large_dense(traffic: Traffic, limits: Thresholds) -> Iterator[Finding]:
    """A dense layer that holds most of the weights."""
    total = sum(op.params for op in traffic.sketch.ops)
    for op in traffic.ops:
        if op.kind == "dense" and total and op.params > limits.dense_share * total:
            rest = total - op.params
            allowed = rest * limits.dense_share / (1 - limits.dense_share) if limits.dense_share < 1 else total
            saving = round(max(0.0, op.params - allowed) * traffic.element_bytes)
            yield Finding(
                "large_dense", op.name, op.stage,
                f"dense layer of {op.params:,} weights, {100 * op.params / total:.0f} % of the network "
                f"(limit {100 * limits.dense_share:g} %)",
                ((op.name, saving),),
            )  # fmt: skip


def large_kernels(traffic: Traffic, limits: Thresholds) -> Iterator[Finding]:
    """Ordinary convolutions that 3x3 ones in a row would replace with fewer multiply-adds."""
    for op in traffic.ops:
        if op.kind != "conv":
            continue
        sides, inward, groups = pair(op.config["kernel_size"]), traffic.input_shape(op)[-1], op.config.get("groups", 1)
        side = sides[0]
        if sides[0] != sides[1] or side % 2 == 0 or side < limits.kernel_side or groups == inward:
            continue
        steps, out, cells = (side - 1) // 2, op.shape[-1], prod(op.shape[:-1])
        weights = 9 * out * (inward + (steps - 1) * out) // groups
        if cells * weights >= op.macs:
            continue
        fewer = side * side * inward * out // groups - weights
        saving = max(0, fewer - 2 * (steps - 1) * cells * out) * traffic.element_bytes
        yield Finding(
            "large_kernel", op.name, op.stage,
            f"{side}x{side} convolution from {inward} to {out} channels: {steps} of 3x3 see as far with "
            f"{(op.macs - cells * weights) / 1e6:,.1f} M multiply-adds ({100 * (1 - cells * weights / op.macs):.0f} %) "
            "less",
            ((op.name, saving),),
        )  # fmt: skip


RULES = (
    Rule("channel_multiple", "Channels fill vectors", "none in bytes; the evidence says the work", odd_channels),
    Rule("early_convolution", "Early stride", "three quarters of the output written", early_convolutions),
    Rule("large_dense", "No dominating dense layer", "weights above the allowed share of all", large_dense),
    Rule("large_kernel", "Small kernels",
         "weights above those of 3x3 convolutions in a row, less the maps these pass on", large_kernels),
)  # fmt: skip
