"""What moves through memory, and between whom: the graph that all rules read.

Two views of one sketch. *Folded*: what a runtime folds away is gone, by the assumption of `zoo/costs.py` (a norm and a
ReLU live in their convolution), and the bytes are those of the cost panel. *As laid*: every layer moves its own bytes,
as training does. Identities and views are gone in both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from zoo.costs import homes
from zoo.rules import RULES
from zoo.sketches import Op, Sketch

CONVOLUTIONS = ("conv", "depthwise", "separable", "transposed")


@dataclass(frozen=True)
class Traffic:
    """Operations that stay, in order, with what they read from each other; `home` maps every operation to its own."""

    sketch: Sketch
    element_bytes: int = 4
    folded: bool = True
    home: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        if isinstance(self.element_bytes, bool) or self.element_bytes not in (1, 2, 4):
            raise ValueError(f"element_bytes {self.element_bytes!r} is not 4 (float32), 2 (float16) or 1 (int8)")
        object.__setattr__(self, "home", homes(self.sketch) if self.folded else _views_gone(self.sketch))

    @cached_property
    def ops(self) -> tuple[Op, ...]:
        """Operations that stay, in the order of the sketch."""
        return tuple(op for op in self.sketch.ops if self.home[op.name] == op.name)

    @cached_property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """For every operation that stays those it reads from, folded ones replaced by their home."""
        home = self.home
        found: dict[str, dict[str, None]] = {op.name: {} for op in self.ops}
        for op in self.sketch.ops:
            own = home[op.name]
            for name in op.inputs:
                if home[name] != own:
                    found[own][home[name]] = None
        return {name: tuple(sources) for name, sources in found.items()}

    @cached_property
    def readers(self) -> dict[str, tuple[str, ...]]:
        """For every operation that stays those that read its output."""
        found: dict[str, list[str]] = {op.name: [] for op in self.ops}
        for name, sources in self.inputs.items():
            for source in sources:
                found[source].append(name)
        return {name: tuple(readers) for name, readers in found.items()}

    @cached_property
    def members(self) -> dict[str, tuple[Op, ...]]:
        """For every operation that stays what is folded into it, in order, itself left out."""
        found: dict[str, list[Op]] = {op.name: [] for op in self.ops}
        for op in self.sketch.ops:
            if self.home[op.name] != op.name:
                found[self.home[op.name]].append(op)
        return {name: tuple(members) for name, members in found.items()}

    @cached_property
    def all_bytes(self) -> int:
        """Bytes moved by the whole network for one image."""
        return sum(self.bytes_of(op) for op in self.ops)

    def bytes_of(self, op: Op) -> int:
        """Bytes one operation moves: inputs and weights read, output written."""
        return op.moved * self.element_bytes

    def share(self, amount: float) -> float:
        """`amount` of bytes as a share of all bytes moved."""
        return amount / self.all_bytes if self.all_bytes else 0.0

    def input_shape(self, op: Op) -> tuple[int, ...]:
        """The shape of the operation's first input."""
        return self.sketch[op.inputs[0]].shape


def _views_gone(sketch: Sketch) -> dict[str, str]:
    """Every operation at home with itself, views with what they look at."""
    home: dict[str, str] = {}
    for op in sketch.ops:
        view = op.layer in RULES and RULES[op.layer].view and len(op.inputs) == 1
        home[op.name] = home[op.inputs[0]] if view else op.name
    return home
