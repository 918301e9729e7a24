"""How the loss depends on factors put on channels: first derivatives, and second ones of the Gauss-Newton kind.

A factor g = 1 stands wherever a unit is read. Per image, J is the derivative of the logits by the factors and
H = diag(p) - pp' that of cross-entropy by the logits. Then u = mean J'(p - label) and S = mean J'HJ / 2: what is left
out of S is the curvature of the network itself. All norms run on their fixed statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from pipelines.data import Split
from pipelines.training.watch import Watch
from zoo.channel_graph import ChannelGraph

NUMBERS = 1 << 22  # of one batch of Jacobians: 32 MB in double precision


def gate_fisher(
    graph: ChannelGraph, groups: Sequence[np.ndarray], split: Split, watch: Watch
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For every group of units u (count,) and S (count, count), as means over the images of `split`."""
    from zoo.keras import tf
    from zoo.keras_gates import gated

    units = np.concatenate(groups)
    model = gated(graph, [int(unit) for unit in units])
    classes = int(model.output_shape[-1])
    ends = np.cumsum([0, *(len(group) for group in groups)])

    @tf.function(reduce_retracing=True, autograph=False)
    def jacobians(images: Any) -> tuple[Any, Any]:
        pixels, ones = tf.cast(images, tf.float32) / 255.0, tf.ones((tf.shape(images)[0], len(units)))
        with tf.GradientTape() as tape:
            tape.watch(ones)
            logits = model([pixels, ones], training=False)
        # A loop over the classes: vectorised, every convolution would be held once per class.
        return logits, tape.batch_jacobian(logits, ones, experimental_use_pfor=False)

    slopes = [np.zeros(len(group)) for group in groups]
    curvatures = [np.zeros((len(group), len(group))) for group in groups]
    batch = max(1, min(64, NUMBERS // (classes * len(units))))
    for at in range(0, len(split.labels), batch):
        watch.check()
        logits, jacobian = (value.numpy().astype(np.float64) for value in jacobians(split.images[at : at + batch]))
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        wrong = shares - np.eye(classes)[split.labels[at : at + batch]]
        # H = LL' with L = diag(sqrt p) - p sqrt(p)', so S is a sum of squares.
        roots = np.sqrt(shares)
        centred = jacobian - np.einsum("nk,nkg->ng", shares, jacobian)[:, None, :]
        rows = (roots[:, :, None] * centred).reshape(-1, len(units))
        slope = np.einsum("nk,nkg->g", wrong, jacobian)
        for place, (start, end) in enumerate(pairwise(ends.tolist())):
            part = rows[:, start:end]
            slopes[place] += slope[start:end]
            curvatures[place] += part.T @ part / 2
    images = len(split.labels)
    return [(slope / images, curve / images) for slope, curve in zip(slopes, curvatures, strict=True)]
