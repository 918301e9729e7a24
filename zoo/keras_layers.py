"""Registered Keras layers for the words of the vocabulary that Keras has no layer for. Importing this imports
TensorFlow.

None has weights here; those that have stand in `zoo/keras_learned.py`. Each serialises by plain numbers and is
registered under the package `litesmith`, so a saved file names `litesmith>ChannelShuffle` and never carries code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.keras import keras, tf
from zoo.keras_learned import CondensingConv2D, CondensingDense, LearnedGroupConv2D
from zoo.rules import RULES


class _Plain(keras.layers.Layer):
    """A layer without weights whose output shape follows the sketch rule of its class."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, *rest = tuple(input_shape)
        facts = RULES[type(self).__name__].facts(self.get_config(), [tuple(rest)])
        return tf.TensorShape((batch, *facts.shape))


@keras.utils.register_keras_serializable("litesmith")
class HardSwish(_Plain):
    """x * relu6(x + 3) / 6, spelt so that the converter finds its HARD_SWISH operator. Source: arXiv:1905.02244.

    `three` is changed for chips that lack this operator (`zoo/chip.py`).
    """

    three = 3.0

    def call(self, x: Any) -> Any:
        return x * tf.nn.relu6(x + self.three) * (1.0 / 6.0)


@keras.utils.register_keras_serializable("litesmith")
class HardSigmoid(_Plain):
    """relu6(x + 3) / 6, in [0, 1]. Source: arXiv:1905.02244.

    It becomes two operators, and int8-aware training needs a range for the number between them as well. `hold` is the
    place where the toolkit puts it; otherwise it does nothing.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hold = keras.activations.linear

    def call(self, x: Any) -> Any:
        return self.hold(tf.nn.relu6(x + 3.0)) * (1.0 / 6.0)


@keras.utils.register_keras_serializable("litesmith")
class Sign(_Plain):
    """1 where x >= 0, else -1. While training the gradient goes straight through where |x| <= 1, and is 0 elsewhere.

    Source: Courbariaux et al., arXiv:1602.02830, section 1.3. At 0 it is 1, as the packed bits are.
    """

    def call(self, x: Any, training: bool | None = None) -> Any:
        hard = tf.where(x >= 0.0, 1.0, -1.0)
        if not training:
            return hard
        soft = tf.clip_by_value(x, -1.0, 1.0)
        return soft + tf.stop_gradient(hard - soft)


@keras.utils.register_keras_serializable("litesmith")
class ChannelSlice(_Plain):
    """Channels `start` up to `stop` of a map or a vector.

    Both forms give the same numbers. STRIDED_SLICE is what written files and their readers know; its gradient is slow,
    a third of a step of ShuffleNet on a CPU, so training takes the other one, whose gradient is a pad.
    """

    def __init__(self, start: int, stop: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start, self.stop = int(start), int(stop)

    def call(self, x: Any, training: bool | None = None) -> Any:
        if not training:
            return x[..., self.start : self.stop]
        leading = len(x.shape) - 1
        return tf.slice(x, [0] * leading + [self.start], [-1] * leading + [self.stop - self.start])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "start": self.start, "stop": self.stop}


@keras.utils.register_keras_serializable("litesmith")
class ChannelShuffle(_Plain):
    """Channels dealt out across `groups`, through rank 4: the rank-5 form is refused by Edge TPU compilers.

    (batch, height, width, channels) -> (batch, height * width, groups, channels / groups) -> transposed -> back.
    Height and width must be known when the layer is built; a dynamic size cannot be converted.
    """

    def __init__(self, groups: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups = int(groups)

    def call(self, x: Any) -> Any:
        _, height, width, channels = x.shape
        x = tf.reshape(x, (-1, height * width, self.groups, channels // self.groups))
        return tf.reshape(tf.transpose(x, (0, 1, 3, 2)), (-1, height, width, channels))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "groups": self.groups}


@keras.utils.register_keras_serializable("litesmith")
class ChannelGather(_Plain):
    """The channels listed in `indices`, repeats allowed."""

    def __init__(self, indices: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.indices = [int(index) for index in indices]

    def call(self, x: Any) -> Any:
        return tf.gather(x, self.indices, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "indices": self.indices}


@keras.utils.register_keras_serializable("litesmith")
class CellGather(_Plain):
    """The cells where `rows` and `columns` cross, repeats allowed."""

    def __init__(self, rows: Sequence[int], columns: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows, self.columns = [int(row) for row in rows], [int(column) for column in columns]

    def call(self, x: Any) -> Any:
        return tf.gather(tf.gather(x, self.rows, axis=1), self.columns, axis=2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rows": self.rows, "columns": self.columns}


@keras.utils.register_keras_serializable("litesmith")
class ChannelPad(_Plain):
    """`before` channels of zeros, the input, `after` channels of zeros."""

    def __init__(self, before: int, after: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.before, self.after = int(before), int(after)

    def call(self, x: Any) -> Any:
        return tf.pad(x, [*[(0, 0)] * (len(x.shape) - 1), (self.before, self.after)])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "before": self.before, "after": self.after}


OWN = (
    HardSwish,
    HardSigmoid,
    Sign,
    ChannelSlice,
    ChannelShuffle,
    ChannelGather,
    CellGather,
    ChannelPad,
    CondensingConv2D,
    CondensingDense,
    LearnedGroupConv2D,
)


def custom_objects() -> dict[str, type]:
    """Our own layers by class name and by registered name, for readers that rebuild a model from its configuration."""
    return {name: layer for layer in OWN for name in (layer.__name__, f"litesmith>{layer.__name__}")}


def layer_class(name: str) -> Any:
    """The Keras class behind a class name of the rules."""
    return custom_objects().get(name) or getattr(keras.layers, name)


__all__ = ["OWN", "custom_objects", "layer_class", *(layer.__name__ for layer in OWN)]
