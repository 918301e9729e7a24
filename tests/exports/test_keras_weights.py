"""Weight files of Keras in every layout, and files that are none or that reach out of themselves."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from exports import keras_weights
from exports.keras_weights import read_weights, sha256_of

KERNEL, BIAS = np.arange(12, dtype="float32").reshape(1, 1, 3, 4), np.ones(4, "float32")


@pytest.fixture(scope="module")
def model() -> Any:
    from zoo.keras import keras

    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 1, name="block/one")(image)
    x = keras.layers.BatchNormalization(name="block_bn")(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.SeparableConv2D(5, 3, use_bias=False, name="two")(x)
    x = keras.layers.Conv2D(6, 1, name="a_third")(x)
    return keras.Model(image, keras.layers.Dense(2, name="predictions")(keras.layers.GlobalAveragePooling2D()(x)))


def held(model: Any) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def same(found: dict[str, list[np.ndarray]], wanted: dict[str, list[np.ndarray]]) -> None:
    assert list(found) == list(wanted)
    for name, arrays in wanted.items():
        assert all((one == other).all() for one, other in zip(found[name], arrays, strict=True)), name


@pytest.mark.parametrize("name", ["weights.h5", "whole.h5", "whole.keras"])
def test_named_layers_come_back_in_order(name: str, model: Any, tmp_path: Path) -> None:
    path = tmp_path / name
    (model.save_weights if name == "weights.h5" else model.save)(path)
    read = read_weights(path)
    same(read.tensors, held(model))
    assert read.sha256 == sha256_of(path)


def test_numbered_layers_come_back_by_class(model: Any, tmp_path: Path) -> None:
    model.save_weights(tmp_path / "new.weights.h5")
    found = read_weights(tmp_path / "new.weights.h5").tensors
    wanted = held(model)
    names = {"conv2d": "block/one", "conv2d_1": "a_third", "batch_normalization": "block_bn",
             "separable_conv2d": "two", "dense": "predictions"}  # fmt: skip
    assert set(found) == set(names)
    same({names[name]: found[name] for name in names}, {name: wanted[name] for name in names.values()})


def write(path: Path, layers: list[str] | None = None) -> h5py.File:
    """A file of the published layout with one layer."""
    file = h5py.File(path, "w")
    file.attrs["layer_names"] = np.array(layers or ["conv"], "S")
    group = file.create_group("conv")
    group.attrs["weight_names"] = np.array(["conv/kernel:0", "conv/bias:0"], "S")
    group.create_dataset("conv/kernel:0", data=KERNEL)
    group.create_dataset("conv/bias:0", data=BIAS)
    return file


def test_names_cut_into_several_attributes_are_read(tmp_path: Path) -> None:
    with write(tmp_path / "many.h5") as file:
        del file.attrs["layer_names"]
        file.attrs["layer_names0"] = np.array(["conv"], "S")
        file.attrs["layer_names1"] = np.array(["empty"], "S")
        file.create_group("empty").attrs["weight_names"] = np.array([], "S")
    same(read_weights(tmp_path / "many.h5").tensors, {"conv": [KERNEL, BIAS]})


def damage_text(file: h5py.File) -> None:
    del file["conv/conv/bias:0"]
    file["conv"].create_dataset("conv/bias:0", data=np.array([b"import os"], "S"))


def damage_link(file: h5py.File) -> None:
    del file["conv/conv/bias:0"]
    file["conv/conv/bias:0"] = h5py.ExternalLink("/etc/passwd", "/")


def damage_soft_link(file: h5py.File) -> None:
    file["away"] = h5py.SoftLink("/conv")
    file.attrs["layer_names"] = np.array(["away"], "S")


def damage_storage(file: h5py.File) -> None:
    del file["conv/conv/bias:0"]
    file["conv/conv"].create_dataset("bias:0", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def damage_virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    del file["conv/conv/bias:0"]
    file["conv/conv"].create_virtual_dataset("bias:0", layout)


def damage_size(file: h5py.File) -> None:
    del file["conv/conv/bias:0"]
    file["conv/conv"].create_dataset("bias:0", (2**40,), "f4", chunks=(2**20,), compression="gzip")


def damage_missing(file: h5py.File) -> None:
    file.attrs["layer_names"] = np.array(["conv", "gone"], "S")


def damage_layout(file: h5py.File) -> None:
    del file.attrs["layer_names"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_text, "is not an array of numbers"),
        (damage_link, "is a link, which is not followed"),
        (damage_soft_link, "is a link, which is not followed"),
        (damage_storage, "lies in another file, which is not followed"),
        (damage_virtual, "lies in another file, which is not followed"),
        (damage_size, "more than 2,147,483,648 bytes of numbers"),
        (damage_missing, "lists 'gone', which is not there"),
        (damage_layout, "holds neither layer_names nor layers"),
    ],
)
def test_a_file_that_reaches_out_or_is_none_is_refused(damage: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.h5"
    with write(path) as file:
        damage(file)
    with pytest.raises(ValueError, match=message):
        keras_weights.read_arrays(path, tmp_path)


def test_damaged_bytes_and_other_files_are_refused_by_the_child(tmp_path: Path) -> None:
    good, torn, text = tmp_path / "good.h5", tmp_path / "torn.h5", tmp_path / "text.h5"
    write(good).close()
    torn.write_bytes(good.read_bytes()[:900])
    text.write_text("no weights")
    for path in (torn, text):
        with pytest.raises(ValueError, match=f"{path.name} cannot be read as weights of Keras"):
            read_weights(path)
    with pytest.raises(ValueError, match="there is no weight file at"):
        read_weights(tmp_path / "gone.h5")


def test_a_larger_file_than_any_published_one_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_weights, "MOST_BYTES", 1000)
    write(tmp_path / "good.h5").close()
    with pytest.raises(ValueError, match="at most 1,000 are read"):
        read_weights(tmp_path / "good.h5")


@pytest.mark.parametrize(
    ("config", "message"), [(None, "without config.json"), ({"class_name": "Sequential"}, "lists no layers")]
)
def test_a_zip_that_is_no_functional_model_is_refused(config: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", b"")
        if config is not None:
            archive.writestr("config.json", json.dumps(config))
    with pytest.raises(ValueError, match=message):
        keras_weights.read_arrays(path, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras.*")
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_files_of_keras_3_fit_as_well(tmp_path: Path) -> None:
    """It names layers otherwise than tf_keras does, and numbers them in its own format."""
    import keras as keras_3

    import zoo
    from zoo.weights import WEIGHTS, assign

    theirs = keras_3.applications.MobileNetV3Small(
        weights=None, alpha=0.75, input_shape=(128, 128, 3), classes=7, classifier_activation=None
    )
    theirs.save_weights(tmp_path / "new.weights.h5")
    theirs.save(tmp_path / "whole.keras")
    theirs.save(tmp_path / "whole.h5")
    pixels = np.random.default_rng(1).integers(0, 256, (2, 128, 128, 3)).astype("float32")
    wanted = np.asarray(theirs(pixels, training=False))
    options = zoo.architecture("mobilenet_v3").settle({"variant": "small"})
    for name, found_by in (("new.weights.h5", "class"), ("whole.keras", "order"), ("whole.h5", "order")):
        ours = zoo.build("mobilenet_v3", width=0.75, resolution=128, classes=7, affine=True, variant="small")
        found = assign(ours, WEIGHTS["mobilenet_v3"], read_weights(tmp_path / name).tensors, options, classifier=True)
        assert found.found_by == found_by
        np.testing.assert_allclose(ours(pixels / 255, training=False), wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_scratch_files_are_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "good.h5").close()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(keras_weights.tempfile, "tempdir", str(scratch))
    read_weights(tmp_path / "good.h5")
    assert list(scratch.iterdir()) == []
    shutil.rmtree(scratch)
