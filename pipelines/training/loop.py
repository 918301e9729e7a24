"""The one training loop: every step that moves weights goes through `fit`.

Chunks of several updates run inside one graph call, so Python and dispatch cost little even for very small nets.
All randomness is a function of (seed, epoch) or (seed, update): a run resumed from a checkpoint goes on bit-equal.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from pipelines.data import Dataset, Split
from pipelines.training import checkpoint, optimizers
from pipelines.training.augment import augmenter
from pipelines.training.condensation import Condensation
from pipelines.training.settings import Fitting
from pipelines.training.watch import Watch

Objective = Callable[[Any, Any, Any], Any]  # (images, one-hot labels, logits) -> loss per image
CHUNK_SECONDS = 0.5  # one graph call: short enough to cancel promptly, long enough to hide its cost
CHECKPOINT_SECONDS = 10.0  # a killed run loses at most about this much, and at least the epoch it was in


@dataclass(frozen=True)
class Hooks:
    """What a method adds to the loop.

    `update(step)` is traced into the graph before each weight update. `gradients(gradients, variables, rate)` is traced
    behind the gradients, with the learning rate of this update, and gives what the optimiser gets; a variable whose
    gradient it makes None is its own to move. `epoch_end` may give numbers that join the row of the epoch.
    """

    update: Callable[[Any], None] | None = None
    gradients: Callable[[list[Any], Sequence[Any], Any], list[Any]] | None = None
    epoch_end: Callable[[], dict[str, float] | None] | None = None
    freeze_norms_after: float = 1.0  # share of the epochs after which BatchNorm statistics and scales stay fixed


@dataclass
class FitReport:
    """What happened in one fitting. `history` holds one row per epoch, `learned_groups` one per layer that learns its
    groups (see `zoo.learned_groups.describe`)."""

    epochs_planned: int
    updates_per_epoch: int
    epochs_done: int = 0
    stopped_early: bool = False
    best_epoch: int = 0
    resumed_from_epoch: int | None = None
    images_per_second: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    learned_groups: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def fit(
    model: Any,
    data: Dataset,
    settings: Fitting,
    watch: Watch,
    *,
    seed: int,
    objective: Objective | None = None,
    hooks: Hooks | None = None,
    label: str = "fit",
) -> FitReport:
    """Fits `model` in place (logits out) on the training split, judged on validation after each epoch.

    Images that do not fill the last batch of an epoch are left out of that epoch; the next epoch shuffles anew.
    """
    from zoo.keras import tf
    from zoo.learned_groups import describe

    hooks = hooks or Hooks()
    train, validation = data.splits["train"], data.splits["validation"]
    batch = min(settings.batch, len(train.labels))
    updates = len(train.labels) // batch
    report = FitReport(settings.epochs, updates)
    condensation = Condensation(model, settings.epochs, updates)
    schedule = learning_rate(settings, updates)
    optimizer = optimizers.optimizer(settings, schedule)
    variables = learning_variables(model)
    optimizer.build(variables)
    objective = objective or cross_entropy(data, settings)
    run_chunk = _chunk_runner(
        tf, model, optimizer, schedule, variables, objective, augmenter(settings), settings, len(data.classes), seed,
        hooks,
    )  # fmt: skip
    score = scorer(model)

    best: list[np.ndarray] | None = None
    saved = checkpoint.load(watch.folder / f"{label}.npz")
    if saved is not None:
        model.set_weights(saved.weights)
        for variable, value in zip(optimizer.variables, saved.optimizer, strict=True):
            variable.assign(value)
        best, report = saved.best, FitReport(**saved.report)
        report.resumed_from_epoch = report.epochs_done
        watch.log(f"resumed after epoch {report.epochs_done} of {settings.epochs}")

    last_checkpoint = time.monotonic()
    chunk, spent, done_now, traced = 4, 0.0, 0, {False: False, True: False}
    for epoch in range(report.epochs_done, settings.epochs):
        if _stops_early(report, settings, condensation.done_in_epoch):
            report.stopped_early = True
            break
        frozen = epoch >= hooks.freeze_norms_after * settings.epochs
        _reset_layer_noise(model, seed, epoch)
        order = np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(len(train.labels))[
            : updates * batch
        ]
        losses: list[float] = []
        correct, at = 0, 0
        while at < updates:
            watch.check()
            begun = time.perf_counter()
            size = min(chunk, updates - at, condensation.advance(epoch * updates + at))
            picked = order[at * batch : (at + size) * batch]
            images = train.images[picked].reshape(size, batch, *train.images.shape[1:])
            labels = train.labels[picked].reshape(size, batch)
            chunk_losses, hits = run_chunk[frozen](images, labels, np.int64(epoch * updates + at))
            losses += chunk_losses.numpy().tolist()
            correct, at = correct + int(hits), at + size
            elapsed = time.perf_counter() - begun
            if traced[frozen]:  # the first call also builds the graph, which says nothing about the speed
                spent, done_now = spent + elapsed, done_now + size
            traced[frozen] = True
            if elapsed < CHUNK_SECONDS / 2:
                chunk = min(chunk * 2, 256)
            elif elapsed > CHUNK_SECONDS * 2 and chunk > 1:
                chunk //= 2
            step = epoch * updates + at
            watch.progress(
                step,
                settings.epochs * updates,
                f"{label}: epoch {epoch + 1} of {settings.epochs}",
                spent / done_now * (settings.epochs * updates - step) if done_now else None,
            )
        added = (hooks.epoch_end() if hooks.epoch_end else None) or {}
        row = {"train_loss": fmean(losses), "train_top1": correct / (updates * batch)}
        row["validation_loss"], row["validation_top1"] = score(validation)
        row |= {"learning_rate": float(optimizer.learning_rate), **added}
        if not np.isfinite(row["train_loss"]):
            raise ValueError(
                f"{label}: the loss became {row['train_loss']} in epoch {epoch + 1} with learning_rate "
                f"{settings.learning_rate:g}; a learning rate of {settings.learning_rate / 10:g} would be a next try"
            )
        report.history.append(row)
        report.epochs_done = epoch + 1
        if epoch >= condensation.done_in_epoch and _is_best(report.history[condensation.done_in_epoch :]):
            report.best_epoch = epoch + 1
            if settings.keep == "best":
                best = model.get_weights()
        watch.metrics([(f"{label}.{name}", float(epoch + 1), value) for name, value in row.items()])
        last_of_long = report.epochs_done == settings.epochs and spent > CHECKPOINT_SECONDS
        if last_of_long or time.monotonic() - last_checkpoint > CHECKPOINT_SECONDS:
            checkpoint.save(watch.folder / f"{label}.npz", model, optimizer, best, report.as_dict())
            last_checkpoint = time.monotonic()
    if settings.keep == "best" and best is not None:
        model.set_weights(best)
    report.learned_groups = describe(model)
    report.images_per_second = round(done_now * batch / spent, 1) if spent else 0.0
    return report


def cross_entropy(data: Dataset, settings: Fitting) -> Objective:
    """Gives softmax cross-entropy per image, weighted by class when the settings say so."""
    from zoo.keras import tf

    classes = len(data.classes)
    counts = np.bincount(data.splits["train"].labels, minlength=classes)
    weights = np.ones(classes, np.float32)
    if settings.class_weights == "balanced":
        weights = (counts.sum() / (classes * np.maximum(counts, 1))).astype(np.float32)

    def loss(images: Any, labels: Any, logits: Any) -> Any:
        smooth = labels * (1.0 - settings.label_smoothing) + settings.label_smoothing / classes
        each = tf.nn.softmax_cross_entropy_with_logits(smooth, logits)
        return each * tf.linalg.matvec(labels, tf.constant(weights)) if settings.class_weights == "balanced" else each

    return loss


def predictor(model: Any, batch: int = 256) -> Callable[[np.ndarray], np.ndarray]:
    """Gives a function from uint8 images `(n, h, w, c)` to float32 logits `(n, classes)`.

    Its graph is built once for a model, whatever its weights become: a step asks several times, and building takes
    longer than predicting.
    """
    from zoo.keras import tf

    def predict(images: np.ndarray) -> np.ndarray:
        forward = _forward(model)
        parts = [forward(tf.constant(images[at : at + batch])).numpy() for at in range(0, len(images), batch)]
        return np.concatenate(parts) if parts else np.zeros((0, model.output_shape[-1]), np.float32)

    return predict


_FORWARDS: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def _forward(model: Any) -> Any:
    """The graph from uint8 images to logits; it ends with its model."""
    from zoo.keras import tf

    if model not in _FORWARDS:
        known: Callable[[], Any] = weakref.ref(model)  # a strong one would keep the model, and so this entry, for ever

        @tf.function(autograph=False)
        def forward(images: Any) -> Any:
            return known()(tf.cast(images, tf.float32) / 255.0, training=False)

        # For any number of images at once: TensorFlow would warn of a graph per model as if it were one per call.
        _FORWARDS[model] = forward.get_concrete_function(tf.TensorSpec(model.input_shape, tf.uint8))
    return _FORWARDS[model]


def scorer(model: Any) -> Callable[[Split], tuple[float, float]]:
    """Gives a function from a split to (mean cross-entropy, top-1)."""
    predict = predictor(model)

    def score(split: Split) -> tuple[float, float]:
        logits = predict(split.images).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        log_share = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        loss = -log_share[np.arange(len(split.labels)), split.labels].mean()
        return float(loss), float((logits.argmax(1) == split.labels).mean())

    return score


def _chunk_runner(
    tf: Any, model: Any, optimizer: Any, schedule: Any, variables: Any, objective: Objective, augment: Any,
    settings: Fitting, classes: int, seed: int, hooks: Hooks,
) -> dict[bool, Any]:  # fmt: skip
    """Gives the graph function that does several updates, once with learning norms and once with frozen ones."""

    def build(frozen: bool) -> Any:
        @tf.function(
            input_signature=[
                tf.TensorSpec((None, None, *model.input_shape[1:]), tf.uint8),
                tf.TensorSpec((None, None), tf.int32),
                tf.TensorSpec((), tf.int64),
            ],
            autograph=False,  # rewriting the sources of layers and hooks costs more than writing the loop by hand
        )
        def run(images: Any, labels: Any, first: Any) -> Any:
            updates = tf.shape(images)[0]

            def update(index: Any, losses: Any, hits: Any) -> tuple[Any, Any, Any]:
                step = first + tf.cast(index, tf.int64)
                if hooks.update is not None:
                    hooks.update(step)
                targets = tf.one_hot(labels[index], classes)
                pixels = tf.cast(images[index], tf.float32) / 255.0
                pixels, targets = augment(
                    pixels, targets, tf.stack([tf.constant(seed, tf.int32), tf.cast(step, tf.int32)])
                )
                pixels = tf.ensure_shape(pixels, (None, *model.input_shape[1:]))
                with tf.GradientTape() as tape:
                    logits = model(pixels, training=True)
                    loss = tf.reduce_mean(objective(pixels, targets, logits))
                    if model.losses:
                        loss += tf.add_n(model.losses)
                gradients = tape.gradient(loss, variables)
                if hooks.gradients is not None:
                    gradients = hooks.gradients(gradients, variables, schedule(step))
                    left = [place for place, gradient in enumerate(gradients) if gradient is not None]
                    optimizer.apply_gradients([(gradients[place], variables[place]) for place in left])
                else:
                    optimizer.apply_gradients(zip(gradients, variables, strict=True))
                guessed, wanted = tf.argmax(logits, 1), tf.argmax(targets, 1)
                hits += tf.reduce_sum(tf.cast(guessed == wanted, tf.int64))
                return index + 1, losses.write(index, loss), hits

            _, losses, hits = tf.while_loop(
                lambda index, *_: index < updates,
                update,
                (tf.constant(0), tf.TensorArray(tf.float32, size=updates), tf.constant(0, tf.int64)),
            )
            return losses.stack(), hits

        def call(*arguments: Any) -> Any:
            with _norms(model, frozen):
                return run(*arguments)

        return call

    return {False: build(False), True: build(True)}


class _norms:
    """Holds BatchNorm layers fixed (or not) while a graph is traced or run."""

    def __init__(self, model: Any, frozen: bool) -> None:
        # A layer that does not learn anyway must not begin to when this is over.
        self.layers = [layer for layer in norm_layers(model) if layer.trainable] if frozen else []

    def __enter__(self) -> None:
        for layer in self.layers:
            layer.trainable = False

    def __exit__(self, *_: object) -> None:
        for layer in self.layers:
            layer.trainable = True


def learning_variables(model: Any) -> list[Any]:
    """Lists the weights that training may move: an int8-aware wrapper (tfmot 0.8.1) offers the kernel of its layer even
    when that layer is frozen.
    """
    wrappers = [layer for layer in model.layers if not getattr(getattr(layer, "layer", layer), "trainable", True)]
    frozen = {id(weight) for wrapper in wrappers for weight in wrapper.trainable_weights}
    return [variable for variable in model.trainable_variables if id(variable) not in frozen]


def norm_layers(model: Any) -> list[Any]:
    """Lists the BatchNorm layers of a model, also those inside quantise and prune wrappers."""
    from zoo.keras import keras

    return [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


def learning_rate(settings: Fitting, updates: int) -> Any:
    """Gives the schedule of the settings for `updates` an epoch: a function from an update's number to its rate."""
    from zoo.keras import keras

    total = settings.epochs * updates
    warmup = int(settings.warmup * total)
    peak = settings.learning_rate
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / 100 if warmup else peak,
        decay_steps=max(1, total - warmup),
        alpha=0.01,
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )


def _reset_layer_noise(model: Any, seed: int, epoch: int) -> None:
    """Puts dropout's generators into a state that depends on (seed, epoch, place) only."""
    for place, layer in enumerate(model._flatten_layers(include_self=False)):
        generator = getattr(getattr(layer, "_random_generator", None), "_generator", None)
        if generator is not None:
            generator.reset_from_seed((seed * 1_000_003 + epoch) * 1_009 + place)


def _is_best(history: list[dict[str, float]]) -> bool:
    def rank(row: dict[str, float]) -> tuple[float, float]:
        return row["validation_top1"], -row["validation_loss"]

    return all(rank(history[-1]) > rank(row) for row in history[:-1])


def _stops_early(report: FitReport, settings: Fitting, not_before: int) -> bool:
    waited = report.epochs_done - max(report.best_epoch, not_before)
    return settings.patience is not None and waited >= settings.patience
