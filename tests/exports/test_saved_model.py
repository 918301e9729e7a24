"""SavedModels: read operation by operation, built anew with equal answers, refused where they could do more."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exports import import_model, load_model
from exports.saved_model import GRAPH, READ, read_saved_model
from exports.saved_model_layers import plan_of
from tests.exports.test_zoo_files import lively
from tests.zoo.designs import NAMES, small

# Writes one network with every way a Keras here knows, and the answers; `open` leaves the size of its image open.
MAKE = """
import sys
import numpy as np
import tensorflow as tf
keras = tf.keras
L = keras.layers
keras.utils.set_random_seed(3)
way, path, answers, size = sys.argv[1:]
image = keras.Input((None, None, 3) if size == "open" else (16, 12, 3))
x = L.Rescaling(1 / 0.5, offset=-1.0)(image)
x = L.Conv2D(8, 3, strides=2, use_bias=False, padding="same")(x)
x = L.ReLU(max_value=6)(L.BatchNormalization(epsilon=2e-3)(x))
y = L.DepthwiseConv2D(3, padding="same", dilation_rate=2)(x)
y = L.Conv2D(8, 1, activation="swish")(y)
x = L.Concatenate()([L.Add()([x, y]), L.PReLU(shared_axes=[1, 2])(y)])
gate = L.Conv2D(16, 1, activation="sigmoid")(L.GlobalAveragePooling2D(keepdims=True)(x))
x = L.Multiply()([x, gate])
x = L.LeakyReLU(0.1)(L.BatchNormalization(scale=False)(x))
if size == "open":
    x = L.GlobalMaxPooling2D()(x)
else:
    x = L.Flatten()(L.MaxPooling2D(2)(L.ZeroPadding2D(1)(x)))
x = L.BatchNormalization(center=False)(L.Dropout(0.2)(x))
model = keras.Model(image, L.Dense(5, activation="softmax")(x))
draw = np.random.default_rng(0)
model.set_weights([draw.uniform(0.5, 1.5, w.shape) if w.ndim == 1 else w for w in model.get_weights()])
model.save(path) if way == "save" else model.export(path)
pixels = np.random.default_rng(1).random((3, *[side or 16 for side in model.input_shape[1:]])).astype("float32")
np.savez(answers, pixels=pixels, answers=model.predict(pixels, verbose=0))
"""
WAYS = {"save of tf_keras": ("save", "1"), "export of tf_keras": ("export", "1"), "export of Keras 3": ("export", "0")}


def made(way: str, folder: Path, size: str = "whole") -> tuple[Path, np.ndarray, np.ndarray]:
    """A SavedModel written in a process of its own; images and the original's answers."""
    words, legacy = WAYS[way]
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": legacy, "TF_CPP_MIN_LOG_LEVEL": "3"}
    path, answers = folder / "theirs", folder / "answers.npz"
    subprocess.run(
        [sys.executable, "-c", MAKE, words, str(path), str(answers), size],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    with np.load(answers) as stored:
        return path, stored["pixels"], stored["answers"]


def probabilities(path: Path, pixels: np.ndarray) -> np.ndarray:
    logits = load_model(path)(pixels).numpy().astype(np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def saved(folder: Path, forward: Callable[..., Any], *variables: Any, **specs: Any) -> Path:
    """A SavedModel of a function of one image of 8 x 8 and 4 channels, or of the tensors named."""
    from zoo.keras import tf

    module = tf.Module()
    module.held = variables
    specs = specs or {"image": tf.TensorSpec((None, 8, 8, 4), tf.float32)}
    named = [tf.TensorSpec(one.shape, one.dtype, name=name) for name, one in specs.items()]
    function = tf.function(forward, autograph=False, input_signature=named)
    module.forward = function
    tf.saved_model.save(module, str(folder / "model"), signatures=function.get_concrete_function())
    return folder / "model"


def read(path: Path, scratch: Path) -> Any:
    plan, _ = plan_of(read_saved_model(path, scratch), None)
    return plan.build()


@pytest.mark.parametrize("way", WAYS)
def test_what_any_keras_saves_answers_as_before(way, tmp_path) -> None:
    path, pixels, answers = made(way, tmp_path)
    found = import_model(path, tmp_path / "ours.keras")
    assert found.input_shape == pixels.shape[1:]
    assert found.classes == answers.shape[1]
    assert found.softmax
    assert not found.barriers
    assert np.abs(probabilities(tmp_path / "ours.keras", pixels) - answers).max() < 1e-6
    kinds = [type(layer).__name__ for layer in load_model(tmp_path / "ours.keras").layers]
    # One layer for each of theirs: norms are whole, biases inside, PReLU and swish known.
    assert {kind: kinds.count(kind) for kind in ("BatchNormalization", "PReLU", "Conv2D", "Dense", "Activation")} == {
        "BatchNormalization": 3, "PReLU": 1, "Conv2D": 3, "Dense": 1, "Activation": 2,
    }  # fmt: skip
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "theirs")
    again = import_model(packed)
    assert (again.params, again.layers) == (found.params, found.layers)
    assert again.sha256 != found.sha256


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_an_open_size_is_filled_and_another_range_becomes_a_layer(way, tmp_path) -> None:
    path, pixels, answers = made(way, tmp_path, "open")
    with pytest.raises(ValueError, match="open shape"):
        import_model(path)
    found = import_model(path, tmp_path / "ours.keras", input_range="-1..1", resolution=(16, 16))
    assert found.input_shape == (16, 16, 3)
    assert any("-1..1" in note for note in found.notes)
    assert np.abs(probabilities(tmp_path / "ours.keras", (pixels + 1) / 2) - answers).max() < 1e-6


QUICK = ("mobilenet_v3", "shufflenet_v2")


@pytest.mark.parametrize("name", [one if one in QUICK else pytest.param(one, marks=pytest.mark.slow) for one in NAMES])
def test_every_network_of_the_zoo_comes_back(name, tmp_path) -> None:
    model = lively(name, small(name))
    from zoo.keras import tf

    spec = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)
    path = saved(tmp_path, lambda image: model(image, training=False), *model.variables, image=spec)
    again = read(path, tmp_path)
    pixels = np.random.default_rng(0).random((2, *model.input_shape[1:]), dtype="float32")
    wanted = model(pixels, training=False).numpy()
    np.testing.assert_allclose(again(pixels, training=False).numpy(), wanted, atol=1e-5 * np.abs(wanted).max())
    kinds = [[type(layer).__name__ for layer in one.layers] for one in (model, again)]
    ours, theirs = ({kind: some.count(kind) for kind in some if kind != "Dropout"} for some in kinds)
    # Layers that learn their groups come as whole convolutions, everything else as what it was.
    learning = [kind for kind in ours if kind.startswith(("Condensing", "Learned"))]
    assert bool(learning) == (ours != theirs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["MobileNetV3Small", "MobileNetV2", "EfficientNetB0", "EfficientNetV2B0", "DenseNet121", "ResNet50V2",
             "NASNetMobile", "Xception", "InceptionV3", "VGG16"]
)  # fmt: skip
def test_networks_of_keras_applications_come_in(name, tmp_path) -> None:
    from zoo.keras import keras, tf

    model = getattr(keras.applications, name)(weights=None, input_shape=(96, 96, 3), classes=10)
    draw = np.random.default_rng(0)
    model.set_weights([draw.uniform(0.5, 1.5, one.shape) if one.ndim == 1 else one for one in model.get_weights()])
    spec = tf.TensorSpec((None, 96, 96, 3), tf.float32)
    path = saved(tmp_path, lambda image: model(image, training=False), *model.variables, image=spec)
    found = import_model(path, tmp_path / "ours.keras")
    assert found.softmax
    pixels = draw.random((2, 96, 96, 3), dtype="float32")
    wanted = model(pixels, training=False).numpy()
    assert np.abs(probabilities(tmp_path / "ours.keras", pixels) - wanted).max() < 1e-5


def test_operations_of_plain_tensorflow_become_the_layers_they_mean(tmp_path) -> None:
    from zoo.keras import tf

    draw = np.random.default_rng(0)
    kernel, scale, dense = (tf.Variable(draw.normal(size=size).astype("float32")) for size in ((3, 3, 2, 8), 8, (8, 3)))

    def forward(image):
        x = tf.nn.conv2d(image, kernel, 1, [[0, 0], [1, 0], [0, 1], [0, 0]]) * scale + 0.5
        x = tf.nn.relu6(x + 3.0) / 6.0
        x = tf.transpose(tf.reshape(x, (-1, 7, 7, 2, 4)), (0, 1, 2, 4, 3))
        x = tf.reshape(x, (-1, 7, 7, 8))
        left, right = tf.split(x, 2, axis=-1)
        x = tf.concat([right, tf.maximum(left, right)], axis=-1)[:, 1:, :, :]
        return tf.squeeze(tf.reduce_mean(scale * x, (1, 2), keepdims=True), (1, 2)) @ dense - (0.25 - scale[:3] * 2.0)

    path = saved(tmp_path, forward, kernel, scale, dense)
    again = read(path, tmp_path)
    pixels = draw.random((2, 8, 8, 4), dtype="float32")
    np.testing.assert_allclose(again(pixels), forward(tf.constant(pixels)), atol=1e-6)
    kinds = [type(layer).__name__ for layer in again.layers]
    assert kinds == [
        "InputLayer", "ZeroPadding2D", "Conv2D", "DepthwiseConv2D", "HardSigmoid", "ChannelShuffle", "ChannelSlice",
        "ChannelSlice", "Maximum", "Concatenate", "Cropping2D", "DepthwiseConv2D",
        "GlobalAveragePooling2D", "Flatten", "Dense",
    ]  # fmt: skip


def _ending(image: Any) -> Any:
    from zoo.keras import tf

    return tf.reduce_mean(image, (1, 2))


def _python(image: Any) -> Any:
    from zoo.keras import tf

    return _ending(tf.ensure_shape(tf.py_function(lambda x: x, [image], tf.float32), (None, 8, 8, 4)))


def _writing(image: Any) -> Any:
    """The file is written by what only has to happen before the answer."""
    from zoo.keras import tf

    with tf.control_dependencies([tf.io.write_file("/tmp/never", "x")]):
        return tf.identity(_ending(image))


def _drawing(image: Any) -> Any:
    from zoo.keras import tf

    return _ending(image * tf.random.uniform(()))


def _looping(image: Any) -> Any:
    from zoo.keras import tf

    return tf.while_loop(lambda x: tf.reduce_sum(x) > 1e9, lambda x: (x / 2,), (_ending(image),))[0]


def _cast(image: Any) -> Any:
    from zoo.keras import tf

    return _ending(tf.cast(tf.cast(image, tf.int32), tf.float32))


def _padded_pool(image: Any) -> Any:
    from zoo.keras import tf

    pads = [0, 0, 1, 1, 1, 1, 0, 0]
    pooled = tf.raw_ops.MaxPool(
        input=image, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="EXPLICIT", explicit_paddings=pads
    )
    return _ending(pooled)


REFUSED = {
    "EagerPyFunc": _python,
    "WriteFile": _writing,
    "RandomUniform": _drawing,
    "While": _looping,
    "whole or shorter": _cast,
    "pads by itself": _padded_pool,
    "does not depend on": lambda image: np.ones((1, 4), np.float32),
    "ends in sigmoid": lambda image: __import__("zoo.keras", fromlist=["tf"]).tf.sigmoid(_ending(image)),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_does_more_than_compute_is_refused_by_name(words, tmp_path) -> None:
    from zoo.keras import tf

    forward = REFUSED[words]
    path = saved(tmp_path, lambda image: tf.identity(forward(image)))
    with pytest.raises(ValueError, match=words):
        import_model(path)
    assert not Path("/tmp/never").exists()


def test_what_is_no_saved_model_or_holds_links_is_refused(tmp_path) -> None:
    from zoo.keras import tf

    dense = tf.Variable(np.ones((3, 2), np.float32))
    colour = tf.TensorSpec((None, 8, 8, 3), tf.float32)
    path = saved(tmp_path, lambda image: _ending(image) @ dense, dense, image=colour)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match=f"no {GRAPH}"):
        import_model(empty)
    (empty / GRAPH).symlink_to(path / GRAPH)
    with pytest.raises(ValueError, match="is a link"):
        import_model(empty)
    shutil.make_archive(str(tmp_path / "two"), "zip", tmp_path / "model")
    shutil.rmtree(path / "variables")
    with pytest.raises(ValueError, match="checkpoint"):
        import_model(path)
    assert import_model(tmp_path / "two.zip").classes == 2
    two = saved(tmp_path / "both", lambda image, other: _ending(image + other), image=colour, other=colour)
    with pytest.raises(ValueError, match="2 inputs"):
        import_model(two)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[bytes, Path]:
    from zoo.keras import tf

    dense = tf.Variable(np.ones((4, 2), np.float32))
    path = saved(tmp_path_factory.mktemp("whole"), lambda image: tf.nn.relu(_ending(image)) @ dense, dense)
    return (path / GRAPH).read_bytes(), path


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_graphs_are_refused_or_read_and_never_loop(data, whole) -> None:
    content, path = bytearray(whole[0]), whole[1]
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    from google.protobuf.message import DecodeError

    (path / GRAPH).write_bytes(bytes(content))
    # What is no sentence of ours is reported by the child as the cause, see `import_here`.
    refusals = (ValueError, DecodeError, AttributeError, IndexError, KeyError, TypeError, NotImplementedError)
    with suppress(*refusals):
        plan_of(read_saved_model(path, path), None)


def test_a_circle_through_functions_ends(whole, tmp_path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel.FromString(whole[0])
    library = model.meta_graphs[0].graph_def.library
    for function in library.function:
        for node in function.node_def:
            if node.op == "Relu":  # it calls the function in which it stands
                node.op = "PartitionedCall"
                node.attr["f"].func.name = function.signature.name
                node.input[:] = [one.name for one in function.signature.input_arg]
    folder = tmp_path / "model"
    shutil.copytree(whole[1], folder)
    (folder / GRAPH).write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="deep"):
        read_saved_model(folder, tmp_path)


def test_a_constant_that_claims_10_gb_is_not_made(whole, tmp_path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel.FromString(whole[0])
    for function in model.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            if node.op == "Const":
                node.attr["value"].tensor.tensor_shape.dim.add(size=2_500_000_000)
    folder = tmp_path / "model"
    shutil.copytree(whole[1], folder)
    (folder / GRAPH).write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="a constant of it has more"):
        plan_of(read_saved_model(folder, tmp_path), None)


def test_nothing_on_the_list_reads_writes_draws_or_calls_out() -> None:
    from tensorflow.python.framework import op_def_registry

    passing = {"PartitionedCall", "StatefulPartitionedCall", "VarHandleOp", "VariableV2", "ReadVariableOp"}
    for kind in READ - passing:
        declared = op_def_registry.get(kind)
        assert declared is not None, f"{kind} is no operation of TensorFlow"
        assert not declared.is_stateful, f"{kind} does more than compute"
