import numpy as np
import pytest

from pipelines.robustness import RobustnessSettings, Victim, robustness
from pipelines.settings import make
from pipelines.training import session
from pipelines.training.loop import fit, predictor
from pipelines.training.settings import Fitting
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import network

SETTINGS = RobustnessSettings(epsilons=(8, 32), steps=8, restarts=1, images=200)


@pytest.fixture(scope="module")
def learned(small_digits):
    session.open_session(0)
    model = network()
    fit(model, small_digits, Fitting(epochs=8, batch=32, learning_rate=5e-3, shift=0.0), QuietWatch(), seed=0)
    return model


def victim(name, model):
    ours = predictor(model)
    return Victim(name, model, {"model": lambda images: ours(images).argmax(1)})


def judged(data, *victims):
    split = data.splits["validation"]
    return robustness(victims, split.images[:200], split.labels[:200], SETTINGS)


def test_accuracy_falls_with_epsilon_and_the_checks_hold(learned, small_digits):
    found = judged(small_digits, victim("one", learned))
    top1 = {(row["attack"], row["epsilon"]): row["top1"] for row in found["rows"]}
    assert top1["none", 0] > 0.6
    assert top1["none", 0] > top1["pgd", 8] > top1["pgd", 32]
    assert top1["pgd", 32] <= top1["fgsm", 32]
    assert top1["pgd", 255] == 0
    assert found["believable"] == {"one": True}, found["checks"]
    assert found["differences"] == []
    for row in found["rows"]:
        assert row["low"] <= row["top1"] <= row["high"]


def test_model_that_hides_its_gradients_is_not_believed(learned, small_digits):
    """Logits rounded to steps: no gradient comes through, attacks do little, and the model is as weak as before."""
    from zoo.keras import keras, tf

    class Rounded(keras.layers.Layer):
        def call(self, x):
            return tf.round(x * 2.0) / 2.0

    hidden = keras.Model(learned.inputs, Rounded(name="rounded")(learned.outputs[0]))
    found = judged(small_digits, victim("plain", learned), victim("hidden", hidden))
    assert found["believable"] == {"plain": True, "hidden": False}
    failed = {one["check"] for one in found["checks"]["hidden"] if not one["holds"]}
    assert "nothing is right when pixels may become anything" in failed
    assert "images made on plain hurt no more than its own" in failed
    difference = next(row for row in found["differences"] if row["attack"] == "pgd" and row["epsilon"] == 32)
    assert difference["name"] == "hidden"
    assert difference["low"] <= difference["difference"] <= difference["high"]
    assert difference["difference"] > 0.1, "it looks better, which is why there are checks"


@pytest.mark.parametrize("epsilons", [(), (0,), (255,), (8, 300)])
def test_sizes_out_of_range_are_refused(epsilons):
    with pytest.raises(ValueError, match="whole steps of 1/255 from 1 to 254"):
        make(RobustnessSettings, {"epsilons": epsilons}, "robustness")


def test_images_of_a_flat_model_are_judged_all_the_same(small_digits):
    """A model that always gives one answer has nothing to lose; its rows say so."""
    session.open_session(0)
    model = network()
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    found = judged(small_digits, victim("flat", model))
    assert {row["top1"] for row in found["rows"]} == {found["rows"][0]["top1"]}
    assert not found["believable"]["flat"]
