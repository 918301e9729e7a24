"""Zeros and different values are read from the stored tensors of a file, against planted kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exports import save_model, weight_facts, write


@pytest.mark.parametrize(
    "format_id",
    ["tflite_int8", *(pytest.param(f"tflite_{name}", marks=pytest.mark.slow) for name in ("float32", "float16"))],
)
def test_planted_zeros_and_values_are_counted(format_id: str, tmp_path: Path) -> None:
    from zoo.keras import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(4, 3, name="planted", use_bias=False)(image)
    x = layers.DepthwiseConv2D(3, name="spread", use_bias=False)(x)
    model = keras.Model(image, layers.Dense(3, name="logits")(layers.Flatten()(x)))
    kernel = np.array([0.0, 1.0, -0.5])[np.arange(36) % 3].reshape(3, 3, 1, 4)
    model.get_layer("planted").set_weights([kernel])
    spread = np.array([0.25, 0.5, 0.75, 1.0])[None, None, :, None] * np.ones((3, 3, 4, 1))
    model.get_layer("spread").set_weights([spread])
    save_model(model, tmp_path / "m.keras")
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), np.uint8)
    written = write(tmp_path / "m.keras", format_id, tmp_path, name="m", labels="abc", calibration=images)
    first, second, last = weight_facts(written.path.read_bytes())
    assert first.shape == (4, 3, 3, 1)
    assert first.dtype == format_id.removeprefix("tflite_")
    assert (first.zeros, first.distinct, first.distinct_in_a_channel) == (pytest.approx(1 / 3), 3, 3)
    assert second.shape == (1, 3, 3, 4)
    assert second.distinct_in_a_channel == 1
    assert second.distinct == (1 if format_id == "tflite_int8" else 4)  # a scale for each channel makes them all 127
    assert last.distinct > 20


def test_what_is_no_tflite_file_is_refused() -> None:
    with pytest.raises(ValueError, match="not a TFLite file"):
        weight_facts(b"12345678")
