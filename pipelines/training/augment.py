"""Random changes of training images, drawn from `(seed, step)` alone so that a resumed run draws the same ones.

Images in [0, 1], `(batch, height, width, channels)`. All geometric changes are one batched projective transform
(bilinear, border filled with the image's nearest pixel), so their number costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pipelines.training.settings import Fitting


def augmenter(settings: Fitting) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """Gives `(images, one_hot_labels, seed) -> (images, labels)` for a graph; `seed` is an int32 pair."""
    from zoo.keras import tf

    geometric = bool(settings.shift or settings.rotate or settings.zoom or settings.flip)

    def change(images: Any, labels: Any, seed: Any) -> tuple[Any, Any]:
        shape = tf.shape(images)
        batch, height, width = shape[0], tf.cast(shape[1], tf.float32), tf.cast(shape[2], tf.float32)
        draws = tf.random.stateless_uniform((9, batch), seed, -1.0, 1.0)
        if geometric:
            images = tf.raw_ops.ImageProjectiveTransformV3(
                images=images,
                transforms=_transforms(tf, draws, height, width, settings),
                output_shape=shape[1:3],
                fill_value=0.0,
                interpolation="BILINEAR",
                fill_mode="NEAREST",
            )
        if settings.brightness:
            images = tf.clip_by_value(images * (1.0 + settings.brightness * draws[5])[:, None, None, None], 0.0, 1.0)
        if settings.cutout:
            images = _cut(tf, images, draws[6], draws[7], height, width, settings.cutout)
        if settings.mixup:
            images, labels = _mix(tf, images, labels, seed, batch, settings.mixup)
        return images, labels

    return change


def _transforms(tf: Any, draws: Any, height: Any, width: Any, settings: Fitting) -> Any:
    """Rows of the output-to-input map that the raw op wants: turn, scale and mirror about the centre, then move."""
    angle = draws[0] * (settings.rotate * math.pi / 180.0)
    scale = 1.0 + draws[1] * settings.zoom
    mirror = tf.where(draws[2] < 0.0, -1.0, 1.0) if settings.flip else tf.ones_like(angle)
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    centre_x, centre_y = (width - 1.0) / 2.0, (height - 1.0) / 2.0
    # Whole pixels: a fraction would blur every image of a small resolution.
    move_x = tf.round(draws[3] * settings.shift * width)
    move_y = tf.round(draws[4] * settings.shift * height)
    a0, a1 = cos * mirror, -sin
    b0, b1 = sin * mirror, cos
    a2 = centre_x - a0 * centre_x - a1 * centre_y + move_x
    b2 = centre_y - b0 * centre_x - b1 * centre_y + move_y
    zero = tf.zeros_like(a0)
    return tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)


def _cut(tf: Any, images: Any, draw_x: Any, draw_y: Any, height: Any, width: Any, share: float) -> Any:
    """Sets one square per image to 0.5 (DeVries and Taylor, arXiv:1708.04552, with grey instead of the data mean)."""
    centre_y, centre_x = (draw_y + 1.0) / 2.0 * height, (draw_x + 1.0) / 2.0 * width
    rows, columns = tf.range(height)[None, :], tf.range(width)[None, :]
    inside_y = tf.abs(rows - centre_y[:, None]) < share * height / 2.0
    inside_x = tf.abs(columns - centre_x[:, None]) < share * width / 2.0
    hole = tf.logical_and(inside_y[:, :, None], inside_x[:, None, :])[..., None]
    return tf.where(hole, 0.5, images)


def _mix(tf: Any, images: Any, labels: Any, seed: Any, batch: Any, alpha: float) -> tuple[Any, Any]:
    """Blends each image with its neighbour in the (already shuffled) batch (Zhang et al., arXiv:1710.09412)."""
    first = tf.random.stateless_gamma((batch,), seed + 1, alpha)
    second = tf.random.stateless_gamma((batch,), seed + 2, alpha)
    share = (first + 1e-8) / (first + second + 2e-8)
    share = tf.maximum(share, 1.0 - share)
    blended = share[:, None, None, None] * images + (1.0 - share)[:, None, None, None] * tf.roll(images, 1, 0)
    return blended, share[:, None] * labels + (1.0 - share)[:, None] * tf.roll(labels, 1, 0)
