"""Classification heads: the mean of each channel, sometimes a hidden layer, dropout, one dense layer."""

from __future__ import annotations

from zoo import layers
from zoo.blocks.convolution import activate
from zoo.layers import Tensor


def classification_head(features: Tensor, classes: int, dropout: float = 0.0) -> Tensor:
    """Logits (batch, classes). No softmax: losses and files work on logits."""
    x = layers.global_pool(features, name="head_pool")
    x = layers.dropout(x, dropout, name="head_dropout")
    return layers.dense(x, classes, name="head_logits")


def hidden_layer_head(features: Tensor, classes: int, hidden: int, *, activation: str, dropout: float = 0.0) -> Tensor:
    """Logits (batch, classes) behind one more layer of `hidden` units, with bias and without normalisation.

    Papers draw it as a 1x1 convolution on the pooled map: the same weights, the same multiply-adds. Source:
    arXiv:1905.02244, section 5.1.
    """
    x = layers.global_pool(features, name="head_pool")
    x = activate(layers.dense(x, hidden, name="head_hidden"), activation, name="head_hidden")
    x = layers.dropout(x, dropout, name="head_dropout")
    return layers.dense(x, classes, name="head_logits")
