"""Copies of models that share nothing with the original."""

from __future__ import annotations

from typing import Any


def clone(model: Any) -> Any:
    """Gives a model of the same layers and weights; changing one never changes the other."""
    from zoo.keras import keras

    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy
