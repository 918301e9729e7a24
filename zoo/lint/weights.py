"""Dead weights of a trained model: depthwise kernels and channels that are there and do nothing. Takes a Keras model.

The scale of a norm directly behind a convolution belongs to its kernels, so it is multiplied in first.

- A **kernel** is dead when its largest weight is below a share of the largest of its layer (`dead_weight`).
- A **channel** is dead when its kernel is, or when its ReLU lets nothing through: the norm in front of it puts out
  numbers of mean beta and deviation |gamma| (as far as its statistics fit), and zero lies `dead_sigmas` deviations
  above.

Nothing is run and no image is needed; that a channel is dead on real images is likely, not proven.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.lint.finding import Finding, megabytes
from zoo.lint.thresholds import USUAL, Thresholds
from zoo.lint.traffic import Traffic
from zoo.sketches import Op

if TYPE_CHECKING:
    from zoo.keras import keras

KERNELS = {"Conv2D": "kernel", "DepthwiseConv2D": "depthwise_kernel"}


@dataclass(frozen=True)
class Alive:
    """One layer: how many of its kernels are near zero, and how many channels are silent behind their ReLU."""

    layer: str
    stage: str
    depthwise: bool
    channels: int
    near_zero: int
    silent: int
    dead: int

    def as_row(self) -> dict[str, Any]:
        """The layer as plain values; `dead_share` counts a channel that is both once."""
        return {
            "layer": self.layer,
            "stage": self.stage,
            "kind": "depthwise" if self.depthwise else "conv",
            "channels": self.channels,
            "near_zero": self.near_zero,
            "silent": self.silent,
            "dead_share": self.dead / self.channels,
        }


def layers(model: keras.Model, traffic: Traffic, limits: Thresholds = USUAL) -> list[Alive]:
    """Every convolution of `model` with its dead kernels and channels; `traffic` is of the model's own sketch."""
    own = dict(_layers(model))
    return [
        _judged(op, own, traffic, limits)
        for op in traffic.ops
        if op.layer in KERNELS and op.name in own and op.name not in traffic.sketch.outputs
    ]


def look(found: list[Alive], traffic: Traffic, limits: Thresholds = USUAL) -> Iterator[Finding]:
    """A finding for every layer with too many dead kernels or channels.

    Saveable is what dead channels move: of a depthwise layer their share of everything, of others that of the output
    and the weights.
    """
    for layer in found:
        share = layer.dead / layer.channels
        if share <= limits.dead_share:
            continue
        op = traffic.sketch[layer.layer]
        read = 0 if layer.depthwise else int(np.prod(traffic.input_shape(op)))
        saving = round(share * (op.moved - read) * traffic.element_bytes)
        rule = "dead_kernels" if layer.depthwise else "dead_channels"
        yield Finding(
            rule, op.name, op.stage,
            f"{layer.dead} of {layer.channels} channels are dead ({100 * share:.0f} %, limit "
            f"{100 * limits.dead_share:g} %): {layer.near_zero} kernels near zero, {layer.silent} channels silent "
            f"behind their ReLU; pruning them saves {megabytes(saving)}",
            ((op.name, saving),),
        )  # fmt: skip


def totals(found: list[Alive]) -> dict[str, Any]:
    """Shares over the whole network: near-zero kernels of depthwise layers, dead channels of all layers."""
    depthwise = [layer for layer in found if layer.depthwise]
    kernels, channels = sum(layer.channels for layer in depthwise), sum(layer.channels for layer in found)
    return {
        "depthwise_kernels": kernels,
        "dead_depthwise_share": sum(layer.near_zero for layer in depthwise) / kernels if kernels else None,
        "channels": channels,
        "dead_channel_share": sum(layer.dead for layer in found) / channels if channels else None,
        "layers": [layer.as_row() for layer in found],
    }


def _judged(op: Op, own: dict[str, Any], traffic: Traffic, limits: Thresholds) -> Alive:
    layer = own[op.name]
    kernel = np.asarray(getattr(layer, KERNELS[op.layer]))
    largest = np.abs(kernel.reshape(-1, op.shape[-1])).max(axis=0)
    silent = np.zeros(op.shape[-1], bool)
    behind = traffic.members[op.name]
    norm = own.get(behind[0].name) if behind and behind[0].layer == "BatchNormalization" else None
    if norm is not None:
        deviation = np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
        gamma = np.asarray(norm.gamma) if norm.scale else np.ones(op.shape[-1])
        beta = np.asarray(norm.beta) if norm.center else np.zeros(op.shape[-1])
        largest = largest * np.abs(gamma) / deviation
        if any(member.kind == "relu" for member in behind):
            silent = beta <= -limits.dead_sigmas * np.abs(gamma)
    # Equal to the limit counts too: in a layer of zeros alone every kernel is dead.
    near_zero = largest <= limits.dead_weight * largest.max()
    return Alive(
        layer=op.name,
        stage=op.stage,
        depthwise=op.layer == "DepthwiseConv2D",
        channels=op.shape[-1],
        near_zero=int(near_zero.sum()),
        silent=int(silent.sum()),
        dead=int((near_zero | silent).sum()),
    )


def _layers(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for layer in model.layers:
        if hasattr(layer, "_nodes_by_depth"):
            yield from _layers(layer, f"{prefix}{layer.name}/")
        else:
            yield prefix + layer.name, layer
