"""A network as a list of operations, without weights and without TensorFlow.

A `Node` stands where a Keras tensor would stand: it has a shape and belongs to a `Sketch`, which grows by one `Op` for
every layer that is put on one of its nodes. The cost panel, the linter and the fit checks read the finished list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from zoo.arithmetic import Shape
from zoo.rules import RULES


@dataclass(frozen=True)
class Op:
    """One operation. `moved` counts elements: inputs read, output written and weights read, nothing fused."""

    name: str
    kind: str
    layer: str
    inputs: tuple[str, ...]
    shape: Shape
    params: int
    trainable_params: int
    macs: int
    moved: int
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def stage(self) -> str:
        """The place in the network, first word of the name: `stage3` of `stage3_1_expand_conv`."""
        return self.name.rsplit("/", 1)[-1].split("_")[0]


@dataclass(frozen=True)
class Node:
    """What a layer returns while sketching; `shape` has no batch axis."""

    sketch: Sketch = field(repr=False)
    name: str
    shape: Shape


@dataclass
class Sketch:
    """Operations in the order they were laid. `outputs` and `unknown` are names of operations."""

    ops: list[Op] = field(default_factory=list)
    outputs: tuple[str, ...] = ()
    unknown: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._by_name = {op.name: op for op in self.ops}

    def __getitem__(self, name: str) -> Op:
        return self._by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def fresh(self, name: str) -> str:
        """`name`, or `name:2`, `name:3` ... when it is taken."""
        taken = 1
        while (name if taken == 1 else f"{name}:{taken}") in self:
            taken += 1
        return name if taken == 1 else f"{name}:{taken}"

    def input(self, shape: Shape, name: str = "image") -> Node:
        """A node for an input of `shape`, (height, width, channels)."""
        return self.write(Op(name, "input", "InputLayer", (), shape, 0, 0, 0, 0))

    def add(
        self, layer: str, name: str, config: Mapping[str, Any], inputs: Sequence[Node], shared: bool = False
    ) -> Node:
        """The node behind `layer`, a class name of `zoo/rules.py`, put on `inputs`.

        `shared` marks a further call of a layer already written: it computes and moves again but owns no weights.

        Raises: ValueError when the layer does not fit its inputs; the message names the layer.
        """
        rule = RULES[layer]
        shapes = [node.shape for node in inputs]
        try:
            facts = rule.facts(config, shapes)
        except ValueError as error:
            raise ValueError(f"layer {name}: {error}") from error
        weights = facts.trainable + facts.fixed
        read = facts.read if facts.read is not None else sum(map(prod, shapes))
        trainable = facts.trainable if config.get("trainable", True) else 0
        return self.write(
            Op(
                name=name,
                kind=rule.kind,
                layer=layer,
                inputs=tuple(node.name for node in inputs),
                shape=tuple(facts.shape),
                params=0 if shared else weights,
                trainable_params=0 if shared else trainable,
                macs=facts.macs,
                moved=0 if rule.view else read + prod(facts.shape) + weights,
                config=dict(config),
            )
        )

    def write(self, op: Op) -> Node:
        """The node behind `op`, which is appended as it is. Raises: ValueError for a name used twice."""
        if op.name in self._by_name:
            raise ValueError(f"layer name {op.name} is used twice; every layer needs its own")
        self.ops.append(op)
        self._by_name[op.name] = op
        return Node(self, op.name, op.shape)
