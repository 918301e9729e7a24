"""Training that keeps layers from amplifying small changes, those of rounding and those of malice.

Source: Lin et al., arXiv:1904.08444, equation 3: kernels are pushed towards orthonormal rows or columns, whichever
there can be. Norms bring gains of their own and depthwise kernels have no such matrix; both are left alone, so the
penalty bounds nothing, it only leans. Whether a model resists attacks is for `robustness` to measure.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.kernels import kernel_layers
from pipelines.method import Context, Method, Outcome
from pipelines.settings import setting
from pipelines.training.settings import Fitting


class DefensiveSettings(Fitting):
    """Training on labels with a penalty on kernels that stretch what they read."""

    penalty: float = setting(
        6e-4, ge=0, le=1, help="Weight of the penalty; published values are 3e-4 and 6e-4, 0 is plain training"
    )


def apply(model: Any, settings: DefensiveSettings, context: Context) -> Outcome:
    """Gives a trained copy of `model`.

    Raises: ValueError when the model has no convolution and no dense layer.
    """
    from pipelines.training.loop import cross_entropy, fit
    from pipelines.training.reports import fit_warnings
    from zoo.cloning import clone
    from zoo.cut import laid_open

    student = clone(laid_open(model))
    layers = kernel_layers(student)
    if not layers:
        raise ValueError("defensive training leans on kernels of convolutions and dense layers; this model has none")
    before = stretches(layers)
    plain = cross_entropy(context.data, settings)

    def objective(images: Any, labels: Any, logits: Any) -> Any:
        return plain(images, labels, logits) + settings.penalty / 2 * unevenness([layer.kernel for layer in layers])

    fitted = fit(
        student, context.data, settings, context.watch, seed=context.seed, objective=objective, label="defend"
    )
    after = stretches(layers)
    report = {
        "fit": fitted.as_dict(),
        "layers": {name: {"before": before[name], "after": after[name]} for name in after},
        "largest_stretch_before": max(before.values()),
        "largest_stretch_after": max(after.values()),
    }
    return Outcome(student, report, fit_warnings(fitted))


def unevenness(kernels: list[Any]) -> Any:
    """The sum over kernels of the squared distance of the smaller Gram matrix from the identity; a scalar tensor.

    A kernel of shape `(..., n)` is read as a matrix of n columns.
    """
    from zoo.keras import tf

    found = []
    for kernel in kernels:
        columns = int(kernel.shape[-1])
        matrix = tf.reshape(kernel, (-1, columns))
        wide = int(np.prod(kernel.shape[:-1])) < columns
        gram = tf.matmul(matrix, matrix, transpose_a=not wide, transpose_b=wide)
        found.append(tf.reduce_sum(tf.square(gram - tf.eye(gram.shape[0]))))
    return tf.add_n(found)


def stretches(layers: list[Any]) -> dict[str, float]:
    """The largest singular value of each layer's kernel as a matrix: what one place of the map can be stretched by."""
    kernels = {layer.name: layer.get_weights()[0] for layer in layers}
    return {
        name: float(np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0])
        for name, kernel in kernels.items()
    }


METHOD = Method(
    name="defensive",
    kind="train",
    title="Defensive training",
    source="Lin et al., arXiv:1904.08444, equation 3",
    summary="Trains on labels and keeps kernels from stretching what they read, against rounding and attacks.",
    removes_channels=False,
    settings=DefensiveSettings,
    apply=apply,
    measured="ResNet-20 on Fashion-MNIST, five seeds: nothing is lost on images as they are; under PGD -0.4 to +2.7 "
    "points, which is not more than seeds differ.",
)
