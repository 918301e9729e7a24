import dataclasses
import gc
import weakref

import numpy as np
import pytest

from pipelines.training import checkpoint, loop, session
from pipelines.training.loop import Hooks, fit, norm_layers, predictor
from pipelines.training.settings import Fitting
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import digits, network

FULL = {"shift": 0.1, "rotate": 10, "zoom": 0.1, "flip": True, "brightness": 0.2, "cutout": 0.3, "mixup": 0.2}


def same_weights(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


class StopAfter(QuietWatch):
    """Stops a fitting in the middle of an epoch, as a cancel does."""

    def __init__(self, folder, checks):
        super().__init__(folder)
        self.left = checks

    def check(self):
        self.left -= 1
        if self.left < 0:
            raise InterruptedError


def test_training_learns_the_digits(cache_folder):
    session.open_session(0)
    model = network()
    settings = Fitting(epochs=5, batch=32, learning_rate=5e-3, shift=0.0)
    report = fit(model, digits(cache_folder, 1169), settings, QuietWatch(), seed=0)
    first, best = report.history[0], report.history[report.best_epoch - 1]
    assert best["validation_top1"] > max(0.7, first["validation_top1"])
    assert best["train_loss"] < first["train_loss"]


def test_same_seed_gives_bit_equal_weights_and_another_seed_does_not(small_digits):
    settings = Fitting(epochs=2, batch=32, **FULL)
    session.open_session(0)
    models = []
    for seed in (0, 0, 1):
        models.append(network(dropout=0.2))
        fit(models[-1], small_digits, settings, QuietWatch(), seed=seed)
    assert same_weights(models[0], models[1])
    assert not same_weights(models[0], models[2])


def test_resumed_training_ends_with_bit_equal_weights(small_digits, tmp_path, monkeypatch):
    """With dropout, all augmentations and Adam's state; the stop falls into the middle of an epoch."""
    monkeypatch.setattr("pipelines.training.loop.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("pipelines.training.loop.CHUNK_SECONDS", 0.0)  # one update per call: the stop is mid-epoch
    settings = Fitting(epochs=5, batch=32, keep="best", **FULL)
    session.open_session(0)
    uninterrupted = network(dropout=0.2)
    whole = fit(uninterrupted, small_digits, settings, QuietWatch(), seed=3)
    interrupted = network(dropout=0.2)
    with pytest.raises(InterruptedError):
        fit(interrupted, small_digits, settings, StopAfter(tmp_path, 21), seed=3)
    saved = checkpoint.load(tmp_path / "fit.npz")
    assert saved is not None
    assert 0 < saved.report["epochs_done"] < 5
    resumed = network(dropout=0.2)
    rest = fit(resumed, small_digits, settings, QuietWatch(tmp_path), seed=3)
    assert rest.resumed_from_epoch == saved.report["epochs_done"]
    assert same_weights(uninterrupted, resumed)
    assert rest.history == whole.history


def test_a_weight_that_a_method_moves_itself_is_left_to_it_at_the_rate_of_the_update(small_digits):
    """The hook takes the rate off one scale and gives the optimiser nothing for it: the sum of all rates must show."""
    from pipelines.training.loop import learning_rate

    session.open_session(0)
    model, settings = network(), Fitting(epochs=2, batch=32, weight_decay=0.1)
    own = model.get_layer("stem_norm").gamma
    kernel = model.get_layer("stem_conv").get_weights()[0]

    def gradients(found, variables, rate):
        own.assign_sub(rate * tf.ones_like(own))
        return [None if variable is own else gradient for gradient, variable in zip(found, variables, strict=True)]

    from zoo.keras import tf

    report = fit(
        model, small_digits, settings.model_copy(update={"keep": "last"}), QuietWatch(), seed=0,
        hooks=Hooks(gradients=gradients, epoch_end=lambda: {"seen": 7.0}),
    )  # fmt: skip
    schedule = learning_rate(settings, 8)
    assert np.allclose(own.numpy(), 1 - sum(float(schedule(step)) for step in range(16)), atol=1e-6)
    assert not np.array_equal(kernel, model.get_layer("stem_conv").get_weights()[0])
    assert [row["seen"] for row in report.history] == [7.0, 7.0]


def test_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    model = network()
    from zoo.keras import keras

    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    path = tmp_path / "fit.npz"
    checkpoint.save(path, model, optimizer, None, {"epochs_done": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.training.checkpoint.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, model, optimizer, None, {"epochs_done": 2})
    saved = checkpoint.load(path)
    assert saved is not None
    assert saved.report == {"epochs_done": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_patience_stops_early_and_says_so(small_digits):
    from pipelines.training.reports import fit_warnings

    session.open_session(0)
    report = fit(
        network(), small_digits, Fitting(epochs=30, batch=64, learning_rate=1e-7, patience=2), QuietWatch(), seed=0
    )
    assert report.stopped_early
    assert report.epochs_done < 30
    assert "stopped early" in fit_warnings(report)[0]


def test_exploding_loss_is_the_persons_to_fix_and_names_a_next_rate(small_digits):
    settings = Fitting(epochs=3, batch=32, optimizer="sgd", learning_rate=10, warmup=0)

    def explode(images, labels, logits):
        from zoo.keras import tf

        return tf.reduce_sum(logits, axis=1) * 1e38

    with pytest.raises(ValueError, match="learning rate of 1 would be a next try"):
        fit(network(), small_digits, settings, QuietWatch(), seed=0, objective=explode)


def test_balanced_class_weights_help_a_rare_class(small_digits):
    """One class is cut to 4 images; with weights its recall on validation must not fall behind."""
    train = small_digits.splits["train"]
    keep = np.ones(len(train.labels), bool)
    keep[np.flatnonzero(train.labels == 3)[4:]] = False
    rare = dataclasses.replace(train, images=train.images[keep], labels=train.labels[keep], ids=train.ids[: keep.sum()])
    data = dataclasses.replace(small_digits, splits={**small_digits.splits, "train": rare})
    validation = data.splits["validation"]
    recall = {}
    for kind in ("none", "balanced"):
        session.open_session(0)
        model = network()
        fit(model, data, Fitting(epochs=15, batch=32, learning_rate=5e-3, class_weights=kind), QuietWatch(), seed=0)
        right = predictor(model)(validation.images).argmax(1) == validation.labels
        recall[kind] = right[validation.labels == 3].mean()
    assert recall["balanced"] >= recall["none"]


def test_frozen_norms_keep_their_statistics_and_go_on_learning_afterwards(small_digits):
    session.open_session(0)
    model = network()
    norm = norm_layers(model)[0]
    before = [value.copy() for value in norm.get_weights()[2:]]
    fit(
        model,
        small_digits,
        Fitting(epochs=1, batch=32, keep="last"),
        QuietWatch(),
        seed=0,
        hooks=Hooks(freeze_norms_after=0.0),
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, norm.get_weights()[2:], strict=True))
    assert norm.trainable
    fit(model, small_digits, Fitting(epochs=1, batch=32, keep="last"), QuietWatch(), seed=0, label="second")
    assert not np.array_equal(before[0], norm.get_weights()[2])


@pytest.mark.parametrize("name", sorted(FULL))
def test_each_augmentation_changes_images_and_keeps_range_and_shape(name, small_digits):
    from pipelines.training.augment import augmenter
    from zoo.keras import tf

    images = tf.constant(small_digits.splits["train"].images[:16], tf.float32) / 255.0
    labels = tf.one_hot(small_digits.splits["train"].labels[:16], 10)
    off = dict.fromkeys(FULL, 0) | {"flip": False}
    settings = Fitting(**{**off, name: {"rotate": 30, "flip": True}.get(name, 0.4)})
    changed, mixed = augmenter(settings)(images, labels, tf.constant([0, 1]))
    again, _ = augmenter(settings)(images, labels, tf.constant([0, 1]))
    other, _ = augmenter(settings)(images, labels, tf.constant([0, 2]))
    assert changed.shape == images.shape
    assert 0.0 <= float(tf.reduce_min(changed)) <= float(tf.reduce_max(changed)) <= 1.0
    assert not np.array_equal(changed, images)
    assert np.array_equal(changed, again)
    assert not np.array_equal(changed, other)
    assert np.allclose(tf.reduce_sum(mixed, axis=1), 1.0)


def test_no_augmentation_leaves_images_alone(small_digits):
    from pipelines.training.augment import augmenter
    from zoo.keras import tf

    images = tf.constant(small_digits.splits["train"].images[:4], tf.float32) / 255.0
    same, _ = augmenter(Fitting(shift=0.0))(images, tf.one_hot([0, 1, 2, 3], 10), tf.constant([0, 1]))
    assert np.array_equal(same, images)


def test_flip_mirrors_whole_images():
    from pipelines.training.augment import augmenter
    from zoo.keras import tf

    images = np.random.default_rng(0).random((64, 6, 6, 1)).astype(np.float32)
    changed, _ = augmenter(Fitting(shift=0.0, flip=True))(
        tf.constant(images), tf.one_hot([0] * 64, 10), tf.constant([0, 1])
    )
    mirrored = [np.allclose(new, old[:, ::-1], atol=1e-6) for new, old in zip(changed.numpy(), images, strict=True)]
    kept = [np.allclose(new, old, atol=1e-6) for new, old in zip(changed.numpy(), images, strict=True)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 16 < sum(mirrored) < 48


def test_predictions_follow_the_weights_and_the_graph_ends_with_its_model():
    session.open_session(0)
    model = network()
    images = np.random.default_rng(0).integers(0, 256, (4, *model.input_shape[1:]), np.uint8)
    before = predictor(model)(images)
    assert predictor(model) is not None
    assert len(loop._FORWARDS) >= 1
    model.set_weights([weight + 0.1 for weight in model.get_weights()])
    after = predictor(model)(images)
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after, model(images.astype(np.float32) / 255.0, training=False), rtol=1e-4, atol=1e-5)
    known = weakref.ref(model)
    del model
    gc.collect()
    assert known() is None
