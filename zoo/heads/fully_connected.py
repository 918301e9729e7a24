"""The head of AlexNet and VGG: the whole map in one row, two wide dense layers, dropout behind each.

Sources: AlexNet, NIPS 2012, section 4.2; arXiv:1409.1556, table 1. Most of these networks' weights lie here.
"""

from __future__ import annotations

from zoo import layers
from zoo.layers import Tensor


def fully_connected_head(features: Tensor, classes: int, units: int, dropout: float) -> Tensor:
    """Logits (batch, classes). The first layer's weights belong to one map size, so to one resolution."""
    x = layers.flatten(features, name="head_flatten")
    for number in (1, 2):
        x = layers.dense(x, units, name=f"head_fc{number}")
        x = layers.relu(x, name=f"head_fc{number}_relu")
        x = layers.dropout(x, dropout, name=f"head_dropout{number}")
    return layers.dense(x, classes, name="head_logits")
