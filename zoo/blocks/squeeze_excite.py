"""Squeeze-and-excitation: one weight per channel from the mean of the map. Source: arXiv:1709.01507."""

from __future__ import annotations

from zoo import layers
from zoo.blocks.convolution import activate
from zoo.layers import Tensor, channels_of

# The means in front of a squeeze are positive and much the same for every image, so a ReLU unit that starts below zero
# does so for all of them and never learns: half of all units with a bias of 0 (the papers' 2 to 8 units are then all
# silent every now and then), 4 % with 1. A house choice for the start of training; it adds no weight.
RELU_BIAS_START = 1.0


def squeeze_excite(x: Tensor, squeeze: int, *, name: str, activation: str = "relu", gate: str = "sigmoid") -> Tensor:
    """`x` weighted by channel: mean, 1x1 to `squeeze` channels with `activation`, 1x1 back with `gate`; both with bias.

    Layers NAME_pool, NAME_reduce_conv, NAME_expand_conv, NAME_gate.
    """
    weights = layers.global_pool(x, name=f"{name}_pool", keep_map=True)
    start = RELU_BIAS_START if activation == "relu" else 0.0
    weights = layers.conv(weights, squeeze, name=f"{name}_reduce_conv", bias=True, bias_start=start)
    weights = activate(weights, activation, name=f"{name}_reduce")
    weights = layers.conv(weights, channels_of(x), name=f"{name}_expand_conv", bias=True)
    weights = activate(weights, gate, name=f"{name}_expand")
    return layers.gate(x, weights, name=f"{name}_gate")
