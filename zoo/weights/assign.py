"""Arranged weights put into a Keras model: all of them, or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.read_model import sketch_of
from zoo.weights.arrange import Arranged, Tensors, arrange
from zoo.weights.declaration import Weights

if TYPE_CHECKING:
    from zoo.keras import keras


def assign(
    model: keras.Model, weights: Weights, tensors: Tensors, options: Mapping[str, Any], *, classifier: bool
) -> Arranged:
    """Puts `tensors` into `model`, a network of the family with settled `options`; says what went where.

    Raises: ValueError as `arrange`, and then the model is as it was.
    """
    arranged = arrange(weights, sketch_of(model), tensors, options, classifier=classifier)
    for name, values in arranged.values.items():
        model.get_layer(name).set_weights(values)
    return arranged
