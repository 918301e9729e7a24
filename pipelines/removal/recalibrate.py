"""Statistics of norms put right after weights were changed by hand: a true mean over training images, no weight moves.

Without it an accuracy right after a cut says little: every norm still has the mean of channels that are gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pipelines.data import Dataset
from pipelines.training.settings import Fitting


def recalibrate(model: Any, data: Dataset, settings: Fitting, *, batches: int, seed: int) -> int:
    """Runs `batches` of training images, augmented as in training, through `model` in place; gives how many ran.

    All batches count alike. A model without norms is left as it is, and 0 is given.
    """
    return recalibrator(model, data, settings, seed=seed)(batches)


def recalibrator(model: Any, data: Dataset, settings: Fitting, *, seed: int) -> Callable[[int], int]:
    """Gives `recalibrate` of one model as a function of the number of batches, traced once; each time the same ones."""
    from pipelines.training.augment import augmenter
    from pipelines.training.loop import norm_layers
    from zoo.keras import tf

    norms = norm_layers(model)
    train, classes = data.splits["train"], len(data.classes)
    size = min(max(settings.batch, 64), len(train.labels))
    augment = augmenter(settings)

    @tf.function
    def forward(images: Any, labels: Any, number: Any) -> None:
        pixels = tf.cast(images, tf.float32) / 255.0
        pixels, _ = augment(pixels, tf.one_hot(labels, classes), tf.stack([tf.constant(seed, tf.int32), number]))
        model(tf.ensure_shape(pixels, (None, *model.input_shape[1:])), training=True)

    def run(batches: int) -> int:
        if not norms or not batches:
            return 0
        draw = np.random.default_rng(seed)
        momenta = [norm.momentum for norm in norms]
        means = [np.zeros(norm.moving_mean.shape) for norm in norms]
        variances = [np.zeros(norm.moving_variance.shape) for norm in norms]
        try:
            for norm in norms:
                norm.momentum = 0.0  # what one batch has becomes the statistics, to be read and averaged here
            for number in range(batches):
                picked = draw.choice(len(train.labels), size, replace=False)
                forward(train.images[picked], train.labels[picked], tf.constant(number, tf.int32))
                for place, norm in enumerate(norms):
                    means[place] += norm.moving_mean.numpy() / batches
                    variances[place] += norm.moving_variance.numpy() / batches
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
        for norm, mean, variance in zip(norms, means, variances, strict=True):
            norm.moving_mean.assign(mean)
            norm.moving_variance.assign(variance)
        return batches

    return run
