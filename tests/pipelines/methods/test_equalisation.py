"""Channels of very different size: found, brought to one size, and the int8 file gets its accuracy back."""

from __future__ import annotations

import numpy as np
import pytest

from exports import localise, save_model, write_many
from pipelines.methods import METHODS, Context
from pipelines.steps.export import calibration_images
from pipelines.training.loop import predictor
from pipelines.training.watch import QuietWatch
from tests.pipelines.small import planted


@pytest.fixture(scope="module")
def uneven(small_digits):
    return planted(small_digits)


def int8_of(model, data, folder) -> dict:
    """What the int8 file of a model loses, and where."""
    folder.mkdir()
    save_model(model, folder / "model.keras")
    plain, rounded = write_many(
        folder / "model.keras", ["tflite_float32", "tflite_int8"], folder, name="net", labels=data.classes,
        calibration=calibration_images(data, 200, 0), channel_order="grey",
    ).artifacts  # fmt: skip
    images = np.asarray(data.splits["validation"].images[:64])
    return localise(plain.path, plain.contract, rounded.path, rounded.contract, images)


def test_the_named_fault_is_mended_by_the_named_remedy(uneven, small_digits, tmp_path) -> None:
    before = int8_of(uneven, small_digits, tmp_path / "before")
    assert before["faults"][0]["cause"] == "wide_activation"
    assert before["faults"][0]["layers"][0] == "conv1"
    method = METHODS["equalisation"]
    outcome = method.apply(uneven, method.settings(), Context(small_digits, 0, QuietWatch()))
    after = int8_of(outcome.model, small_digits, tmp_path / "after")
    assert after["noise"] < 0.2 * before["noise"]
    assert not any(fault["cause"] == "wide_activation" for fault in after["faults"])
    images = small_digits.splits["validation"].images
    wanted, given = predictor(uneven)(images), predictor(outcome.model)(images)
    assert np.abs(given - wanted).max() < 1e-3 * np.abs(wanted).max()
    assert outcome.report["largest_factor"] >= 8
    assert not outcome.int8_aware


def test_what_lets_no_factor_through_is_refused_with_the_way_out(small_digits) -> None:
    from zoo import layers
    from zoo.keras import keras

    image = keras.Input((8, 8, 1))
    x = layers.relu6(layers.conv(image, 8, 3, name="only_conv", bias=True), name="only_relu6")
    model = keras.Model(image, layers.dense(layers.flatten(x, name="flatten"), 10, name="logits"))
    method = METHODS["equalisation"]
    with pytest.raises(ValueError, match=r"no channel of this model can be scaled.*relu6: open"):
        method.apply(model, method.settings(), Context(small_digits, 0, QuietWatch()))
    opened = method.apply(model, method.settings(relu6="open"), Context(small_digits, 0, QuietWatch()))
    assert opened.report["relu6_opened"] == 1
    assert opened.report["channels_scaled"] > 0
