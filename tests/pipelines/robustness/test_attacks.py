import numpy as np
import pytest

from pipelines.robustness import Attacker
from pipelines.training import session


@pytest.fixture(scope="module")
def linear():
    """Two classes, one dense layer on 3 x 3 pixels: what an attack should do can be worked out by hand."""
    from zoo.keras import keras

    session.open_session(0)
    image = keras.Input((3, 3, 1), name="image")
    model = keras.Model(image, keras.layers.Dense(2, name="logits")(keras.layers.Flatten(name="flat")(image)))
    draw = np.random.default_rng(0)
    model.set_weights([draw.normal(size=(9, 2)).astype(np.float32), np.zeros(2, np.float32)])
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (300, 3, 3, 1), np.uint8)


def farthest(model, images, labels, epsilon):
    """Each pixel against the sign of the weight difference, as far as the range of pixels lets it."""
    kernel = model.get_weights()[0]
    towards_right = (kernel[:, labels] - kernel[:, 1 - labels]).T.reshape(images.shape)
    return np.clip(images.astype(int) - epsilon * np.sign(towards_right).astype(int), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("epsilon", [1, 8, 255])
def test_attacks_on_a_linear_model_go_where_the_sum_says(linear, images, epsilon):
    labels = np.random.default_rng(2).integers(0, 2, len(images))
    wanted = farthest(linear, images, labels, epsilon)
    np.testing.assert_array_equal(Attacker(linear).fgsm(images, labels, epsilon), wanted)
    np.testing.assert_array_equal(Attacker(linear).pgd(images, labels, epsilon, steps=5, restarts=1), wanted)


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
def test_no_pixel_moves_further_than_epsilon_and_images_come_back_as_they_went(linear, images, attack):
    labels = np.zeros(len(images), int)
    attacked = getattr(Attacker(linear), attack)(images, labels, 7)
    assert (attacked.dtype, attacked.shape) == (images.dtype, images.shape)
    assert np.abs(attacked.astype(int) - images.astype(int)).max() == 7
    np.testing.assert_array_equal(getattr(Attacker(linear), attack)(images, labels, 0), images)


def test_attacks_repeat_themselves_and_restarts_never_make_them_weaker(small_digits):
    from tests.pipelines.small import network

    session.open_session(0)
    model = network()
    split = small_digits.splits["validation"]
    attacker = Attacker(model)

    def margins(attacked):
        logits = model(attacked.astype(np.float32) / 255, training=False).numpy()
        right = logits[np.arange(len(logits)), split.labels]
        logits[np.arange(len(logits)), split.labels] = -np.inf
        return logits.max(axis=1) - right

    once, again = (attacker.pgd(split.images, split.labels, 16, steps=4, restarts=1, seed=3) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    three = attacker.pgd(split.images, split.labels, 16, steps=4, restarts=3, seed=3)
    assert (margins(three) >= margins(once) - 1e-5).all()
    assert not np.array_equal(once, attacker.pgd(split.images, split.labels, 16, steps=4, restarts=1, seed=4))


@pytest.mark.parametrize("values", [{"epsilon": -1}, {"epsilon": 256}, {"steps": 0}, {"restarts": 0}])
def test_attack_that_makes_no_sense_is_refused(linear, images, values):
    asked = {"epsilon": 8, "steps": 2, "restarts": 1, **values}
    with pytest.raises(ValueError, match=next(iter(values))):
        Attacker(linear).pgd(images, np.zeros(len(images), int), asked.pop("epsilon"), **asked)
