"""What channels that are constant hand on, moved into what reads them, so that the cut changes nothing else.

A channel whose scale is 0 still carries its shift, through activations and depthwise layers, to every layer that reads
it. What arrives there is looked up on images instead of derived: the model runs, and the layer answers to these
channels alone. That answer goes into the layer's bias, or comes off the mean of the norm directly behind it. Exact
without padding; with padding `same` the value of the middle of the map is taken, and cells at the border, where the
kernel reaches over it, keep an error that is reported. Source: Ye et al., arXiv:1802.00124, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from pipelines.removal.filters import norm_behind
from zoo.channel_graph import ChannelGraph, Site
from zoo.cut import kept_atoms

IMAGES = 16


def absorb(graph: ChannelGraph, removed: Iterable[int], images: np.ndarray) -> tuple[dict[str, Any], list[str]]:
    """Changes biases and means of the graph's model for channels about to be cut; gives a report and warnings.

    `images` are floats (images, height, width, channels) in [0, 1], of which the first 16 count. The report has, over
    all layers that were changed, the largest error of a cell relative to the largest number the layer answers with.
    """
    from zoo.keras import keras

    gone = ~kept_atoms(graph, removed)
    readers = [site for site in graph.sites.values() if site.makes and gone[site.reads[0]].any()]
    report: dict[str, Any] = {"absorbed": [], "absorption_error": 0.0}
    if not readers:
        return report, []
    look = keras.Model(graph.model.inputs, [site.node.keras_inputs[0] for site in readers])
    inputs = dict(zip((site.name for site in readers), _listed(look(images[:IMAGES], training=False)), strict=True))
    shared = {site.first for site in graph.sites.values()}
    left = []
    for site in readers:
        if site.first or site.name in shared:
            left.append(site.name)  # one bias cannot hold what two calls are handed
            continue
        seen = inputs[site.name].numpy()
        middle, error = _answer(site, np.where(gone[site.reads[0]], seen, 0.0), seen)
        if not _move(graph, site, middle):
            left.append(site.name)
            continue
        report["absorbed"].append(site.name)
        report["absorption_error"] = max(report["absorption_error"], error)
    warnings = []
    if left:
        warnings.append(
            f"what removed channels handed on to {', '.join(left[:3])} is lost: no bias and no norm could take it"
        )
    return report, warnings


def _answer(site: Site, part: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, float]:
    """What a layer makes of `part` of its input in the middle of the map, by output channel, and how far a cell is off,
    relative to the largest number that the layer makes of its `whole` input."""
    config = site.layer.get_config()
    bare = type(site.layer).from_config({**config, "activation": "linear", "use_bias": False})
    bare.build(site.node.keras_inputs[0].shape)
    bare.set_weights(site.layer.get_weights()[: len(bare.weights)])
    answers, all_answers = bare(part.astype(np.float32)).numpy(), bare(whole).numpy()
    cells = answers.reshape(len(answers), -1, answers.shape[-1])
    if answers.ndim == 4:
        middle = answers[:, answers.shape[1] // 2, answers.shape[2] // 2].mean(axis=0)
    else:
        middle = cells.mean(axis=(0, 1))
    return middle, float(np.abs(cells - middle).max() / max(float(np.abs(all_answers).max()), 1e-30))


def _move(graph: ChannelGraph, site: Site, amount: np.ndarray) -> bool:
    """Adds `amount` to the layer's bias, or takes it off the mean of the norm behind it; False when it has neither."""
    if site.layer.get_config().get("use_bias"):
        site.layer.bias.assign_add(amount)
        return True
    norm = norm_behind(graph, site.name)
    linear = (site.layer.get_config().get("activation") or "linear") == "linear"
    readers = sum(tensor is site.node.outputs for one in graph.sites.values() for tensor in one.node.keras_inputs)
    if norm is None or not linear or readers > 1 or any(site.node.outputs is end for end in graph.model.outputs):
        return False
    norm.moving_mean.assign_sub(amount)
    return True


def _listed(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]
