from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from exports import is_int8_aware, load_model, save_model


def test_a_trained_model_comes_back_equal_and_without_its_optimiser(digits, tmp_path: Path):
    from zoo.keras import keras

    model = load_model(digits.model_path)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(digits.calibration / np.float32(255), digits.labels[:100], verbose=0)
    save_model(model, tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras")
    images = digits.images[:8] / np.float32(255)
    assert np.array_equal(model.predict(images, verbose=0), again.predict(images, verbose=0))
    assert (tmp_path / "m.keras").stat().st_size < 1.2 * digits.model_path.stat().st_size


def test_equal_models_are_equal_bytes_whenever_they_are_saved(digits, tmp_path: Path):
    model = load_model(digits.model_path)
    save_model(model, tmp_path / "a.keras")
    time.sleep(2.1)  # the zip format counts in steps of two seconds
    save_model(load_model(tmp_path / "a.keras"), tmp_path / "b.keras")
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()


def test_other_suffixes_and_missing_files_are_refused(digits, tmp_path: Path):
    model = load_model(digits.model_path)
    with pytest.raises(ValueError, match=r"use \.keras"):
        save_model(model, tmp_path / "m.pt")
    with pytest.raises(ValueError, match="no model file"):
        load_model(tmp_path / "m.keras")
    assert is_int8_aware("m.h5")
    assert not is_int8_aware("m.keras")
