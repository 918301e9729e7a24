"""The size of an int8 file is predicted before it exists; here it exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from exports import save_model, write_many
from tests.zoo.designs import small

# One of each kind: a plain chain, shortcuts, gates and curved activations, shuffles, norms that cannot fold.
QUICK = ("mobilenet_v2",)
SLOW = ("mobilenet_v3", "shufflenet_v2", "ghostnet", "efficientnet", "densenet", "nasnet", "resnet", "xception")
MOST_OFF = 0.04


def as_if_trained(layer: str, place: int, old: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random values: untrained biases are all zero, and equal buffers are stored once; trained ones differ.

    Scale and variance of a norm stay above 0, kernels keep the size of their outputs, so that nothing overflows.
    """
    if old.ndim == 1:
        return (
            rng.uniform(0.5, 1.5, old.shape) if place in (0, 3) and "norm" in layer else rng.normal(0, 0.1, old.shape)
        )
    return rng.normal(0, (2 / np.prod(old.shape[:-1])) ** 0.5, old.shape)


def written_and_predicted(name: str, folder: Path) -> tuple[int, int]:
    request: dict[str, Any] = small(name)
    model = zoo.build(name, form="deploy", **request)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        layer.set_weights([as_if_trained(layer.name, place, old, rng) for place, old in enumerate(layer.get_weights())])
    save_model(model, folder / "model.keras")
    side, channels = request["resolution"], request["channels"]
    written = write_many(
        folder / "model.keras", ("tflite_int8",), folder, name=name, labels=["a", "b", "c"],
        calibration=rng.integers(0, 256, (4, side, side, channels), np.uint8),
    )  # fmt: skip
    assert not written.failures
    (artifact,) = written.artifacts
    return artifact.path.stat().st_size, zoo.predicted_int8_bytes(zoo.sketch(name, **request))


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_predicted_int8_bytes_are_those_of_the_file(name: str, tmp_path: Path) -> None:
    written, predicted = written_and_predicted(name, tmp_path)
    assert predicted == pytest.approx(written, rel=MOST_OFF)
