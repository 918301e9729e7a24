"""Trains a network whose weights are signs, and gives it back in plain layers.

A copy of the model is trained in which the chosen layers compute with the signs of their weights
(`pipelines/binary/layers.py`). First nothing is clipped, then the weights are kept within -1 and 1 and only those
inside move (the two stages of Alizadeh et al., ICLR 2019, OpenReview rJfUCoR5KX). Kernels of the model that is given
hold two values per filter, so what its files compute is the binary network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import zoo
from pipelines.binary import xnor
from pipelines.binary.places import Binarised, lacking_norms, places, with_signs
from pipelines.binary.settings import BinarySettings
from pipelines.method import Context
from zoo.plans import Plan

PROOF_IMAGES = 8  # validation images on which XNOR and popcount are compared with what the layers compute


@dataclass(frozen=True)
class Trained:
    """The binary network in plain layers, what is reported of it, and sentences not to be overlooked."""

    model: Any
    report: dict[str, Any]
    warnings: tuple[str, ...]


def planned(model: Any, settings: BinarySettings, *, signs: bool) -> Binarised:
    """Where the model becomes binary.

    Raises: ValueError when it cannot: layers of elsewhere, nothing to binarise, no norms where they are needed.
    """
    from zoo.cut import laid_open
    from zoo.deploy import without_learning

    plan = Plan.of(without_learning(laid_open(model)))
    if plan is None:
        raise ValueError("binary weights need a model of the zoo's own layers, each called once")
    names = places(plan, settings.ends)
    if not names:
        raise ValueError(
            "no layer of this model can have binary weights: it takes convolutions or dense layers"
            + (" between the first and the last; ends: binary takes those too" if settings.ends == "float" else "")
        )
    lacking = lacking_norms(plan, tuple(name for name in names if name not in plan.outputs))
    if settings.magnitude == "one" and lacking:
        raise ValueError(
            f"magnitude = one needs a norm behind every binary layer; {len(lacking)} have none, {lacking[0]} first; "
            "magnitude: filter works without"
        )
    return with_signs(plan, names) if signs else Binarised(plan, names, ())


def train_binary(
    model: Any, settings: BinarySettings, context: Context, *, signs: bool, label: str = "quantise"
) -> Trained:
    """A copy of `model` with binary weights, trained; with `signs` its inputs are signs as well where they can be.

    Raises: ValueError as `planned`, and with `signs` when no layer could read them.
    """
    from pipelines.binary.layers import OF_KIND, Stage
    from pipelines.removal.recalibrate import recalibrate
    from pipelines.training.loop import Hooks, fit, scorer
    from pipelines.training.reports import fit_warnings
    from zoo.keras import keras, tf

    found = planned(model, settings, signs=signs)
    if signs and not found.signs:
        raise ValueError(
            "no layer of this model can read signs: all that they read has one sign; method: binary_connect makes the "
            "weights binary alone"
        )
    context.looked_over()
    plain = found.plan.build()
    stage = Stage()

    # Three standard deviations fit into [-1, 1]: weights of all layers cross zero at one pace, whatever their size.
    sizes = {name: float(max(3.0 * np.std(plain.get_layer(name).get_weights()[0]), 1e-6)) for name in found.names}

    def signed(layer: Any) -> Any:
        if layer.name not in sizes:
            return type(layer).from_config(layer.get_config())
        new: Any = OF_KIND[type(layer).__name__](**layer.get_config())
        new.learn(stage, scaled=settings.magnitude == "filter", size=sizes[layer.name])
        return new

    learning = keras.models.clone_model(plain, clone_function=signed)
    latent = []
    for layer in learning.layers:
        weights = plain.get_layer(layer.name).get_weights()
        if layer.name in sizes:
            weights[0] = weights[0] / sizes[layer.name]
            latent.append(layer.kernel)
        layer.set_weights(weights)

    updates = len(context.data.splits["train"].labels) // min(settings.batch, len(context.data.splits["train"].labels))
    clips_from = round(settings.unclipped * settings.epochs * updates)

    def update(step: Any) -> None:
        clips = tf.cast(step >= clips_from, tf.float32)
        stage.clips.assign(clips)
        for kernel in latent:
            kernel.assign(kernel + clips * (tf.clip_by_value(kernel, -1.0, 1.0) - kernel))

    validation = context.data.splits["validation"]
    before = scorer(model)(validation)[1]
    fitted = fit(
        learning, context.data, settings, context.watch, seed=context.seed, hooks=Hooks(update=update), label=label
    )
    for layer in plain.layers:
        if layer.weights:
            weights = learning.get_layer(layer.name).get_weights()
            if layer.name in found.names:
                weights[0] = _two_values(learning.get_layer(layer.name))
            layer.set_weights(weights)
    batches = recalibrate(plain, context.data, settings, batches=settings.recalibration, seed=context.seed)
    report = {
        "fit": fitted.as_dict(),
        "validation_top1_before": before,
        "validation_top1_after": scorer(plain)(validation)[1],
        "recalibrated_batches": batches,
        **cost(plain, found, scaled=settings.magnitude == "filter"),
    }
    if found.signs:
        images = validation.images[:PROOF_IMAGES].astype(np.float32) / 255.0
        report["xnor_differs_in"] = differing(plain, found.signs, images)
    return Trained(plain, report, (*fit_warnings(fitted), *_warnings(report, found)))


def cost(model: Any, found: Binarised, *, scaled: bool) -> dict[str, Any]:
    """What is binary, and what it would take with a bit per weight: counted, no runtime here computes so."""
    sketch = zoo.sketch_of(model)
    layers: list[dict[str, Any]] = []
    for name in found.names:
        kernel = model.get_layer(name).get_weights()[0]
        op = sketch[name]
        outputs = op.macs // max(kernel.size // kernel.shape[-1], 1)
        layers.append(
            {
                "layer": name,
                "weights": int(kernel.size),
                "reads_signs": name in found.signs,
                "bytes_float32": 4 * int(kernel.size),
                "bytes_packed": xnor.packed_bytes(kernel, scaled=scaled),
                "macs": op.macs,
                "xnor_words": xnor.words(kernel.size // kernel.shape[-1], outputs) if name in found.signs else None,
            }
        )
    whole = zoo.cost_of(sketch)
    rest = 4 * (whole.params - sum(row["weights"] for row in layers))
    return {
        "binary_layers": layers,
        "binary_weights": sum(row["weights"] for row in layers) / max(whole.params, 1),
        "bytes_float32": 4 * whole.params,
        "bytes_packed": rest + sum(row["bytes_packed"] for row in layers),
        "macs": whole.macs,
        "macs_float_left": whole.macs - sum(row["macs"] for row in layers if row["reads_signs"]),
        "xnor_words": sum(row["xnor_words"] or 0 for row in layers),
    }


def differing(model: Any, names: tuple[str, ...], images: np.ndarray) -> list[str]:
    """The layers of `names` whose signs, computed by XNOR and popcount, give other whole numbers than floats do."""
    from zoo.keras import keras, tf

    inside = keras.Model(model.inputs, [model.get_layer(name).input for name in names])
    read = inside(tf.constant(images), training=False)
    found = []
    for name, signs in zip(names, read if len(names) > 1 else [read], strict=True):
        layer = model.get_layer(name)
        kernel = np.where(layer.kernel.numpy() >= 0, 1.0, -1.0).astype(np.float32)
        if type(layer).__name__ == "Dense":
            wanted = np.asarray(signs) @ kernel
            given = xnor.dense(np.asarray(signs), kernel)
        else:
            wanted = layer.convolution_op(signs, tf.constant(kernel)).numpy()
            given = xnor.convolution(np.asarray(signs), kernel, layer.get_config())
        if not np.array_equal(wanted, given.astype(np.float32)):
            found.append(name)
    return found


def _two_values(layer: Any) -> np.ndarray:
    """The kernel a trained layer computes with, exactly two values in every filter."""
    kernel = layer.kernel
    return np.where(kernel.numpy() >= 0, 1.0, -1.0).astype(np.float32) * layer.magnitude(kernel).numpy()


def _warnings(report: dict[str, Any], found: Binarised) -> list[str]:
    said = [
        "no runtime here computes with single bits: the files hold the signs as floats or int8 numbers; packed they "
        f"would take {report['bytes_packed'] / 1000:,.1f} kB instead of {report['bytes_float32'] / 1000:,.1f} kB"
    ]
    floats = [name for name in found.names if name not in found.signs]
    if found.signs and floats:
        said.append(
            f"{len(floats)} binary layers read floats, since all they read has one sign: {', '.join(floats[:4])}"
        )
    if report.get("xnor_differs_in"):
        said.append(f"XNOR and popcount do not give what these layers compute: {', '.join(report['xnor_differs_in'])}")
    return said
