"""G2: at equal multiply-adds a grouped convolution moves more, the more groups it has. Source: arXiv:1807.11164,
section 2.

The comparison keeps the input and the multiply-adds, as the paper does: `h w c1 + B g / c1 + B / (h w)` numbers with B
multiply-adds grows with g. The layer without groups therefore puts out c2 / g channels and moves `h w c2 (1 - 1/g)`
numbers less. (For fixed c1 and c2 grouping saves weights and multiply-adds; the guideline is not about that.)

A depthwise convolution is not a finding here: its traffic is that of element-wise work, which is G4. The split form
of a grouped convolution (slices, small convolutions, a concatenation) is recognised and counts as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from zoo.lint.finding import Finding, Rule, area, megabytes
from zoo.lint.thresholds import Thresholds
from zoo.lint.traffic import Traffic
from zoo.sketches import Op


def look(traffic: Traffic, limits: Thresholds) -> Iterator[Finding]:
    """Every grouped convolution, native or split."""
    for op in traffic.ops:
        if op.kind == "conv":
            groups, form = op.config.get("groups", 1), ""
            if groups == traffic.input_shape(op)[-1]:
                continue
        else:
            groups, form = split_groups(op, traffic), ", laid as slices, convolutions and a concatenation,"
        if groups <= limits.groups:
            continue
        ungrouped = op.shape[-1] // groups
        saving = prod(op.shape[:-1]) * (op.shape[-1] - ungrouped) * traffic.element_bytes
        yield Finding(
            "G2", op.name, op.stage,
            f"convolution in {groups} groups{form} to {op.shape[-1]} channels at {area(op.shape)}: one group with "
            f"the same input and as many multiply-adds puts out {ungrouped} channels and moves {megabytes(saving)} "
            f"less (limit {limits.groups} group{'s' if limits.groups > 1 else ''})",
            ((op.name, saving),),
        )  # fmt: skip


def split_groups(op: Op, traffic: Traffic) -> int:
    """How many groups a concatenation joins again: each input a convolution of a slice of one map; 1 if it is none."""
    parts = [traffic.sketch[name] for name in traffic.inputs[op.name]] if op.kind == "concat" else []
    maps = set()
    for part in parts:
        sources = [traffic.sketch[name] for name in traffic.inputs[part.name]]
        if part.kind != "conv" or len(sources) != 1 or sources[0].kind != "slice":
            return 1
        maps.add(sources[0].inputs[0])
    return len(parts) if len(maps) == 1 and len({(part.shape, part.macs) for part in parts}) == 1 else 1


RULE = Rule(
    "G2", "Few groups",
    "bytes above those of the ungrouped convolution with the same input and as many multiply-adds", look,
)  # fmt: skip
