"""The one place that decides which Keras this project uses: legacy `tf_keras`.

The compression toolkit (tensorflow-model-optimization 0.8) refuses Keras 3 models, and `tf_keras` models survive every
converter route, so everything here is built with it. Importing this module imports TensorFlow, which takes seconds and
hundreds of megabytes: import it inside functions, never at the top of a module that the pages or the cost panel read.
"""

from __future__ import annotations

import os

# Both must be set before the first TensorFlow import of the process to have any effect.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
import tf_keras as keras

# Dropout then draws from a `tf.random.Generator` it owns (`layer._random_generator`), whose state a training loop can
# reset, so that a resumed run repeats the numbers of an uninterrupted one.
keras.backend.experimental.enable_tf_random_generator()

__all__ = ["keras", "tf"]
