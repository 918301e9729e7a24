"""The TensorFlow session of one worker: threads, determinism, seed.

The same seed, thread count, machine and library versions give bit-equal weights.
"""

from __future__ import annotations

import os
from typing import Any

DEFAULT_THREADS = 2


def threads() -> int:
    """Gives the number of threads TensorFlow may use: LITESMITH_THREADS, else 2, never more than there are cores."""
    asked = os.environ.get("LITESMITH_THREADS", "")
    if asked and not (asked.isdigit() and int(asked) > 0):
        raise ValueError(f"LITESMITH_THREADS = {asked!r}: must be a whole number of at least 1")
    return min(int(asked or DEFAULT_THREADS), os.cpu_count() or 1)


def open_session(seed: int) -> Any:
    """Seeds and pins TensorFlow in this process; gives the module."""
    from zoo.keras import keras, tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads())
        tf.config.threading.set_inter_op_parallelism_threads(threads())
    except RuntimeError:
        # TensorFlow is already at work in this process (inline runs); it keeps the threads it started with.
        pass
    tf.config.experimental.enable_op_determinism()
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    return tf
