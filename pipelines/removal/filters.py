"""A layer's filters as rows, the weight that holds them, and the norm directly behind the layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.channel_graph import ChannelGraph, Site


def filters_of(graph: ChannelGraph, name: str, folded: bool) -> np.ndarray:
    """The filters of a layer as rows, (output channels, weights of one)."""
    weight, axis = filter_weight(graph.sites[name])
    kernel = np.moveaxis(weight.numpy(), axis, -1)
    rows: np.ndarray = kernel.reshape(-1, kernel.shape[-1]).T.astype(np.float64)
    norm = norm_behind(graph, name) if folded else None
    if norm is not None:
        gamma = norm.gamma.numpy() if norm.scale else np.ones(len(rows))
        rows = rows * (np.abs(gamma) / np.sqrt(norm.moving_variance.numpy() + norm.epsilon))[:, None]
    return rows


def filter_weight(site: Site) -> tuple[Any, int]:
    """The weight that holds a layer's filters, and its axis of output channels."""
    weight = site.layer.weights[1 if site.kind == "SeparableConv2D" else 0]
    return weight, 2 if site.kind == "Conv2DTranspose" else len(weight.shape) - 1


def norm_behind(graph: ChannelGraph, name: str) -> Any:
    """The norm that reads a layer directly; None when there is none."""
    made = graph.sites[name].node.outputs
    for site in graph.sites.values():
        if site.kind == "BatchNormalization" and site.node.keras_inputs[0] is made:
            return site.layer
    return None
