"""What a person brings along: a Keras model of their own, trained outside, and a folder of their own images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

# Wide enough that its int8 file, too, spends its time computing: of 0.06 ms there is little that a cut could take away.
TRAIN = """
import sys
import numpy as np
from sklearn.datasets import load_digits
import tensorflow as tf
keras, L = tf.keras, tf.keras.layers
keras.utils.set_random_seed(0)
digits = load_digits()
few = digits.target < 4
images = np.kron(digits.images[few] / 16.0, np.ones((2, 2)))[..., None].astype("float32")
image = keras.Input((16, 16, 1))
x = L.Conv2D(96, 3, padding="same", use_bias=False)(image)
x = L.ReLU()(L.BatchNormalization()(x))
y = L.Conv2D(192, 3, padding="same", use_bias=False)(x)
y = L.ReLU()(L.BatchNormalization()(y))
x = L.Add()([x, L.Conv2D(96, 1)(y)])
x = L.GlobalAveragePooling2D()(L.Conv2D(192, 3, strides=2, activation="relu")(x))
model = keras.Model(image, L.Dense(4, activation="softmax")(x))
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(images * 255 if sys.argv[2] == "0..255" else images, digits.target[few], epochs=6, verbose=0)
model.save(sys.argv[1])
"""


def folder_of_digits(folder: Path) -> Path:
    """720 pictures of the digits 0 to 3, 16 x 16, one folder per class."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for place in np.flatnonzero(digits.target < 4):
        home = folder / f"digit {digits.target[place]}"
        home.mkdir(parents=True, exist_ok=True)
        grey = np.kron(digits.images[place] * 255 / 16, np.ones((2, 2))).astype(np.uint8)
        Image.fromarray(grey).save(home / f"{place}.png")
    return folder


def own_model(path: Path, input_range: str = "0..1") -> Path:
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", TRAIN, str(path), input_range], env=environment, check=True)
    return path
