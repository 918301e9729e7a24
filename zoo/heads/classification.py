"""The classification head: the mean of each channel, dropout, one dense layer."""

from __future__ import annotations

from zoo import layers
from zoo.layers import Tensor


def classification_head(features: Tensor, classes: int, dropout: float = 0.0) -> Tensor:
    """Logits (batch, classes). No softmax: losses and files work on logits."""
    x = layers.global_pool(features, name="head_pool")
    x = layers.dropout(x, dropout, name="head_dropout")
    return layers.dense(x, classes, name="head_logits")
