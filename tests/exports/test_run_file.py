from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exports import KERNELS, Artifact, Contract, predict, save_model, write
from exports.run_file import LARGEST_BATCH, open_runner


def one_by_one(path: Path, contract: Contract, images: np.ndarray, kernels: str) -> np.ndarray:
    """The naive loop every faster way is held against."""
    runner = open_runner(path, contract, kernels=kernels)
    raw = [runner(contract.raw_from_pixels(images[at : at + 1])) for at in range(len(images))]
    return contract.logits_from_raw(np.concatenate(raw))


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(
    "format_id", ["tflite_float32", "tflite_float16", "tflite_dynamic", "tflite_int8", "tflite_uint8", "tflite_int16x8"]
)
def test_the_fast_way_equals_the_one_image_loop_bit_for_bit(
    format_id: str, kernels: str, digits, artifacts: dict[str, Artifact]
):
    artifact, images = artifacts[format_id], digits.images[: 3 * LARGEST_BATCH + 5]
    fast = predict(artifact.path, artifact.contract, images, kernels=kernels)
    assert np.array_equal(fast, one_by_one(artifact.path, artifact.contract, images, kernels))


def test_the_fast_way_equals_the_one_image_loop_for_onnx(digits, artifacts: dict[str, Artifact]):
    artifact, images = artifacts["onnx_float32"], digits.images[:150]
    fast = predict(artifact.path, artifact.contract, images)
    assert np.array_equal(fast, one_by_one(artifact.path, artifact.contract, images, "xnnpack"))


@pytest.mark.parametrize("n", [1, 2, LARGEST_BATCH - 1, LARGEST_BATCH, LARGEST_BATCH + 1])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_images_and_workers_gives_one_answer_per_image(
    n: int, workers: int, digits, artifacts: dict[str, Artifact]
):
    artifact = artifacts["tflite_int8"]
    whole = predict(artifact.path, artifact.contract, digits.images[: LARGEST_BATCH + 1], workers=1)
    part = predict(artifact.path, artifact.contract, digits.images[:n], workers=workers)
    assert np.array_equal(part, whole[:n])


def test_a_file_that_cannot_be_resized_is_run_one_image_at_a_time(tmp_path: Path):
    from zoo.keras import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    # A channel shuffle: its reshapes hold the batch of 1 as a constant.
    x = keras.layers.Reshape((16, 2, 2))(keras.layers.Conv2D(4, 3, strides=2, padding="same")(image))
    x = keras.layers.Reshape((4, 4, 4))(keras.layers.Permute((1, 3, 2))(x))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(x))
    save_model(keras.Model(image, keras.layers.Dense(3)(x)), tmp_path / "m.keras")
    artifact = write(tmp_path / "m.keras", "tflite_float32", tmp_path, name="m", labels="abc")
    images = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 1), np.uint8)
    with pytest.raises(RuntimeError):
        open_runner(artifact.path, artifact.contract, batch=8)
    fast = predict(artifact.path, artifact.contract, images)
    assert np.array_equal(fast, one_by_one(artifact.path, artifact.contract, images, "xnnpack"))


def test_unknown_kernels_no_images_and_bundles_are_refused(digits, artifacts: dict[str, Artifact]):
    artifact, bundle = artifacts["tflite_int8"], artifacts["bundle"]
    with pytest.raises(ValueError, match="xnnpack, builtin, reference"):
        predict(artifact.path, artifact.contract, digits.images, kernels="gpu")
    with pytest.raises(ValueError, match="at least one"):
        predict(artifact.path, artifact.contract, digits.images[:0])
    with pytest.raises(ValueError, match="not run itself"):
        predict(bundle.path, bundle.contract, digits.images)
