"""`inspect`: a person's file and a file of the home, told operator by operator."""

from __future__ import annotations

import json

import numpy as np
import pytest

from exports import save_model, write_many
from pipelines.__main__ import main
from tests.pipelines.small import network


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    save_model(network(), folder / "model.keras")
    labels = tuple(str(digit) for digit in range(10))
    noise = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), np.uint8)
    forms = ["edgetpu", "tflite_float32"]
    found = write_many(folder / "model.keras", forms, folder, name="small", labels=labels, calibration=noise)
    assert not found.failures
    return {one.format: one.path for one in found.artifacts}


def test_a_file_for_the_chip_is_all_mapped_and_said_to_be_predicted(files, capsys) -> None:
    assert main(["inspect", str(files["edgetpu"])]) == 0
    shown = capsys.readouterr().out
    assert "all mapped; 0 of" in shown
    assert "Predicted, not compiled." in shown
    assert "fit into the chip's memory" in shown


def test_a_float_file_says_what_helps(files, capsys) -> None:
    assert main(["inspect", str(files["tflite_float32"]), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["target"], document["verdict"]) == ("edgetpu", "refused")
    assert all(one["placement"] == "cpu" for one in document["ops"])
    assert main(["inspect", str(files["tflite_float32"])]) == 0
    shown = capsys.readouterr().out
    assert "refused whole: no operator computes in int8" in shown
    assert "write the file as format edgetpu" in shown


def test_boards_are_told_with_what_is_missing(files, capsys) -> None:
    assert main(["inspect", str(files["edgetpu"]), "--target", "mcu", "--board", "pico", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (board,) = document["boards"]
    assert (board["name"], board["fits"]) == ("pico", True)
    assert main(["inspect", str(files["edgetpu"]), "--target", "mcu"]) == 0
    shown = capsys.readouterr().out
    assert "an arena of at least" in shown
    assert "Arduino Nano 33 BLE Sense" in shown


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("--board", "pico"), "--board pico goes with --target mcu"),
        (("--target", "mcu", "--board", "pica"), "board 'pica' is not known; nearest: pico"),
    ],
)
def test_boards_that_cannot_be_are_refused(files, capsys, asked, message) -> None:
    assert main(["inspect", str(files["edgetpu"]), *asked]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("what", "message"),
    [("gone.tflite", "there is no file"), ("a99999", "neither a file nor an artifact"), ("text", "cannot be read")],
)
def test_what_cannot_be_inspected_is_refused(what, message, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("LITESMITH_HOME", str(tmp_path / "home"))
    if what == "text":
        what = str(tmp_path / "words.tflite")
        (tmp_path / "words.tflite").write_text("not a model")
    assert main(["inspect", what]) == 2
    assert message in capsys.readouterr().err
