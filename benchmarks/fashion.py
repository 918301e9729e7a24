"""Fashion-MNIST as the long tables use it: 12,000 images to train on, the official 10,000 to judge on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

IMAGES = 12_000
CACHE = Path("build/images")


def few_images(resolution: int) -> Any:
    """The set with its first `IMAGES` training images; validation and test images are all there."""
    from pipelines.data import open_dataset

    data = open_dataset("fashion_mnist", resolution=resolution, cache=CACHE)
    train = data.splits["train"]
    few = dataclasses.replace(train, images=train.images[:IMAGES], labels=train.labels[:IMAGES], ids=train.ids[:IMAGES])
    return dataclasses.replace(data, splits={**data.splits, "train": few})
