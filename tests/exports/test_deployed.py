"""Files hold networks in their deployed form: grouped convolutions in one operator, learned groups as they came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from exports import Artifact, gate, load_model, save_model, write_many
from tests.exports.conftest import LABELS, digit_images

FORMATS = (
    "tflite_float32", "tflite_float16", "tflite_dynamic", "tflite_int8", "tflite_uint8", "tflite_int16x8", "edgetpu",
    "onnx_float32", "keras",
)  # fmt: skip


@dataclass(frozen=True)
class Files:
    model: Any
    artifacts: dict[str, Artifact]
    images: np.ndarray
    labels: np.ndarray
    logits: np.ndarray


def network() -> Any:
    """A ShuffleNet-like block, a CondenseNet-like one and one with fully learnable groups."""
    from zoo import layers
    from zoo.architectures.condensenet import bottleneck, head
    from zoo.architectures.flgc import learned_group_norm
    from zoo.blocks.convolution import conv_norm, norm_activate
    from zoo.blocks.grouped import grouped_conv, grouped_conv_norm
    from zoo.keras import keras

    image = keras.Input((16, 16, 1), name="image")
    x = conv_norm(image, 16, 3, name="stem", stride=2, activation="relu")
    y = grouped_conv_norm(x, 32, name="stage1_expand", groups=4, form="train", activation="relu")
    y = layers.shuffle(y, 4, name="stage1_shuffle")
    x = grouped_conv_norm(y, 32, 3, name="stage1_project", groups=4, form="train", stride=2)
    y = bottleneck(x, 32, "stage2_bottleneck", "train", 4, 4)
    x = layers.concat([x, grouped_conv(y, 16, 3, name="stage2_grow", groups=4, form="train")], name="stage2_concat")
    x = norm_activate(x, "relu", name="stage2")
    x = learned_group_norm(x, 48, name="stage3", groups=4, form="train", activation="relu6")
    return keras.Model(image, head(x, 10, "train", 0.0), name="grouped")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    from zoo.keras import keras

    images, labels = digit_images()
    keras.utils.set_random_seed(3)
    model = network()
    for norm in model.layers:
        if isinstance(norm, keras.layers.BatchNormalization):
            norm.momentum = 0.8
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for epochs in (3, 9):
        model.fit(images[:1300] / np.float32(255), labels[:1300], epochs=epochs, batch_size=64, verbose=0)
        for layer in model.layers:
            while epochs == 3 and hasattr(layer, "condense") and layer.stage < layer.stages:
                layer.condense()
    folder = tmp_path_factory.mktemp("grouped")
    save_model(model, folder / "grouped.keras")
    logits = model.predict(images[1300:] / np.float32(255), verbose=0)
    assert (logits.argmax(axis=1) == labels[1300:]).mean() > 0.85
    written = write_many(
        folder / "grouped.keras", FORMATS, folder, name="grouped", labels=LABELS, calibration=images[:100]
    )
    assert written.failures == ()
    return Files(model, {one.format: one for one in written.artifacts}, images[1300:], labels[1300:], logits)


@pytest.mark.parametrize("format_id", FORMATS)
def test_deployed_file_passes_the_gate_against_the_model_that_was_trained(format_id: str, files: Files):
    artifact = files.artifacts[format_id]
    report = gate(artifact.path, artifact.contract, files.images, files.logits, files.labels)
    assert report.passed, report.cause


def test_float_file_holds_native_grouped_convolutions_and_fewer_operators(files: Files):
    from zoo.deploy import deploy

    native, split = (files.artifacts[one].contract for one in ("tflite_float32", "edgetpu"))
    wanted = [layer for layer in deploy(files.model).layers if type(layer).__name__ == "Conv2D"]
    assert sum(layer.groups > 1 for layer in wanted) >= 4
    assert native.operators["CONV_2D"] == len(wanted)
    assert native.operators["CONV_2D"] < split.operators["CONV_2D"]
    assert sum(native.operators.values()) < sum(split.operators.values())
    assert "STRIDED_SLICE" not in native.operators
    assert native.min_runtime == "2.9.0"  # what the native operator asks for, and the Edge TPU's compiler refuses
    assert split.min_runtime is not None
    assert split.min_runtime < "2.6"


def test_int8_and_onnx_files_hold_the_same_convolutions(files: Files):
    convolutions = files.artifacts["tflite_float32"].contract.operators["CONV_2D"]
    assert files.artifacts["tflite_int8"].contract.operators["CONV_2D"] == convolutions
    assert files.artifacts["onnx_float32"].contract.operators["Conv"] == convolutions


def test_keras_file_stays_the_model_that_was_trained(files: Files):
    loaded = load_model(files.artifacts["keras"].path)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in files.model.layers]
