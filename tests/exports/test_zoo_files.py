"""Every architecture becomes the files people ship: float and int8 TFLite, ONNX; real writers, real runtimes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from exports import write_many
from exports.model_file import save_model
from exports.run_file import LiteRtRunner, OnnxRunner
from exports.tflite_file import UNFROZEN, read_facts
from exports.writers import WRITERS
from exports.writers.source import Source
from tests.zoo.designs import EVERY_VARIANT, NAMES, others_slow, small

# The converter remarks that an int8 input has no statistics of its own; the calibration images give them.
pytestmark = pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")

ROOT = Path(__file__).parents[2]
IMAGES = 4
RELATIVE = 1e-4  # of the largest logit
# A plain chain, sums, concatenations, gates with hard-swish, shuffles: what the other families are made of.
QUICK = ("mobilenet_v1", "mobilenet_v2", "squeezenet", "mobilenet_v3", "shufflenet_v2")


def lively(name: str, request: dict[str, Any]) -> Any:
    """An untrained model whose norms have seen images: moving statistics fit, so no layer is silent or explodes."""
    from zoo.keras import keras

    keras.utils.set_random_seed(11)
    model = zoo.build(name, **request)
    noise = np.random.default_rng(11)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.momentum = 0.0  # what one batch has becomes its statistics, in every layer at once
    model(noise.random((8, *model.input_shape[1:]), dtype="float32"), training=True)
    return model


def written(name: str, formats: list[str], folder: Path, images: int, **options: Any) -> tuple[Any, np.ndarray]:
    """The files of a small untrained design, and the noise they were calibrated with."""
    model = lively(name, small(name, **options))
    save_model(model, folder / "model.keras")
    pixels = np.random.default_rng(5).integers(0, 256, (images, *model.input_shape[1:]), dtype=np.uint8)
    labels = [str(number) for number in range(model.output_shape[-1])]
    found = write_many(folder / "model.keras", formats, folder, name="net", labels=labels, calibration=pixels)
    assert found.failures == ()
    return found.artifacts, pixels


def all_files_agree(name: str, request: dict[str, Any], folder: Path) -> None:
    files_agree(lively(name, request), folder)


def files_agree(model: Any, folder: Path) -> None:
    """Float files answer as the model does; the int8 file holds integers only, runs, and tells images apart."""
    save_model(model, folder / "model.keras")
    pixels = np.random.default_rng(5).integers(0, 256, (IMAGES, *model.input_shape[1:]), dtype=np.uint8)
    wanted = model(pixels.astype("float32") / 255.0, training=False).numpy()
    scale = np.abs(wanted).max()
    assert np.isfinite(wanted).all()
    assert scale > 0
    source = Source(folder / "model.keras", pixels)
    paths = {one: folder / one for one in ("tflite_float32", "tflite_int8", "onnx_float32")}
    for format_id, path in paths.items():
        WRITERS[format_id](source, format_id, path)

    raw = pixels.astype(np.float32)
    run = LiteRtRunner(paths["tflite_float32"])
    answers = np.concatenate([run(image[None]) for image in raw])
    assert np.abs(answers - wanted).max() <= RELATIVE * scale
    answers = OnnxRunner(paths["onnx_float32"], batch=IMAGES)(raw)  # its writer ran onnx.checker
    assert np.abs(answers - wanted).max() <= RELATIVE * scale

    facts = read_facts(paths["tflite_int8"].read_bytes())
    assert facts.custom == ()
    assert not UNFROZEN & set(facts.operators)
    assert facts.float_tensors == 0
    run = LiteRtRunner(paths["tflite_int8"])
    answers = np.concatenate([run((image.astype(np.int16) - 128).astype(np.int8)[None]) for image in pixels])
    assert answers.dtype == np.int8
    assert answers.shape == wanted.shape
    assert len(np.unique(answers)) > 1


@pytest.mark.parametrize("name", others_slow(NAMES, QUICK))
def test_small_design_becomes_every_file(name, tmp_path):
    all_files_agree(name, small(name), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), EVERY_VARIANT)
def test_published_design_becomes_every_file(name, options, tmp_path):
    # In a process of its own: conversions leave memory behind, and fifty large networks together took 16 GB.
    call = f"all_files_agree({name!r}, {options!r}, Path({str(tmp_path)!r}))"
    code = f"from pathlib import Path; from tests.exports.test_zoo_files import all_files_agree; {call}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
