import numpy as np
import pytest

from pipelines.training.optimizers import optimizer
from pipelines.training.settings import Fitting
from zoo.keras import keras, tf


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_adam_in_one_operation_moves_weights_as_that_of_keras(decay):
    """Beside tf_keras' own arithmetic: same variables, same order, same weights but for rounding."""
    draw = np.random.default_rng(0)
    shapes = {"kernel": (3, 3, 4, 8), "bias": (8,), "gamma": (8,)}
    start = {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    schedule = keras.optimizers.schedules.CosineDecay(0.01, 20)
    plain = keras.optimizers.Adam(schedule, weight_decay=decay or None, jit_compile=False)
    if decay:
        plain.exclude_from_weight_decay(var_names=["bias", "gamma"])
    ended = []
    for made in (optimizer(Fitting(weight_decay=decay), schedule), plain):
        variables = [tf.Variable(value, name=name) for name, value in start.items()]
        made.build(variables)

        @tf.function(autograph=False)
        def update(*gradients, made=made, variables=variables):
            made.apply_gradients(zip(gradients, variables, strict=True))

        draw = np.random.default_rng(1)
        for _ in range(12):
            update(*(tf.constant(draw.normal(size=shape).astype(np.float32)) for shape in shapes.values()))
        ended.append([value.numpy() for value in (*variables, *made.variables)])
    assert len(ended[0]) == len(ended[1])
    for ours, theirs in zip(*ended, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    moved = np.abs(ended[0][0] - start["kernel"]).max()
    assert moved > 0.02, "twelve updates at a rate of 0.01 must show"
