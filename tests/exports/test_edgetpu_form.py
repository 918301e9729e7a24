"""What format edgetpu does for every network of the zoo: its verdict is never worse."""

from __future__ import annotations

from pathlib import Path

import pytest

import zoo
from exports import Artifact, explain_edgetpu
from exports.network_files import network_file
from tests.exports.test_zoo_files import written
from tests.zoo.designs import EVERY_VARIANT, small

BETTER = ("refused", "nothing mapped", "partial", "uncertain", "all mapped")
# Network -> what keeps it from the chip in a plain int8 file, and no more in one of format edgetpu.
REPAIRED = {"mobilenet_v3": "HARD_SWISH", "shufflenet_v2": "TRANSPOSE", "shufflenet_v1": "CONV_2D"}


def both(name: str, folder: Path, **options) -> dict[str, Artifact]:
    """The int8 file and the Edge TPU's of one network."""
    files, _ = written(name, ["tflite_int8", "edgetpu"], folder, 8, **options)
    return {one.format: one for one in files}


def off_the_chip(found) -> set[str]:
    return {one["kind"] for one in found["ops"] if one["placement"] != "edgetpu"}


@pytest.mark.parametrize("name", REPAIRED)
def test_what_kept_a_network_from_the_chip_is_gone(name, tmp_path):
    files = both(name, tmp_path)
    before, after = (explain_edgetpu(files[one].path) for one in ("tflite_int8", "edgetpu"))
    assert REPAIRED[name] in off_the_chip(before)
    assert before["verdict"] != "all mapped"
    assert after["verdict"] == "all mapped", (off_the_chip(after), after["refusals"])


@pytest.mark.parametrize(("name", "options"), EVERY_VARIANT)
def test_every_network_has_a_verdict_before_it_is_built(name, options, tmp_path):
    file = tmp_path / "network.tflite"
    file.write_bytes(network_file(zoo.sketch(name, **small(name, **options), form="deploy"), "int8"))
    found = explain_edgetpu(file)
    assert found["verdict"] in BETTER
    assert found["ops"]
    assert all(one["reason"] for one in found["ops"] if one["placement"] != "edgetpu")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), EVERY_VARIANT)
def test_every_network_has_a_verdict_that_the_format_never_worsens(name, options, tmp_path):
    """Untrained answers are chance; whether trained ones stay is seen in `tests/pipelines/test_edgetpu_trained.py`."""
    files = both(name, tmp_path, **options)
    before, after = (explain_edgetpu(files[one].path) for one in ("tflite_int8", "edgetpu"))
    assert BETTER.index(after["verdict"]) >= BETTER.index(before["verdict"])
    assert all(one["reason"] for one in after["ops"] if one["placement"] != "edgetpu")
