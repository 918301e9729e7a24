"""One small network, really trained on scikit-learn's digits, and every file written from it, shared by these tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from exports import Artifact, save_model, write_many
from pipelines.training.session import open_session

LABELS = tuple(str(digit) for digit in range(10))
FORMATS_OF_A_PLAIN_MODEL = (
    "tflite_float32", "tflite_float16", "tflite_dynamic", "tflite_int8", "tflite_uint8", "tflite_int16x8", "edgetpu",
    "onnx_float32", "onnx_int8", "keras", "bundle",
)


@dataclass(frozen=True)
class Digits:
    """A stored model with its data; `logits` are the model's own on the validation images."""

    model_path: Path
    calibration: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    logits: np.ndarray


def digit_images() -> tuple[np.ndarray, np.ndarray]:
    """The 1,797 digits as uint8 `(n, 16, 16, 1)` with their labels, in a fixed shuffled order."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.clip(np.rint(np.kron(digits.images, np.ones((2, 2))) * (255 / 16)), 0, 255).astype(np.uint8)
    order = np.random.default_rng(7).permutation(len(images))
    return images[order][..., None], digits.target.astype(np.int32)[order]


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    from zoo.keras import keras

    images, labels = digit_images()
    open_session(3)
    layers = keras.layers
    image = keras.Input((16, 16, 1), name="image")
    # Named: the numbers Keras gives depend on what other tests built before in the same process.
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="stem")(image)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.8)(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.8)(x))
    x = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="second")(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.8)(x))
    model = keras.Model(image, layers.Dense(10, name="logits")(layers.GlobalAveragePooling2D()(x)), name="small")
    # The rate ends at 0: with weights that still jump, what rounding costs is a matter of the machine's last bits.
    rate = keras.optimizers.schedules.CosineDecay(0.01, decay_steps=210)
    model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images[:1300] / np.float32(255), labels[:1300], epochs=10, batch_size=64, verbose=0)
    path = tmp_path_factory.mktemp("model") / "small.keras"
    save_model(model, path)
    logits = model.predict(images[1300:] / np.float32(255), verbose=0)
    assert (logits.argmax(axis=1) == labels[1300:]).mean() > 0.9
    return Digits(path, images[:100], images[1300:], labels[1300:], logits)


@pytest.fixture(scope="session")
def artifacts(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Every format written from the trained network, by its id. Tests must not change these files."""
    written = write_many(
        digits.model_path, FORMATS_OF_A_PLAIN_MODEL, tmp_path_factory.mktemp("files"), name="small", labels=LABELS,
        calibration=digits.calibration,
    )
    assert written.failures == ()
    return {artifact.format: artifact for artifact in written.artifacts}
