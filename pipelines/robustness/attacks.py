"""Attacks that move every pixel by at most epsilon along the gradient of the model that is attacked.

Images are uint8, `(n, height, width, channels)`, and so is what comes out: a camera hands on whole numbers, an int8
file reads nothing finer, and float models and files are judged on the very same images. Epsilon is in steps of 1/255.
Sources: Goodfellow et al., arXiv:1412.6572 (fgsm); Madry et al., arXiv:1706.06083 (pgd).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

WHITE = 255
BATCH = 128
STRIDE = 2.5  # pgd can walk this many times the radius in all, so that it reaches the border and turns there


class Attacker:
    """The gradients of one model (uint8 / 255 in, logits out); its graph is built at the first attack."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fgsm(self, images: np.ndarray, labels: np.ndarray, epsilon: int) -> np.ndarray:
        """One step of the whole epsilon."""
        return self._attacked(images, labels, epsilon, steps=1, restarts=1, seed=None)

    def pgd(
        self, images: np.ndarray, labels: np.ndarray, epsilon: int, *, steps: int = 20, restarts: int = 2, seed: int = 0
    ) -> np.ndarray:
        """Several steps from random starts; of the restarts the one stays that fools the model, or comes closest."""
        return self._attacked(images, labels, epsilon, steps=steps, restarts=restarts, seed=seed)

    def _attacked(
        self, images: np.ndarray, labels: np.ndarray, epsilon: int, *, steps: int, restarts: int, seed: int | None
    ) -> np.ndarray:
        if not 0 <= epsilon <= WHITE:
            raise ValueError(f"epsilon = {epsilon}: give whole steps of 1/255 from 0 to {WHITE}")
        if steps < 1 or restarts < 1:
            raise ValueError(f"steps = {steps}, restarts = {restarts}: both must be at least 1")
        parts = []
        for at in range(0, len(images), BATCH):
            clean, wanted = images[at : at + BATCH], labels[at : at + BATCH].astype(np.int64)
            best, worst = clean, np.full(len(clean), -np.inf, np.float32)
            for restart in range(restarts):
                start = (0, 0) if seed is None else (seed * 1_000 + restart + 1, at + 1)
                moved, loss = (
                    value.numpy()
                    for value in self._walk(
                        clean, wanted, np.float32(epsilon), np.int32(steps), np.array(start, np.int32)
                    )
                )
                better = loss > worst
                best = np.where(better[:, None, None, None], moved, best)
                worst = np.maximum(worst, loss)
            parts.append(best)
        return np.concatenate(parts) if parts else images

    @cached_property
    def _walk(self) -> Any:
        """(images, labels, epsilon, steps, seed; seed 0, 0: no random start) -> images and their margin of error."""
        from zoo.keras import tf

        shape = tuple(self.model.input_shape[1:])

        def logits_of(pixels: Any) -> Any:
            return self.model(pixels / WHITE, training=False)

        @tf.function(
            input_signature=[
                tf.TensorSpec((None, *shape), tf.uint8),
                tf.TensorSpec((None,), tf.int64),
                tf.TensorSpec((), tf.float32),
                tf.TensorSpec((), tf.int32),
                tf.TensorSpec((2,), tf.int32),
            ],
            autograph=False,
        )
        def walk(images: Any, labels: Any, epsilon: Any, steps: Any, seed: Any) -> Any:
            clean = tf.cast(images, tf.float32)
            low, high = tf.maximum(clean - epsilon, 0.0), tf.minimum(clean + epsilon, float(WHITE))
            noise = tf.random.stateless_uniform(tf.shape(clean), seed, -1.0, 1.0) * epsilon
            random_start = tf.cast(tf.reduce_any(seed != 0), tf.float32)
            length = tf.where(steps == 1, epsilon, STRIDE * epsilon / tf.cast(steps, tf.float32))

            def step(number: Any, pixels: Any) -> tuple[Any, Any]:
                with tf.GradientTape() as tape:
                    tape.watch(pixels)
                    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits_of(pixels))
                # A model may let no gradient through at all; it is the report's business to notice.
                slope = tape.gradient(loss, pixels, unconnected_gradients=tf.UnconnectedGradients.ZERO)
                moved = pixels + length * tf.sign(slope)
                return number + 1, tf.clip_by_value(moved, low, high)

            _, pixels = tf.while_loop(
                lambda number, _: number < steps,
                step,
                (tf.constant(0), tf.clip_by_value(clean + random_start * noise, low, high)),
            )
            whole = tf.round(pixels)  # the bounds are whole numbers, so this stays within them
            logits = logits_of(whole)
            right = tf.one_hot(labels, logits.shape[-1])
            others = tf.reduce_max(tf.where(right > 0, -np.inf, logits), axis=1)
            return tf.cast(whole, tf.uint8), others - tf.reduce_sum(right * logits, axis=1)

        return walk
