"""The one place that decides which Keras this project uses: legacy `tf_keras`.

The compression toolkit (tensorflow-model-optimization 0.8) refuses Keras 3 models, and `tf_keras` models survive every
converter route, so everything here is built with it. Importing this module imports TensorFlow, which takes seconds and
hundreds of megabytes: import it inside functions, never at the top of a module that the pages or the cost panel read.
"""

from __future__ import annotations

import os

# All must be set before the first TensorFlow import of the process to have any effect.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow turns oneDNN's kernels on by itself on newer processors only. On an EPYC with AVX2 a step of training took
# 0.45 (ResNet-20 x 0.5) to 0.96 (EfficientNet-B0) of the time with them.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import tensorflow as tf
import tf_keras as keras

# Dropout then draws from a `tf.random.Generator` it owns (`layer._random_generator`), whose state a training loop can
# reset, so that a resumed run repeats the numbers of an uninterrupted one.
keras.backend.experimental.enable_tf_random_generator()

__all__ = ["keras", "tf"]
