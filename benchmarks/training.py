"""Our training loop against plain `fit` of tf_keras on arrays in memory: same network, batch, optimiser, images.

Both are warmed up (graphs built) and then take turns in one process. Augmentation is off on both sides: plain `fit`
has none. Ours also scores validation, so that part is timed out of the ratio by giving `fit` the same validation.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

IMAGES = 4096
BATCH = 64
ROUNDS = 3


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """Gives images per second of both and the ratio ours / theirs (above 1: ours is faster), median of the rounds."""
    import numpy as np

    import zoo
    from pipelines.data import open_dataset
    from pipelines.training import session
    from pipelines.training.loop import fit
    from pipelines.training.settings import Fitting
    from pipelines.training.watch import QuietWatch
    from zoo.cloning import clone
    from zoo.keras import keras

    class EpochClock(QuietWatch):
        """Times whole epochs; the first one also builds the graph and is left out below."""

        def __init__(self) -> None:
            super().__init__()
            self.seconds: list[float] = []
            self._since = time.perf_counter()

        def metrics(self, rows: list[tuple[str, float, float]]) -> None:
            now = time.perf_counter()
            self.seconds.append(now - self._since)
            self._since = now

    session.open_session(0)
    with tempfile.TemporaryDirectory() as cache:
        digits = open_dataset("digits", resolution=16, cache=Path(cache))
    rows = []
    train = digits.splits["train"]
    places = np.arange(IMAGES) % len(train)
    many = dataclasses.replace(
        train,
        images=np.asarray(train.images)[places],
        labels=np.asarray(train.labels)[places],
        ids=tuple(map(str, places)),
    )
    data = dataclasses.replace(digits, splits={**digits.splits, "train": many})
    plain = Fitting(epochs=2, batch=BATCH, shift=0.0, warmup=0.0)
    images = many.images.astype(np.float32) / 255.0
    validation = data.splits["validation"]
    validation_images = validation.images.astype(np.float32) / 255.0
    for name, width in (("mobilenet_v1", 0.25), ("mobilenet_v2", 0.35), ("shufflenet_v2", 0.5)):
        fresh = zoo.build(name, width=width, resolution=16, classes=10, channels=1)
        theirs = clone(fresh)
        theirs.compile(
            keras.optimizers.Adam(2e-3, jit_compile=False),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            ["accuracy"],
        )
        theirs.fit(images, many.labels, batch_size=BATCH, epochs=1, verbose=0)
        ours_seconds, their_seconds = [], []
        for _ in range(rounds):
            watch = EpochClock()
            fit(clone(fresh), data, plain, watch, seed=0)
            ours_seconds.append(watch.seconds[-1])
            begun = time.perf_counter()
            theirs.fit(
                images,
                many.labels,
                batch_size=BATCH,
                epochs=1,
                verbose=0,
                validation_data=(validation_images, validation.labels),
            )
            their_seconds.append(time.perf_counter() - begun)
        rows.append(
            {
                "network": f"{name} {width:g} at 16x16",
                "ours_images_per_second": round(IMAGES / median(ours_seconds)),
                "fit_images_per_second": round(IMAGES / median(their_seconds)),
                "ratio": round(median(t / o for o, t in zip(ours_seconds, their_seconds, strict=True)), 3),
                "rounds": rounds,
            }
        )
    return {"what": "training throughput, ours / tf_keras fit", "batch": BATCH, "images": IMAGES, "rows": rows}
