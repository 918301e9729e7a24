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

# What acts on each channel by itself and may stand between a group's convolution and the concatenation.
BY_CHANNEL = ("norm", "relu", "leaky_relu", "prelu", "hard_swish", "hard_sigmoid", "activation")


def look(traffic: Traffic, limits: Thresholds) -> Iterator[Finding]:
    """Every grouped convolution, native or split."""
    for op in traffic.ops:
        if op.kind == "conv":
            groups, form = op.config.get("groups", 1), ""
            if groups == traffic.input_shape(op)[-1]:
                continue
        else:
            groups, form = len(split_parts(op, traffic)), ", laid as slices, convolutions and a concatenation,"
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


def split_parts(op: Op, traffic: Traffic) -> tuple[Op, ...]:
    """The convolutions that a concatenation joins to one in groups: each of a slice of one map. Empty if it does not.

    A normalisation and an activation may stand behind each of them.
    """
    parts: list[Op] = []
    maps = set()
    for name in traffic.inputs[op.name] if op.kind == "concat" else ():
        part = traffic.sketch[name]
        while part.kind in BY_CHANNEL:
            part = traffic.sketch[traffic.inputs[part.name][0]]
        sources = [traffic.sketch[source] for source in traffic.inputs[part.name]]
        if part.kind != "conv" or len(sources) != 1 or sources[0].kind != "slice":
            return ()
        parts.append(part)
        maps.add(sources[0].inputs[0])
    alike = len(maps) == 1 and len({(part.shape, part.macs) for part in parts}) == 1
    return tuple(parts) if alike and len(parts) > 1 else ()


RULE = Rule(
    "G2", "Few groups",
    "bytes above those of the ungrouped convolution with the same input and as many multiply-adds", look,
)  # fmt: skip
