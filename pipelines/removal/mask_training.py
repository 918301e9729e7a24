"""Trains a student with masks towards the logits of a frozen model, with or without a discriminator between the two.

No label is read. What the masks and the discriminator remember lies in weights of the student, so a checkpoint of the
training holds all of it. Source: Lin et al., arXiv:1903.09291, equations 1 to 9; see `pipelines/methods/adversarial.py`
for what is done otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pipelines.data import Dataset
from pipelines.method import Context
from pipelines.training.settings import Fitting
from zoo.channel_graph import ChannelGraph, Site

HIDDEN = (128, 256, 128)  # of the discriminator, section 4.1 of the paper
SAMPLE = 1024  # training images behind mean and spread of the frozen model's logits

Index = Callable[[Site, int], list[int] | None]  # (site, place of the input) -> the mask of each channel


@dataclass(frozen=True)
class Matching:
    """The logits of a frozen model as a target: `mean` and `spread` are those over all of them."""

    model: Any
    mean: float
    spread: float

    @classmethod
    def of(cls, model: Any, data: Dataset) -> Matching:
        """Raises: ValueError when the model answers alike to every image."""
        from pipelines.training.loop import predictor

        logits = predictor(model)(data.splits["train"].images[:SAMPLE]).astype(np.float64)
        spread = float(np.sqrt(logits.var(axis=0).mean()))
        if not spread > 1e-6:
            raise ValueError(
                f"the logits of the model hardly differ between images (spread {spread:.2g}), so there is nothing to "
                "learn from them; train the model first"
            )
        return cls(model, float(logits.mean()), spread)

    def wanted(self, images: Any) -> Any:
        """The frozen model's logits for images in [0, 1]."""
        from zoo.keras import tf

        return tf.stop_gradient(self.model(images, training=False))

    def objective(self, images: Any, labels: Any, logits: Any) -> Any:
        """Mean square between the logits, as a share of the frozen ones' variance, per image."""
        return self.distance(self.wanted(images), logits)

    def distance(self, wanted: Any, logits: Any) -> Any:
        from zoo.keras import tf

        return tf.reduce_mean(((logits - wanted) / self.spread) ** 2, axis=1)


def train_masks(
    model: Any, graph: ChannelGraph, count: int, index: Index, context: Context, plan: Fitting, *, every: int,
    rate: float, penalty: float, weight: float, judge_rate: float,
) -> tuple[Any, np.ndarray, Any]:  # fmt: skip
    """The student, its masks (count,) and the report of its training. `index` says what is masked and by which."""
    from pipelines.training.loop import Hooks, fit
    from zoo.cut import reading
    from zoo.keras import tf
    from zoo.keras_gates import MaskGate, Masks

    matching = Matching.of(model, context.data)
    judge = Judge.weights(int(model.output_shape[-1]), context.seed) if weight else []
    masks = Masks(count, judge, name="masks")

    def read(site: Site, which: int, tensor: Any) -> Any:
        found = index(site, which)
        return tensor if found is None else MaskGate(masks, np.array(found))(tensor)

    student = reading(graph, read)

    def objective(images: Any, labels: Any, logits: Any) -> Any:
        wanted = matching.wanted(images)
        distance = matching.distance(wanted, logits)
        if not weight:
            return distance
        real, made = ((one - matching.mean) / matching.spread for one in (wanted, logits))
        fooled = tf.nn.softplus(-Judge.verdict(masks.extra, made))[:, 0]
        Judge.learn(masks.extra, real, tf.stop_gradient(made), judge_rate)
        return distance + weight * fooled

    def update(step: Any) -> None:
        due = tf.logical_and(step > 0, step % every == 0)
        tf.cond(due, lambda: masks.step(rate, penalty, every), lambda: None)

    fitted = fit(
        student, context.data, plan, context.watch, seed=context.seed, objective=objective,
        hooks=Hooks(update=update), label="masks",
    )  # fmt: skip
    return student, masks.values.numpy(), fitted


class Judge:
    """The discriminator: a small network from logits to one number, large for the frozen model's. Plain descent, so
    that its weights are all it remembers."""

    @staticmethod
    def weights(classes: int, seed: int) -> list[np.ndarray]:
        """Kernels and biases in turn, He-normal from `seed`."""
        draw = np.random.default_rng(seed)
        sizes = (classes, *HIDDEN, 1)
        found = []
        for before, after in pairwise(sizes):
            found += [draw.normal(size=(before, after)) * np.sqrt(2 / before), np.zeros(after)]
        return found

    @staticmethod
    def verdict(weights: Any, logits: Any) -> Any:
        """The number before the sigmoid, (batch, 1)."""
        from zoo.keras import tf

        x = logits
        for place in range(0, len(weights), 2):
            x = x @ weights[place] + weights[place + 1]
            x = tf.nn.relu(x) if place < len(weights) - 2 else x
        return x

    @staticmethod
    def learn(weights: Any, real: Any, made: Any, rate: float) -> None:
        """One step down the cross-entropy of telling `real` from `made`."""
        from zoo.keras import tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            loss = tf.reduce_mean(tf.nn.softplus(-Judge.verdict(weights, real)))
            loss += tf.reduce_mean(tf.nn.softplus(Judge.verdict(weights, made)))
        for weight, slope in zip(weights, tape.gradient(loss, weights), strict=True):
            weight.assign_sub(rate * slope)
