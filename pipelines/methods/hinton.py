"""Knowledge distillation: the student learns the softened outputs of a teacher.

Source: Hinton, Vinyals, Dean, arXiv:1503.02531, section 2:
loss = (1 - alpha) * CE(labels, student) + alpha * T^2 * KL(softmax(teacher / T) || softmax(student / T)).
The teacher sees the same augmented images as the student and runs in inference mode.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic

import zoo
from pipelines.method import Context, Method, Outcome
from pipelines.settings import setting
from pipelines.training.settings import Fitting


class HintonSettings(Fitting):
    """Distillation: a teacher, how soft its outputs are, how much they count."""

    teacher: str = setting(
        "mobilenet_v2",
        help="An architecture (trained first, in this step) or run:ID, a finished run on the same classes",
    )
    teacher_width: float = setting(1.0, gt=0, le=4, help="Width of a teacher that is trained here (1.0 = paper)")
    teacher_epochs: int = setting(20, ge=1, le=10_000, unit="epochs", help="Epochs of a teacher that is trained here")
    temperature: float = setting(4.0, ge=0.5, le=50, help="Softens both outputs; 4 is usual, 1 to 2 for tiny students")
    alpha: float = setting(0.7, ge=0, le=1, help="Share of the teacher in the loss; the rest is the labels'")

    @pydantic.field_validator("teacher")
    @classmethod
    def _known_teacher(cls, value: str) -> str:
        if not value.startswith("run:"):
            zoo.architecture(value)
        return value


def apply(model: Any, settings: HintonSettings, context: Context) -> Outcome:
    """Gives a copy of `model` trained under the teacher."""
    from pipelines.training.loop import cross_entropy, fit, predictor, scorer
    from pipelines.training.reports import fit_warnings
    from zoo.cloning import clone
    from zoo.keras import keras, tf

    data, classes = context.data, len(context.data.classes)
    report: dict[str, Any] = {"teacher": settings.teacher}
    if settings.teacher.startswith("run:"):
        teacher = context.load_run(settings.teacher.removeprefix("run:"))
        if teacher.output_shape[-1] != classes or tuple(teacher.input_shape[1:]) != tuple(model.input_shape[1:]):
            raise ValueError(
                f"teacher {settings.teacher} maps {tuple(teacher.input_shape[1:])} to "
                f"{teacher.output_shape[-1]} classes; "
                f"the student needs {tuple(model.input_shape[1:])} and {classes}"
            )
    else:
        keras.utils.set_random_seed(context.seed + 1)
        teacher = zoo.build(
            settings.teacher,
            width=settings.teacher_width,
            resolution=tuple(model.input_shape[1:3]),
            classes=classes,
            channels=int(model.input_shape[3]),
        )
        own = {key: value for key, value in settings.model_dump().items() if key in Fitting.model_fields}
        plan = Fitting(**{**own, "epochs": settings.teacher_epochs})
        fitted = fit(teacher, data, plan, context.watch, seed=context.seed + 1, label="teacher")
        report["teacher_fit"] = fitted.as_dict()
    teacher.trainable = False
    report["teacher_params"] = int(teacher.count_params())
    report["teacher_validation_top1"] = scorer(teacher)(data.splits["validation"])[1]

    student = clone(model)
    hard = cross_entropy(data, settings)
    heat, alpha = settings.temperature, settings.alpha

    def objective(images: Any, labels: Any, logits: Any) -> Any:
        soft = tf.nn.log_softmax(tf.stop_gradient(teacher(images, training=False)) / heat)
        mine = tf.nn.log_softmax(logits / heat)
        divergence = tf.reduce_sum(tf.exp(soft) * (soft - mine), axis=1)
        return (1.0 - alpha) * hard(images, labels, logits) + alpha * heat**2 * divergence

    fitted = fit(student, data, settings, context.watch, seed=context.seed, objective=objective, label="distil")
    report["fit"] = fitted.as_dict()
    images = data.splits["validation"].images
    report["teacher_agreement"] = float(
        np.mean(predictor(teacher)(images).argmax(1) == predictor(student)(images).argmax(1))
    )
    return Outcome(student, report, fit_warnings(fitted))


METHOD = Method(
    name="hinton",
    kind="distil",
    title="Distil from a teacher",
    source="Hinton, Vinyals, Dean, arXiv:1503.02531",
    summary="Trains the model on the softened outputs of a larger teacher and on the labels.",
    removes_channels=False,
    settings=HintonSettings,
    apply=apply,
)
