"""Copies of models that share nothing with the original."""

from __future__ import annotations

from typing import Any


def clone(model: Any) -> Any:
    """Gives a model of the same layers and weights; changing one never changes the other."""
    from zoo.keras import keras

    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def untrained(model: Any, seed: int) -> Any:
    """Gives a model of the same layers with new weights drawn under `seed`; layers that do not learn keep theirs."""
    from zoo.keras import keras

    keras.utils.set_random_seed(seed)
    copy = keras.models.clone_model(model)
    for new, old in zip(copy.layers, model.layers, strict=True):
        if not old.trainable and old.weights:
            new.set_weights(old.get_weights())
    return copy
