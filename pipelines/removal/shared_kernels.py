"""Kernels that share their weights: those of one input channel in a few clusters, held together while they are trained.

Per input channel the 2-D kernels of a convolution are put into clusters by k-means. Before every update and at the end
of every epoch each kernel becomes the mean of its cluster, so that what is trained are the means. A convolution here
still computes with every kernel: only the compressed file shrinks.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class SharedKernels:
    """The clusters of one convolution; `allowed` says how many kernels each input channel may have at most."""

    def __init__(self, layer: Any, allowed: np.ndarray, seed: int) -> None:
        self.layer = layer
        kernel = layer.get_weights()[0]
        inputs, filters = kernel.shape[2:]
        rows = kernel.reshape(-1, inputs, filters)
        labels = np.zeros((inputs, filters), np.int32)
        first = 0
        for channel in range(inputs):
            own = clusters(rows[:, channel].T, int(allowed[channel]), seed)
            labels[channel] = first + own
            first += int(own.max()) + 1
        self.labels, self.count = labels.reshape(-1), first
        sizes = np.bincount(self.labels, minlength=first).astype(np.float32)
        self.sizes = sizes[:, None]

    def share(self) -> None:
        """Every kernel becomes the mean of its cluster, in place."""
        from zoo.keras import tf

        kernel = self.layer.kernel
        rows = tf.transpose(tf.reshape(kernel, (-1, len(self.labels))))  # (kernels, weights of one)
        means = tf.math.unsorted_segment_sum(rows, self.labels, self.count) / self.sizes
        kernel.assign(tf.reshape(tf.transpose(tf.gather(means, self.labels)), kernel.shape))


def distinct_kernels(kernel: np.ndarray) -> int:
    """How many different 2-D kernels there are, counted within each input channel; (height, width, in, out)."""
    inputs = kernel.shape[2]
    return sum(
        len(np.unique(kernel[:, :, channel].reshape(-1, kernel.shape[3]), axis=1).T) for channel in range(inputs)
    )


def clusters(kernels: np.ndarray, allowed: int, seed: int) -> np.ndarray:
    """The cluster of every row, numbered from 0 without gaps; not more than `allowed`, and than there are rows."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    if allowed >= len(kernels):
        return np.arange(len(kernels))
    different, inverse = np.unique(kernels, axis=0, return_inverse=True)
    if allowed >= len(different):
        return np.asarray(inverse).reshape(-1)
    with threadpool_limits(1):  # sums of several threads come in any order
        found = KMeans(allowed, n_init=4, random_state=seed).fit(kernels.astype(np.float64)).labels_
    return np.unique(found, return_inverse=True)[1].reshape(-1)
