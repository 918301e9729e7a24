"""Trained networks in the form for the Edge TPU: what kept them off the chip is gone, and they answer as before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import zoo
from exports import explain_edgetpu, predict, save_model, write_many
from pipelines.data import open_dataset
from pipelines.steps.export import calibration_images
from pipelines.training import session
from pipelines.training.loop import fit
from pipelines.training.settings import Fitting
from pipelines.training.watch import QuietWatch
from tests.exports.test_edgetpu_form import REPAIRED, off_the_chip

AGREE = 0.98
OPTIONS = {"mobilenet_v3": {"variant": "small"}}


@pytest.mark.slow
@pytest.mark.parametrize("name", REPAIRED)
def test_a_trained_network_keeps_its_answers(name: str, tmp_path: Path, record_property) -> None:
    session.open_session(0)
    data = open_dataset("digits", resolution=32, cache=tmp_path / "images")
    model = zoo.build(name, width=0.5, resolution=32, classes=10, channels=1, **OPTIONS.get(name, {}))
    fit(model, data, Fitting(epochs=20, learning_rate=4e-3), QuietWatch(tmp_path / "fit"), seed=0)
    save_model(model, tmp_path / "model.keras")
    written = write_many(
        tmp_path / "model.keras", ["tflite_int8", "edgetpu"], tmp_path, name="net", labels=data.classes,
        calibration=calibration_images(data, 200, 0),
    )  # fmt: skip
    assert written.failures == ()
    plain, chip = written.artifacts
    before, after = explain_edgetpu(plain.path), explain_edgetpu(chip.path)
    assert REPAIRED[name] in off_the_chip(before)
    assert (before["verdict"] != "all mapped", after["verdict"]) == (True, "all mapped")
    test = data.splits["test"]
    answers = [predict(one.path, one.contract, test.images).argmax(axis=1) for one in (plain, chip)]
    right = [float(np.mean(one == test.labels)) for one in answers]
    agreement = float(np.mean(answers[0] == answers[1]))
    record_property("top-1 plain, for the chip; same answer", (*right, agreement))
    assert min(right) > 0.9
    assert agreement >= AGREE
