"""Files made to do harm: each is refused with a sentence, in bounded time and memory, and nothing of them runs."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest

from tests.zips import rezipped

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30
MEMORY_BYTES = 2 * 10**9
LAYERS = 10_000


class Canary:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def network(canary: Path | None = None):
    """A small classifier; with a canary its middle layer is a Lambda that writes that file whenever it is called."""
    from zoo.keras import keras

    image = x = keras.Input((8, 8, 1))
    if canary is not None:
        code = f"__import__('pathlib').Path({str(canary)!r}).touch() or x"
        x = keras.layers.Lambda(eval(f"lambda x: {code}"))(x)
    return keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(x)))


def with_lambda(suffix: str) -> Callable[[Path, Path], Path]:
    def make(folder: Path, canary: Path) -> Path:
        path = folder / f"model{suffix}"
        network(canary).save(path)
        canary.unlink()  # building it called the layer
        return path

    return make


def plain(folder: Path) -> Path:
    path = folder / "model.keras"
    network().save(path)
    return path


def arbitrary_module(folder: Path, canary: Path) -> Path:
    def change(entries: dict[str, bytes]) -> None:
        config = json.loads(entries["config.json"])
        config["config"]["layers"][1] |= {"module": "pathlib", "class_name": "Path", "registered_name": "touch"}
        config["config"]["layers"][1]["config"] = {"name": str(canary)}
        entries["config.json"] = json.dumps(config).encode()

    return rezipped(plain(folder), change)


def pickled_weights(folder: Path, canary: Path) -> Path:
    def change(entries: dict[str, bytes]) -> None:
        del entries["model.weights.h5"]
        entries["model.weights.npz"] = entries["data.pkl"] = pickle.dumps(Canary(canary))

    return rezipped(plain(folder), change)


def pickle_for_weights(folder: Path, canary: Path) -> Path:
    return rezipped(plain(folder), lambda entries: entries.update({"model.weights.h5": pickle.dumps(Canary(canary))}))


def huge_tensor(folder: Path, canary: Path) -> Path:
    """The kernel says it holds ten billion bytes; none of them is stored."""
    path = folder / "model.h5"
    network().save(path)
    with h5py.File(path, "r+") as file:
        found: list[str] = []
        file["model_weights"].visit(lambda name: found.append(name) if name.endswith("kernel:0") else None)
        del file["model_weights"][found[0]]
        file["model_weights"].create_dataset(found[0], shape=(50_000, 50_000), dtype="f4", chunks=(1000, 1000))
    return path


def circle(folder: Path, canary: Path) -> Path:
    def change(entries: dict[str, bytes]) -> None:
        config = json.loads(entries["config.json"])
        layers = config["config"]["layers"]
        flatten, dense = layers[1]["name"], layers[2]["name"]
        entries["config.json"] = entries["config.json"].replace(
            json.dumps(layers[1]["inbound_nodes"]).encode(),
            json.dumps([[[dense, 0, 0, {}]]]).encode(),
        )
        assert flatten != dense

    return rezipped(plain(folder), change)


def many_layers(folder: Path, canary: Path) -> Path:
    def change(entries: dict[str, bytes]) -> None:
        config = json.loads(entries["config.json"])
        layers = config["config"]["layers"]
        last = layers[0]["name"]
        rows = []
        for number in range(LAYERS):
            name = f"r{number}"
            rows.append({"module": "keras.layers", "class_name": "ReLU", "name": name, "config": {"name": name},
                         "registered_name": None, "inbound_nodes": [[[last, 0, 0, {}]]]})  # fmt: skip
            last = name
        layers[1]["inbound_nodes"] = [[[last, 0, 0, {}]]]
        config["config"]["layers"] = [layers[0], *rows, *layers[1:]]
        entries["config.json"] = json.dumps(config).encode()

    return rezipped(plain(folder), change)


def saved_model(folder: Path, canary: Path) -> Path:
    """A SavedModel that reads a file and writes one when it is called."""
    from zoo.keras import tf

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 1), tf.float32)])
        def __call__(self, image):
            secret = tf.io.read_file("/etc/passwd")
            with tf.control_dependencies([tf.io.write_file(str(canary), secret)]):
                return tf.identity(image)

    tf.saved_model.save(Module(), str(folder / "model"))
    return folder / "model"


def zipped_saved_model(folder: Path, canary: Path) -> Path:
    """The same in a zip, with an entry that would leave its folder."""
    model = saved_model(folder, canary)
    packed = Path(shutil.make_archive(str(folder / "packed"), "zip", model.parent, model.name))
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(f"{model.name}/variables/../../../{canary.name}", "left its folder")
    return packed.rename(folder / "model.zip")


def truncated(suffix: str) -> Callable[[Path, Path], Path]:
    def make(folder: Path, canary: Path) -> Path:
        path = folder / f"model{suffix}"
        whole = float_file(folder) if suffix == ".tflite" else plain(folder).read_bytes()
        path.write_bytes(whole[: len(whole) * 2 // 3])
        return path

    return make


def float_file(folder: Path) -> bytes:
    from zoo.keras import tf

    model = network()
    forward = tf.function(lambda image: model(image, training=False), autograph=False)
    concrete = forward.get_concrete_function(tf.TensorSpec((1, 8, 8, 1), tf.float32, name="image"))
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()


def changed_tflite(change: Callable[[object], None]) -> Callable[[Path, Path], Path]:
    def make(folder: Path, canary: Path) -> Path:
        import flatbuffers

        from exports.tflite_file import parse

        model = parse(float_file(folder)).model
        change(model)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        (folder / "model.tflite").write_bytes(bytes(builder.Output()))
        return folder / "model.tflite"

    return make


def huge_shape(model) -> None:
    main = model.subgraphs[0]
    main.tensors[int(main.inputs[0])].shape = np.array([1, 50_000, 50_000, 1], np.int32)


def self_reading(model) -> None:
    operators = model.subgraphs[0].operators
    operators[0].inputs = np.array([int(operators[-1].outputs[0]), *list(operators[0].inputs)[1:]], np.int32)


IMPORTED = {
    "a Lambda in .keras": with_lambda(".keras"),
    "a Lambda in .h5": with_lambda(".h5"),
    "an arbitrary module": arbitrary_module,
    "pickled weights in the zip": pickled_weights,
    "a pickle in place of HDF5": pickle_for_weights,
    "a tensor of 10 GB": huge_tensor,
    "a graph in a circle": circle,
    "ten thousand layers": many_layers,
    "a SavedModel that reads and writes files": saved_model,
    "a SavedModel in a zip that leaves its folder": zipped_saved_model,
    "a file cut short": truncated(".keras"),
}
INSPECTED = {
    "a flatbuffer cut short": truncated(".tflite"),
    "operators in a circle": changed_tflite(self_reading),
}


def watched(*words: str) -> tuple[int, str, float, int]:
    """Exit code, what was said, seconds and the most memory of the command and all its children together."""
    begun = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", "pipelines", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    most = 0
    while child.poll() is None and time.monotonic() - begun < 4 * PATIENCE_S:
        try:
            process = psutil.Process(child.pid)
            most = max(most, sum(one.memory_info().rss for one in (process, *process.children(recursive=True))))
        except psutil.Error:
            pass
        time.sleep(0.05)
    if child.poll() is None:
        child.kill()
    out, err = child.communicate()
    return child.returncode, out + err, time.monotonic() - begun, most


def refused(path: Path, canary: Path, *words: str) -> str:
    code, said, seconds, most = watched(*words)
    assert code == 2, said
    assert "Traceback" not in said
    assert path.name.split(".")[0] in said or "model" in said
    assert seconds < PATIENCE_S, f"{seconds:.1f} s"
    assert most < MEMORY_BYTES, f"{most / 1e9:.2f} GB"
    assert not canary.exists(), "something of the file was executed"
    return said


@pytest.mark.slow
@pytest.mark.parametrize("what", IMPORTED)
def test_a_hostile_model_is_refused(what, tmp_path):
    canary = tmp_path / "executed"
    path = IMPORTED[what](tmp_path, canary)
    said = refused(path, canary, "import", str(path))
    if "SavedModel" in what:
        assert "operation WriteFile" in said or "operation ReadFile" in said


@pytest.mark.slow
@pytest.mark.parametrize("command", [("inspect",), ("inspect", "--target", "mcu"), ("lint",)])
@pytest.mark.parametrize("what", INSPECTED)
def test_a_hostile_file_is_refused(what, command, tmp_path):
    canary = tmp_path / "executed"
    path = INSPECTED[what](tmp_path, canary)
    refused(path, canary, command[0], str(path), *command[1:])


@pytest.mark.slow
def test_a_shape_of_10_gb_is_counted_and_not_reserved(tmp_path):
    path = changed_tflite(huge_shape)(tmp_path, tmp_path / "executed")
    code, said, seconds, most = watched("inspect", str(path), "--target", "mcu", "--json")
    assert (code, most < MEMORY_BYTES, seconds < PATIENCE_S) == (0, True, True), said
    assert json.loads(said[said.index("{") :])["arena_bytes"] >= 10**10
