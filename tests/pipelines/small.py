"""The smallest real thing: 200 digits at 8 pixels, and models of a few thousand weights."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data import Dataset, open_dataset
from pipelines.training.watch import QuietWatch


@cache
def digits(folder: Path, images: int = 256) -> Dataset:
    """Digits at 8x8 with only `images` training images (they lie in seeded order, so the first are a fair mix)."""
    data = open_dataset("digits", resolution=8, cache=folder)
    train = data.splits["train"]
    part = dataclasses.replace(
        train, images=train.images[:images], labels=train.labels[:images], ids=train.ids[:images]
    )
    return dataclasses.replace(data, splits={**data.splits, "train": part})


def network(dropout: float = 0.0) -> Any:
    """Two blocks in the zoo's own words, about 1,700 weights: quick to trace, with everything a real network has."""
    from zoo import layers
    from zoo.keras import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.conv(image, 16, 3, name="stem_conv", stride=2)
    x = layers.relu6(layers.norm(x, name="stem_norm"), name="stem_relu6")
    x = layers.depthwise(x, name="stage1_1_depthwise_conv")
    x = layers.relu6(layers.norm(x, name="stage1_1_depthwise_norm"), name="stage1_1_depthwise_relu6")
    x = layers.conv(x, 32, name="stage1_1_pointwise_conv")
    x = layers.relu6(layers.norm(x, name="stage1_1_pointwise_norm"), name="stage1_1_pointwise_relu6")
    x = layers.conv(x, 32, name="stage1_2_pointwise_conv")
    x = layers.relu6(layers.norm(x, name="stage1_2_pointwise_norm"), name="stage1_2_pointwise_relu6")
    x = layers.dropout(layers.flatten(x, name="flatten"), dropout, name="head_dropout")
    return keras.Model(image, layers.dense(x, 10, name="logits"))


def unpadded(bias: bool = False) -> Any:
    """Three convolutions without padding, 10, 12 and 8 channels, a norm and ReLU behind each: no cell is a border."""
    from zoo import layers
    from zoo.keras import keras

    keras.utils.set_random_seed(0)
    image = x = keras.Input((8, 8, 1), name="image")
    for number, channels in enumerate((10, 12, 8)):
        x = layers.conv(x, channels, 3, name=f"conv{number}", padding="valid", bias=bias)
        x = layers.relu(layers.norm(x, name=f"norm{number}"), name=f"relu{number}")
    return keras.Model(image, layers.dense(layers.flatten(x, name="flatten"), 10, name="logits"))


def planted(data: Dataset, *, channels: int = 2, factor: float = 64.0) -> Any:
    """`unpadded`, trained; some channels of `conv1` were made much larger, and what reads them as much smaller."""
    from pipelines.training import session
    from pipelines.training.loop import fit
    from pipelines.training.settings import Fitting
    from zoo.plans import Plan

    norm, reader = "norm1", "conv2"
    session.open_session(0)
    model = unpadded()
    fit(model, data, Fitting(epochs=12, batch=32, learning_rate=5e-3, shift=0.0), QuietWatch(), seed=0)
    plan = Plan.of(model)
    factors = np.where(np.arange(plan.calls[norm].channels) < channels, factor, 1.0).astype(np.float32)
    gamma, beta, *rest = plan.calls[norm].weights
    plan.calls[norm] = dataclasses.replace(plan.calls[norm], weights=(gamma * factors, beta * factors, *rest))
    (kernel,) = plan.calls[reader].weights
    plan.calls[reader] = dataclasses.replace(plan.calls[reader], weights=(kernel / factors[:, None],))
    return plan.build()


def shaped(name: str, model: Any, data: Dataset, watch: Any = None, **values: Any) -> Any:
    """What the method `name` makes of a model in a session with seed 0: two epochs of batches of 32 unless said."""
    from pipelines.methods import METHODS, Context
    from pipelines.training import session

    session.open_session(0)
    plan = METHODS[name].settings(**{"epochs": 2, "batch": 32, **values})
    return METHODS[name].apply(model, plan, Context(data, 0, watch or QuietWatch()))


class DyingWatch(QuietWatch):
    """A run that is killed before the checkpoint of `epoch` of the training `label`."""

    def __init__(self, folder: Path, label: str, epoch: int) -> None:
        super().__init__(folder)
        self.label, self.epoch = label, epoch

    def metrics(self, rows: list[tuple[str, float, float]]) -> None:
        super().metrics(rows)
        if any(name.startswith(f"{self.label}.") and x == self.epoch for name, x, _ in rows):
            raise KeyboardInterrupt
