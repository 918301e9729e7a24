"""Registered Keras layers that learn which channels belong together while they train. Importing this imports
TensorFlow.

All three compute a whole 1x1 convolution (or dense layer) with a masked kernel; `zoo/deploy.py` turns them into gathers
and native grouped convolutions that compute the same. The mask multiplies the kernel in every forward pass, so a
dropped weight neither acts nor learns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.keras import keras, tf
from zoo.learned_groups import Groups, condensing_groups, dropped, learned_groups


class _Condensing(keras.layers.Layer):
    """What the two condensing layers share: a mask (inputs, groups) of ones and zeros that loses ones stage by stage.

    The mask is a weight that no gradient reaches, so copies, checkpoints and saved files hold it, and the stage is
    read from it.
    """

    outputs: int
    groups: int
    condensation: int

    def _add_mask(self, inputs: int) -> None:
        self.mask = self.add_weight(name="mask", shape=(inputs, self.groups), initializer="ones", trainable=False)

    @property
    def stages(self) -> int:
        """Stages until only 1/condensation of the inputs is left."""
        return self.condensation - 1

    @property
    def stage(self) -> int:
        """Stages done so far."""
        kept = int(np.count_nonzero(self.mask.numpy()[:, 0]))
        inputs = self.mask.shape[0]
        return (inputs - kept) * self.condensation // inputs

    def condense(self) -> None:
        """Goes one stage further: every group gives up the inputs with the least summed magnitude of its weights."""
        if self.stage < self.stages:
            kernel = np.abs(self.kernel.numpy()).reshape(self.mask.shape[0], -1, self.groups)
            count = self.mask.shape[0] // self.condensation
            self.mask.assign(dropped(kernel.sum(axis=1), self.mask.numpy(), count))

    def channel_groups(self) -> Groups:
        """The groups as they are now."""
        return condensing_groups(self.mask.numpy(), self.outputs)


@keras.utils.register_keras_serializable("litesmith")
class CondensingConv2D(_Condensing):
    """A 1x1 convolution without bias in which filter i belongs to group i modulo `groups`. Source: arXiv:1711.09224."""

    def __init__(self, filters: int, groups: int, condensation: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.outputs, self.groups, self.condensation = int(filters), int(groups), int(condensation)

    def build(self, input_shape: Any) -> None:
        inputs = int(input_shape[-1])
        self.kernel = self.add_weight(name="kernel", shape=(1, 1, inputs, self.outputs), initializer="glorot_uniform")
        self._add_mask(inputs)
        super().build(input_shape)

    def call(self, x: Any) -> Any:
        mask = tf.tile(self.mask, (1, self.outputs // self.groups))
        return tf.nn.conv2d(x, self.kernel * mask, 1, "SAME")

    def get_config(self) -> dict[str, Any]:
        own = {"filters": self.outputs, "groups": self.groups, "condensation": self.condensation}
        return {**super().get_config(), **own}


@keras.utils.register_keras_serializable("litesmith")
class CondensingDense(_Condensing):
    """A dense layer with bias that gives up inputs for all of its outputs at once. Source: arXiv:1711.09224's code."""

    def __init__(self, units: int, condensation: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.outputs, self.groups, self.condensation = int(units), 1, int(condensation)

    def build(self, input_shape: Any) -> None:
        inputs = int(input_shape[-1])
        self.kernel = self.add_weight(name="kernel", shape=(inputs, self.outputs), initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=(self.outputs,), initializer="zeros")
        self._add_mask(inputs)
        super().build(input_shape)

    def call(self, x: Any) -> Any:
        kernel = self.kernel * self.mask
        # A row of numbers as one multiplication: what tensordot reshapes around it would stay in the file.
        return (tf.linalg.matmul(x, kernel) if len(x.shape) == 2 else tf.tensordot(x, kernel, 1)) + self.bias

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.outputs, "condensation": self.condensation}


@keras.utils.register_keras_serializable("litesmith")
class LearnedGroupConv2D(keras.layers.Layer):
    """A 1x1 convolution without bias; an input acts on an output only when both chose the same group.

    Every channel holds one logit per group and belongs to its largest (the first of equals, so never to two). The
    choice is hard in the forward pass; the gradient goes through the softmax of the logits instead (straight-through).
    Logits start as N(0, 1), like the code that reproduced the paper. Source: arXiv:1904.00346.
    """

    def __init__(self, filters: int, groups: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.groups = int(filters), int(groups)

    def build(self, input_shape: Any) -> None:
        inputs = int(input_shape[-1])
        self.kernel = self.add_weight(name="kernel", shape=(1, 1, inputs, self.filters), initializer="glorot_uniform")
        normal = keras.initializers.RandomNormal
        self.input_groups = self.add_weight(
            name="input_groups", shape=(inputs, self.groups), initializer=normal(stddev=1.0)
        )
        self.output_groups = self.add_weight(
            name="output_groups", shape=(self.filters, self.groups), initializer=normal(stddev=1.0)
        )
        super().build(input_shape)

    def call(self, x: Any) -> Any:
        mask = tf.linalg.matmul(self._choice(self.input_groups), self._choice(self.output_groups), transpose_b=True)
        return tf.nn.conv2d(x, self.kernel * mask, 1, "SAME")

    def _choice(self, logits: Any) -> Any:
        hard = tf.one_hot(tf.argmax(logits, axis=1), self.groups)
        soft = tf.nn.softmax(logits)
        # The bracket is exactly 0, so that the mask stays exactly 0 or 1, and carries the gradient of the softmax.
        return hard + (soft - tf.stop_gradient(soft))

    def channel_groups(self) -> Groups:
        """The groups as they are now."""
        return learned_groups(self.input_groups.numpy(), self.output_groups.numpy())

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "groups": self.groups}


__all__ = ["CondensingConv2D", "CondensingDense", "LearnedGroupConv2D"]
