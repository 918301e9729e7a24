"""Cross-layer equalisation: channels of very different size are brought to one, so that int8 has steps for all of them.

Source: Nagel et al., arXiv:1906.04721, section 4.1. No training: the float model answers as before, up to rounding.
ReLU6 lets no factor through; on request it is opened to a ReLU first, which the paper does too, and which may change
answers. How factors are found and where they pass stands in `zoo/equalise.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from pipelines.method import Context, Method, Outcome
from pipelines.settings import Settings, setting

BATCH = 64
LOST = 0.01  # of validation accuracy by opening ReLU6, from which a reader is warned


class EqualisationSettings(Settings):
    """What the ranges are measured on, and whether ReLU6 stands in the way."""

    images: int = setting(256, ge=8, le=4096, unit="images", help="Training images that the channels are measured on")
    relu6: Literal["keep", "open"] = setting(
        "keep",
        help="keep: channels in front of a ReLU6 stay as they are; open: every ReLU6 becomes a ReLU first",
    )


def apply(model: Any, settings: EqualisationSettings, context: Context) -> Outcome:
    """Gives a float model with the same answers and channels of more even size.

    Raises: ValueError when the model has layers that the vocabulary does not know, or nothing can be scaled.
    """
    from pipelines.training.loop import predictor, scorer
    from zoo.cut import laid_open
    from zoo.deploy import without_learning
    from zoo.equalise import equalise
    from zoo.plans import Plan

    plain = without_learning(laid_open(model))
    plan = Plan.of(plain)
    if plan is None:
        raise ValueError("equalisation needs a model of the zoo's own layers, each called once")
    opened = _open(plan) if settings.relu6 == "open" else 0
    context.watch.progress(0, 3, "measuring channels")
    before = plan.build() if opened else plain
    train = context.data.splits["train"]
    count = min(settings.images, len(train.labels))
    places = np.sort(np.random.default_rng(context.seed).choice(len(train.labels), count, replace=False))
    found = equalise(plan, _ranges(before, train.images[places]))
    if not found.channels:
        raise ValueError(
            "no channel of this model can be scaled: layers that let no factor through (ReLU6, hard-swish, sigmoid) "
            "stand between all of them" + ("; relu6: open takes the ReLU6 away" if settings.relu6 == "keep" else "")
        )
    context.looked_over()
    context.watch.check()
    context.watch.progress(1, 3, "scaling channels")
    small = found.plan.build()
    validation = context.data.splits["validation"]
    score = {name: scorer(one)(validation)[1] for name, one in (("before", model), ("after", small))}
    context.watch.progress(3, 3, "channels scaled")
    images = validation.images[:BATCH]
    wanted, given = predictor(before)(images), predictor(small)(images)
    report = {
        "validation_top1_before": score["before"],
        "validation_top1_after": score["after"],
        "channels_scaled": found.channels,
        "channels": int(sum(len(one) for one in found.factors.values())),
        "largest_factor": float(max(np.maximum(one, 1 / one).max() for one in found.factors.values())),
        "relu6_opened": opened,
        "largest_difference": float(np.abs(given - wanted).max() / max(float(np.abs(wanted).max()), 1e-30)),
        "layers": {
            name: {"least": float(one.min()), "most": float(one.max())}
            for name, one in found.factors.items()
            if (one != 1).any()
        },
    }
    warnings = []
    if score["after"] < score["before"] - LOST:
        warnings.append(
            f"opening {opened} ReLU6 took validation accuracy from {score['before']:.3f} to {score['after']:.3f}; fine-"
            "tune the model afterwards, or keep them"
        )
    return Outcome(small, report, tuple(warnings))


def _open(plan: Any) -> int:
    """Takes the upper end from every ReLU of the plan; gives their number."""
    closed = [call for call in plan.calls.values() if call.kind == "ReLU" and call.config.get("max_value") is not None]
    for call in closed:
        plan.calls[call.name] = replace(call, config={**call.config, "max_value": None})
    return len(closed)


def _ranges(model: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    """The largest absolute value of every channel of every layer's output over uint8 images."""
    from zoo.keras import keras, tf

    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    inside = keras.Model(model.inputs, [layer.output for layer in layers])

    @tf.function(reduce_retracing=True, autograph=False)
    def largest(part: Any) -> list[Any]:
        outputs = inside(tf.cast(part, tf.float32) / 255.0, training=False)
        return [tf.reduce_max(tf.abs(one), axis=list(range(len(one.shape) - 1))) for one in tf.nest.flatten(outputs)]

    found: list[np.ndarray] = []
    for at in range(0, len(images), BATCH):
        values = [one.numpy() for one in largest(tf.constant(images[at : at + BATCH]))]
        found = [np.maximum(a, b) for a, b in zip(found, values, strict=True)] if found else values
    return {layer.name: values for layer, values in zip(layers, found, strict=True)}


METHOD = Method(
    name="equalisation",
    kind="quantise",
    title="Cross-layer equalisation",
    source="Nagel et al., arXiv:1906.04721, section 4.1",
    summary="Scales channels so that those that share an int8 scale are of one size; the float answers stay.",
    removes_channels=False,
    settings=EqualisationSettings,
    apply=apply,
    rehearses=True,
    measured="four networks of which channels were made 1,024 times as large, Fashion-MNIST, one seed: int8 lost 79 to "
    "80 points; with narrower ranges and corrected biases at least 99 % of that came back.",
)
