"""The kernels that zeroing and sharing work on: those of convolutions and dense layers, not of depthwise ones."""

from __future__ import annotations

from typing import Any

import numpy as np

PRUNED = 0.05  # a kernel with more zeros than this was pruned: training never leaves exact zeros behind


def kernel_layers(model: Any) -> list[Any]:
    """Convolutions and dense layers in the model's order, the classifier last."""
    from zoo.keras import keras

    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)]


def depthwise_layers(model: Any) -> list[str]:
    """Names of the layers with a depthwise kernel."""
    return [layer.name for layer in model.layers if hasattr(layer, "depthwise_kernel")]


def zeros_of(layer: Any) -> float:
    """The share of zeros in a layer's kernel."""
    return float(np.mean(layer.kernel.numpy() == 0))


def overall_zeros(model: Any) -> float:
    """The share of zeros in all kernels of a model, depthwise ones included."""
    kernels = [
        layer.get_weights()[0]
        for layer in model.layers
        if hasattr(layer, "kernel") or hasattr(layer, "depthwise_kernel")
    ]
    return float(sum((k == 0).sum() for k in kernels) / sum(k.size for k in kernels))
