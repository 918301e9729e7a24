"""Layers that compute with the signs of their weights while they learn. Importing this imports TensorFlow.

The weights stay real numbers, the *latent* ones: the forward pass takes their signs, the gradient of the signs moves
them (straight-through). They serve the training only; afterwards their place is taken by plain layers whose kernels
hold two values. Source: Courbariaux et al., arXiv:1511.00363, algorithm 1.
"""

from __future__ import annotations

from typing import Any

from zoo.keras import keras, tf


class Stage:
    """Whether latent weights are clipped, for all layers of a network: 0 in the first stage, 1 in the second."""

    def __init__(self) -> None:
        self.clips = tf.Variable(0.0, trainable=False, name="clips")


class _SignedKernel:
    """What both layers share: the kernel that they compute with."""

    kernel: Any
    stage: Stage
    scaled: bool
    size: float

    def learn(self, stage: Stage, *, scaled: bool, size: float) -> None:
        """How it computes: `scaled` by the mean magnitude of each filter, or all weights of magnitude 1; `size` undoes
        the factor that brought the latent weights into [-1, 1]."""
        self.stage, self.scaled, self.size = stage, scaled, size

    def signed(self, kernel: Any) -> Any:
        """The kernel of two values per filter, with the gradient of the latent one."""
        hard = tf.where(kernel >= 0.0, 1.0, -1.0)
        inside = tf.clip_by_value(kernel, -1.0, 1.0)
        soft = kernel + self.stage.clips * (inside - kernel)
        straight = soft + tf.stop_gradient(hard - soft)
        return straight * tf.stop_gradient(self.magnitude(kernel))

    def magnitude(self, kernel: Any) -> Any:
        """What every filter's signs are multiplied by. Source: arXiv:1603.05279, equation 6."""
        if not self.scaled:
            return tf.ones((kernel.shape[-1],))
        return self.size * tf.reduce_mean(tf.abs(kernel), axis=list(range(len(kernel.shape) - 1)))


class SignedConv2D(_SignedKernel, keras.layers.Conv2D):
    """A convolution with the signs of its kernel."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, self.signed(kernel))


class SignedDense(_SignedKernel, keras.layers.Dense):
    """A dense layer with the signs of its kernel."""

    def call(self, inputs: Any) -> Any:
        out = tf.tensordot(inputs, self.signed(self.kernel), 1)
        return self.activation(out + self.bias if self.use_bias else out)


OF_KIND = {"Conv2D": SignedConv2D, "Dense": SignedDense}
