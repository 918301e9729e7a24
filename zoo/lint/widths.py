"""G1: a 1x1 convolution with equal input and output channels moves least. Source: arXiv:1807.11164, section 2.

With `area` = h*w and g groups it moves `area (c1 + c2) + c1 c2 / g` numbers. Its multiply-adds fix c1 c2, and then
`2 area sqrt(c1 c2) + c1 c2 / g` is the least (the mean of two numbers is at least the root of their product), reached
at c1 = c2. Ungrouped this is the paper's `2 sqrt(h w B) + B / (h w)` with B multiply-adds. Biases are left out, as in
the paper. Only layers that keep the size of the map: with a stride the two sides are not the same map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod, sqrt

from zoo.arithmetic import pair
from zoo.lint.finding import Finding, Rule, area, megabytes
from zoo.lint.thresholds import Thresholds
from zoo.lint.traffic import Traffic
from zoo.sketches import Op


@dataclass(frozen=True)
class Pointwise:
    """A 1x1 convolution from `inward` to `out` channels over `area` cells."""

    area: int
    inward: int
    out: int
    groups: int = 1

    @property
    def moved(self) -> float:
        """Numbers it moves."""
        return self.area * (self.inward + self.out) + self.inward * self.out / self.groups

    @property
    def least(self) -> float:
        """Numbers that the layer of equal widths and as many multiply-adds moves."""
        return 2 * self.area * sqrt(self.inward * self.out) + self.inward * self.out / self.groups

    @property
    def ratio(self) -> float:
        """How many times the least it moves, 1.0 at equal widths."""
        return self.moved / self.least


def pointwise(op: Op, traffic: Traffic) -> Pointwise | None:
    """The 1x1 convolution that `op` is, the second half of a separable one included; None for any other."""
    if op.kind == "conv" and pair(op.config["kernel_size"]) == (1, 1) and pair(op.config.get("strides", 1)) == (1, 1):
        return Pointwise(prod(op.shape[:-1]), traffic.input_shape(op)[-1], op.shape[-1], op.config.get("groups", 1))
    if op.kind == "separable":
        hidden = traffic.input_shape(op)[-1] * op.config.get("depth_multiplier", 1)
        return Pointwise(prod(op.shape[:-1]), hidden, op.shape[-1])
    return None


def look(traffic: Traffic, limits: Thresholds) -> Iterator[Finding]:
    """Every 1x1 convolution that moves too many times the least."""
    for op in traffic.ops:
        layer = pointwise(op, traffic)
        if layer is None or layer.ratio <= limits.width_ratio:
            continue
        saving = round((layer.moved - layer.least) * traffic.element_bytes)
        yield Finding(
            "G1", op.name, op.stage,
            f"1x1 convolution from {layer.inward} to {layer.out} channels at {area(op.shape)} moves "
            f"{megabytes(layer.moved * traffic.element_bytes)}, {layer.ratio:.2f} times what two sides of "
            f"{sqrt(layer.inward * layer.out):.0f} channels would with as many multiply-adds "
            f"(limit {limits.width_ratio:g})",
            ((op.name, saving),),
        )  # fmt: skip


RULE = Rule(
    "G1", "Equal channel widths",
    "bytes above those of the 1x1 convolution with equal widths and as many multiply-adds", look,
)  # fmt: skip
