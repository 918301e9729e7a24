"""The stem of ResNet, ResNeXt and DenseNet: a 7x7 convolution, then the maximum of 3x3 cells, each halving the map.

Sources: arXiv:1512.03385, table 1; arXiv:1608.06993, table 1. Zeros are laid on all four sides first, where `same`
padding puts them right and below only: weights published for these networks are trained so.
"""

from __future__ import annotations

from zoo import layers
from zoo.blocks.convolution import conv_norm
from zoo.blocks.rounding import is_small
from zoo.layers import Tensor, shape_of


def pooled_stem(image: Tensor, channels: int, *, epsilon: float) -> Tensor:
    """The first map, of `channels`, a quarter of the image's side. Below 64 pixels nothing is halved and nothing
    pooled: the same weights on the whole image, as CIFAR networks have it.
    """
    small = is_small(shape_of(image))
    x = layers.pad(image, 3, 3, 3, 3, name="stem_pad")
    x = conv_norm(
        x, channels, 7, name="stem", stride=1 if small else 2, padding="valid", activation="relu", epsilon=epsilon
    )
    if small:
        return x
    x = layers.pad(x, 1, 1, 1, 1, name="stem_pool_pad")
    return layers.max_pool(x, 3, stride=2, padding="valid", name="stem_pool")
