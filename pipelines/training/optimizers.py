"""The two optimisers of the training loop. Adam moves each variable in one operation instead of some thirty-five.

Two thirds of a small network's training graph were Adam's arithmetic; a small graph is traced and started sooner.
"""

from __future__ import annotations

from typing import Any

from pipelines.training.settings import Fitting

# Kernels decay; these do not (Loshchilov and Hutter, arXiv:1711.05101, leave it open; published training codes do so).
WITHOUT_DECAY = ["bias", "gamma", "beta", "alpha"]


def optimizer(settings: Fitting, rate: Any) -> Any:
    """Gives the optimiser of the settings under the schedule `rate`, not yet built."""
    from zoo.keras import keras

    decay = settings.weight_decay or None
    if settings.optimizer == "sgd":
        made = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay, jit_compile=False)
    else:
        made = _fused_adam()(rate, weight_decay=decay, jit_compile=False)
    if decay:
        made.exclude_from_weight_decay(var_names=WITHOUT_DECAY)
    return made


def _fused_adam() -> Any:
    """tf_keras' Adam (Kingma and Ba, arXiv:1412.6980, the efficient order of section 2) by TensorFlow's own kernel."""
    from zoo.keras import keras, tf

    class FusedAdam(keras.optimizers.Adam):
        """The same variables, in the same order, as the class it extends, so checkpoints of both fit each other."""

        def apply_gradients(self, pairs: Any, **options: Any) -> Any:
            """Raises the betas to this update's power once for all variables."""
            update = tf.cast(self.iterations + 1, tf.float32)
            self._powers = tf.pow(self.beta_1, update), tf.pow(self.beta_2, update)
            return super().apply_gradients(pairs, **options)

        def update_step(self, gradient: Any, variable: Any) -> None:
            """Moves one variable against its gradient, of the same shape."""
            place = self._index_dict[self._var_key(variable)]
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=self._momentums[place].handle,
                v=self._velocities[place].handle,
                beta1_power=self._powers[0],
                beta2_power=self._powers[1],
                lr=self.learning_rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon,
                grad=gradient,
            )

    return FusedAdam
