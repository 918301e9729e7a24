"""Models from elsewhere: read as numbers, built anew with equal answers, and refused where they could run code."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from exports.keras_config import clean
from exports.keras_import import import_model
from exports.model_file import load_model

RESNET = Path(__file__).parents[3] / "shared" / "data" / "import" / "pretrainedResnet.h5"

# Builds the same small network with whichever Keras the environment asks for, and writes file and answers.
MAKE = """
import sys
import numpy as np
import tensorflow as tf
keras = tf.keras
keras.utils.set_random_seed(3)
kind, path, answers = sys.argv[1:]
L = keras.layers
if kind == "sequence":
    model = keras.Sequential([
        L.Input((12, 12, 1)), L.Conv2D(6, 3, activation="relu", kernel_regularizer=keras.regularizers.L2(1e-4)),
        L.MaxPooling2D(), L.Flatten(), L.Dropout(0.2), L.Dense(5), L.Softmax()])
elif kind in ("nested", "twice"):
    first, then = keras.Input((12, 12, 1)), keras.Input((10, 10, 6))
    base = keras.Model(first, L.Conv2D(6, 3)(first), name="base")
    block = keras.Model(then, L.Add()([L.Conv2D(6, 3, padding="same")(then), then]), name="block")
    tail = keras.Sequential([L.Input((10, 10, 6)), L.Conv2D(4, 1), L.BatchNormalization(), L.ReLU()], name="tail")
    if kind == "nested":
        end = [L.Flatten(), L.Dense(5, activation="softmax")]
        model = keras.Sequential([L.Input((12, 12, 1)), base, block, tail, *end])
    else:
        image = keras.Input((12, 12, 1))
        x = block(block(base(image)))
        model = keras.Model(image, L.Dense(5, activation="softmax")(L.Flatten()(L.Concatenate()([tail(x), x]))))
else:
    image = keras.Input((None, None, 3) if kind == "open" else (16, 12, 3))
    x = L.Conv2D(8, 3, padding="same", use_bias=False)(image)
    x = L.ReLU(max_value=6)(L.BatchNormalization()(x))
    y = L.DepthwiseConv2D(3, padding="same")(x)
    y = L.Conv2D(8, 1, activation="relu")(y)
    x = L.Add()([x, y])
    x = L.GlobalAveragePooling2D()(x)
    model = keras.Model(image, L.Dense(4, activation="softmax")(x))
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            draw = np.random.default_rng(0)
            layer.set_weights([draw.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
model.save(path)
pixels = np.random.default_rng(1).random((3, *[side or 16 for side in model.input_shape[1:]])).astype("float32")
np.savez(answers, pixels=pixels, answers=model.predict(pixels, verbose=0))
"""


def made(kind: str, path: Path, *, legacy: bool) -> tuple[np.ndarray, np.ndarray]:
    """A model file by tf_keras or Keras 3, in a process of its own; images and the original's answers."""
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1" if legacy else "0", "TF_CPP_MIN_LOG_LEVEL": "3"}
    answers = path.with_name("answers.npz")
    subprocess.run(
        [sys.executable, "-c", MAKE, kind, str(path), str(answers)], env=environment, check=True, capture_output=True
    )
    with np.load(answers) as stored:
        return stored["pixels"], stored["answers"]


def probabilities(path: Path, pixels: np.ndarray) -> np.ndarray:
    logits = load_model(path)(pixels).numpy().astype(np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("kind", "suffix", "legacy"),
    [
        ("graph", ".h5", True),
        ("sequence", ".keras", False),
        ("nested", ".h5", True),
        ("twice", ".keras", False),
        pytest.param("nested", ".keras", True, marks=pytest.mark.slow),
        pytest.param("nested", ".keras", False, marks=pytest.mark.slow),
        pytest.param("nested", ".h5", False, marks=pytest.mark.slow),
        pytest.param("twice", ".keras", True, marks=pytest.mark.slow),
        pytest.param("twice", ".h5", True, marks=pytest.mark.slow),
        pytest.param("twice", ".h5", False, marks=pytest.mark.slow),
        pytest.param("sequence", ".keras", True, marks=pytest.mark.slow),
        pytest.param("graph", ".keras", False, marks=pytest.mark.slow),
        pytest.param("sequence", ".h5", False, marks=pytest.mark.slow),
    ],
)
def test_a_model_of_any_keras_answers_as_before(kind, suffix, legacy, tmp_path) -> None:
    pixels, answers = made(kind, tmp_path / f"theirs{suffix}", legacy=legacy)
    found = import_model(tmp_path / f"theirs{suffix}", tmp_path / "ours.keras")
    assert found.input_shape == pixels.shape[1:]
    assert found.classes == answers.shape[1]
    assert found.softmax
    assert not found.barriers
    assert np.abs(probabilities(tmp_path / "ours.keras", pixels) - answers).max() < 1e-6


@pytest.mark.slow
def test_another_range_of_pixels_becomes_a_layer_and_an_open_size_is_filled(tmp_path) -> None:
    pixels, answers = made("open", tmp_path / "theirs.h5", legacy=True)
    with pytest.raises(ValueError, match=r"open shape|fixed size"):
        import_model(tmp_path / "theirs.h5")
    found = import_model(tmp_path / "theirs.h5", tmp_path / "ours.keras", input_range="-1..1", resolution=(16, 16))
    assert found.input_shape == (16, 16, 3)
    assert any("-1..1" in note for note in found.notes)
    assert np.abs(probabilities(tmp_path / "ours.keras", (pixels + 1) / 2) - answers).max() < 1e-6


@pytest.mark.skipif(not RESNET.is_file(), reason="the pretrained network of MLPerf Tiny is not here")
def test_a_real_published_network_is_read(tmp_path) -> None:
    found = import_model(RESNET, tmp_path / "ours.keras", input_range="0..255")
    assert (found.input_shape, found.classes, found.params) == ((32, 32, 3), 10, 78_666 + 6)


def conv(name: str, source: str, **settings: object) -> dict:
    config = {"name": name, "filters": 4, "kernel_size": [1, 1], "activation": "linear", **settings}
    return {"class_name": "Conv2D", "name": name, "config": config, "inbound_nodes": [[[source, 0, 0, {}]]]}


def described(*rows: dict) -> dict:
    image = {"class_name": "InputLayer", "config": {"name": "image", "batch_input_shape": [None, 8, 8, 3]}}
    layers = [{**image, "name": "image", "inbound_nodes": []}, *rows]
    config = {"name": "net", "layers": layers, "input_layers": [["image", 0, 0]]}
    return {"class_name": "Functional", "config": {**config, "output_layers": [[rows[-1]["name"], 0, 0]]}}


def test_a_clean_description_passes_and_initialisers_go() -> None:
    start = conv("a", "image", kernel_initializer={"class_name": "Orthogonal", "config": {}})
    config = clean(described(start)).config
    assert config["layers"][1]["config"] == {
        "name": "a", "filters": 4, "kernel_size": [1, 1], "activation": "linear",
    }  # fmt: skip


def test_norms_follow_a_short_fine_tuning() -> None:
    norm = {"name": "n", "axis": [3], "momentum": 0.99, "epsilon": 0.001}
    row = {"class_name": "BatchNormalization", "name": "n", "config": norm, "inbound_nodes": [[["a", 0, 0, {}]]]}
    found = clean(described(conv("a", "image"), row))
    assert found.config["layers"][2]["config"] == {**norm, "momentum": 0.9}
    assert any("momentum 0.9" in note for note in found.notes)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({**conv("a", "image"), "class_name": "Lambda"}, "layer a is a 'Lambda', which is not read"),
        ({**conv("a", "image"), "class_name": "TFOpLambda"}, "no operator of TensorFlow"),
        ({**conv("a", "image"), "class_name": "os.system"}, "is a 'os.system'"),
        (conv("a", "image", activation={"class_name": "function", "config": "system", "module": "os"}), "activation"),
        (conv("a", "image", activation="exec"), "activation 'exec'"),
        (conv("a", "image", filters={"class_name": "function", "config": "eval"}), "its filters is not a number"),
        ({**conv("a", "image"), "inbound_nodes": [[["image", 0, 0, {"training": {"x": 1}}]]]}, "further arguments"),
        (conv("a", "image", activation="sigmoid"), "ends in a with sigmoid"),
        ({"class_name": "Conv2D", "name": "a", "config": None, "inbound_nodes": []}, "no description"),
    ],
)
def test_what_could_run_code_or_is_no_classifier_is_refused(row, words) -> None:
    with pytest.raises(ValueError, match=words):
        clean(described(row))


def test_models_within_models_have_a_depth_and_layers_a_number() -> None:
    deep = described(conv("a", "image"))
    for place in range(10):
        row = {**copy.deepcopy(deep), "name": f"inner{place}", "inbound_nodes": [[["image", 0, 0, {}]]]}
        deep = described(row)
    with pytest.raises(ValueError, match="models within models"):
        clean(deep)
    with pytest.raises(ValueError, match="more than 5,000 layers"):
        clean(described(*(conv(f"c{place}", "image") for place in range(5_001))))


def test_files_that_are_no_models_are_refused_with_the_cause(tmp_path) -> None:
    (tmp_path / "words.h5").write_text("not HDF5")
    with pytest.raises(ValueError, match=r"neither a \.keras zip nor HDF5"):
        import_model(tmp_path / "words.h5")
    with pytest.raises(ValueError, match="there is no model file"):
        import_model(tmp_path / "none.keras")
    with pytest.raises(ValueError, match="does not end in"):
        import_model(tmp_path / "model.pt")
    huge = described(conv("a", "image", filters=2**40))
    with zipfile.ZipFile(tmp_path / "huge.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(huge))
        archive.writestr("model.weights.h5", b"")
    with pytest.raises(ValueError, match=r"huge\.keras cannot be read"):
        import_model(tmp_path / "huge.keras")


def graph_of(*rows: tuple[str, str, list[list[object]], dict[str, object]], ends: list[object]) -> dict[str, object]:
    layers = [
        {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": calls}
        for name, kind, calls, config in rows
    ]
    return {
        "class_name": "Functional",
        "config": {"name": "it", "layers": layers, "input_layers": [["image", 0, 0]], "output_layers": [ends]},
    }


IMAGE = ("image", "InputLayer", [], {"batch_input_shape": [None, 8, 8, 1]})
DENSE = {"units": 3, "activation": "linear"}


@pytest.mark.parametrize(
    ("rows", "ends", "said"),
    [
        (
            [IMAGE, ("one", "Add", [[["image", 0, 0, {}], ["two", 0, 0, {}]]], {}),
             ("two", "ReLU", [[["one", 0, 0, {}]]], {})],
            ["two", 0, 0],
            "read each other in a circle",
        ),
        ([IMAGE, ("one", "ReLU", [[["image", 0, 0, {}]]], {})], ["one", 1, 0], "call 1 of layer one is read"),
        ([IMAGE, ("one", "ReLU", [[["image", 3, 0, {}]]], {})], ["one", 0, 0], "call 3 of layer image is read"),
        ([IMAGE, ("one", "ReLU", [[["gone", 0, 0, {}]]], {})], ["one", 0, 0], "call 0 of layer gone is read"),
        (
            [IMAGE, ("one", "TFOpLambda", [["image", 0, 0, {"y": 2.0, "name": None}]], {"function": "math.multiply"})],
            ["one", 0, 0],
            "math.multiply with a number, which is not read",
        ),
        (
            [IMAGE, ("one", "TFOpLambda", [["image", 0, 0, {}]], {"function": "io.read_file"})],
            ["one", 0, 0],
            "layer one is 'io.read_file', which is not read",
        ),
    ],
)  # fmt: skip
def test_graphs_that_lead_nowhere_are_refused_before_keras_looks_for_their_end(rows, ends, said) -> None:
    with pytest.raises(ValueError, match=said):
        clean(graph_of(*rows, ends=ends))


def test_a_sum_written_in_python_becomes_an_addition() -> None:
    found = clean(
        graph_of(
            IMAGE,
            ("one", "Conv2D", [[["image", 0, 0, {}]]], {"filters": 1, "kernel_size": [1, 1]}),
            ("sum", "TFOpLambda", [["one", 0, 0, {"y": ["image", 0, 0], "name": None}]],
             {"function": "__operators__.add"}),
            ("flat", "Flatten", [[["sum", 0, 0, {}]]], {}),
            ("end", "Dense", [[["flat", 0, 0, {}]]], DENSE),
            ends=["end", 0, 0],
        )
    )  # fmt: skip
    row = next(row for row in found.config["layers"] if row["name"] == "sum")
    assert row["class_name"] == "Add"
    assert row["inbound_nodes"] == [[["one", 0, 0, {}], ["image", 0, 0, {}]]]
