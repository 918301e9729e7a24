"""Skew: every planted mistake is named from what the device answered, and a right pipeline is not accused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exports import Contract, predict, save_model, write
from pipelines.__main__ import main
from pipelines.data import RESIZE, RESIZES, Dataset, open_dataset
from pipelines.device_answers import DeviceAnswers, read_device_answers
from pipelines.skew import in_words, skew

SIDE = 24
SPLIT = "validation"


def photo_patches(folder: Path) -> None:
    """Patches of scikit-learn's two photos, 72 x 48 pixels, as a folder: the classes are the photos' halves."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(5)
    for name, photo in zip(("temple", "flower"), load_sample_images().images, strict=True):
        for side, half in (("left", photo[:, :320]), ("right", photo[:, 320:])):
            into = folder / f"{name}_{side}"
            into.mkdir(parents=True)
            for number in range(220):
                top, left = int(rng.integers(427 - 48)), int(rng.integers(320 - 72))
                Image.fromarray(half[top : top + 48, left : left + 72]).save(into / f"{number:03d}.png")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Dataset]:
    """Opens the patches at 24 x 24 by any way of resizing."""
    folder, cache = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("cache")
    photo_patches(folder)
    return lambda resize=RESIZE: open_dataset(
        f"folder:{folder}", resolution=SIDE, resize=resize, validation=0.3, test=0.1, cache=cache
    )


@pytest.fixture(scope="module")
def files(photos, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Contract]]:
    """A network trained on the patches, as float and int8 TFLite fed 0..255, and as a Keras file fed 0..1."""
    from zoo.keras import keras

    data = photos()
    train = data.splits["train"]
    keras.utils.set_random_seed(2)
    layers = keras.layers
    image = x = keras.Input((SIDE, SIDE, 3), name="image")
    for channels in (16, 32, 32):
        x = layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.8)(x))
    model = keras.Model(image, layers.Dense(4, name="logits")(layers.Flatten()(x)), name="patches")
    model.compile(keras.optimizers.Adam(0.003), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(np.asarray(train.images) / np.float32(255), train.labels, epochs=25, batch_size=32, verbose=0)
    folder = tmp_path_factory.mktemp("files")
    save_model(model, folder / "model.keras")
    found = {}
    for form in ("tflite_float32", "tflite_int8", "keras"):
        written = write(folder / "model.keras", form, folder, name="patches", labels=data.classes,
                        calibration=np.asarray(train.images[:100]))  # fmt: skip
        found[form] = written.path, written.contract
    part = data.splits[SPLIT]
    answers = predict(*found["tflite_float32"], np.asarray(part.images)).argmax(1)
    assert (answers == part.labels).mean() > 0.75
    return found


def raw_answers(path: Path, values: np.ndarray) -> np.ndarray:
    """What an app gets that knows no contract: its own numbers into the interpreter, the raw output out."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    image, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    given = []
    for one in values:
        interpreter.set_tensor(image["index"], one[None].astype(image["dtype"]))
        interpreter.invoke()
        given.append(interpreter.get_tensor(answer["index"])[0])
    return np.stack(given)


def originals(photos: Callable[..., Dataset]) -> list[Image.Image]:
    data = photos()
    folder = Path(data.source.removeprefix("folder:"))
    return [Image.open(folder / name).convert("RGB") for name in data.splits[SPLIT].ids]


def resized(image: Image.Image, resample: Image.Resampling) -> np.ndarray:
    return np.asarray(image.resize((SIDE, SIDE), resample), np.float32)


def cropped(image: Image.Image) -> np.ndarray:
    return resized(image.crop((12, 0, 60, 48)), Image.Resampling.BILINEAR)


def planar(pixels: np.ndarray) -> np.ndarray:
    return np.moveaxis(pixels, -1, 0).ravel().reshape(pixels.shape)


# What an app did, written apart from the product's own way of doing it -> the name the product must find.
PLANTED = {
    "range_0_1": lambda image, right: right / 255,
    "range_-1_1": lambda image, right: (right - 127.5) / 127.5,
    "bgr": lambda image, right: right[..., [2, 1, 0]],
    "planar": lambda image, right: planar(right),
    "nearest, stretch": lambda image, right: resized(image, Image.Resampling.NEAREST),
    "bilinear antialias, centre crop": lambda image, right: cropped(image),
    "bicubic antialias, stretch": lambda image, right: resized(image, Image.Resampling.BICUBIC),
}


def found_by(photos: Any, file: tuple[Path, Contract], told: np.ndarray, *, scores: bool) -> dict[str, Any]:
    places = np.arange(len(told))
    answers = DeviceAnswers(places, told.argmax(1), told.astype(np.float64) if scores else None)
    return skew(*file, photos, SPLIT, count=10_000, answers=lambda data: answers)


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_mistake_is_named_from_the_scores(fault, photos, files):
    right = np.asarray(photos().splits[SPLIT].images, np.float32)
    wrong = np.stack([PLANTED[fault](*pair) for pair in zip(originals(photos), right, strict=True)])
    told = raw_answers(files["tflite_float32"][0], wrong)
    found = found_by(photos, files["tflite_float32"], told, scores=True)
    assert found["by_answers"]["fault"] == fault, found["by_answers"]
    softmax = np.exp(told - told.max(1, keepdims=True))
    found = found_by(photos, files["tflite_float32"], softmax / softmax.sum(1, keepdims=True), scores=True)
    assert found["by_answers"]["fault"] == fault, "a device may give probabilities"
    assert "What helps" in in_words(found)[0]


@pytest.mark.parametrize("fault", ["range_0_1", "bgr", "planar", "nearest, stretch", "bilinear antialias, centre crop"])
def test_classes_alone_are_enough_for_mistakes_that_change_answers(fault, photos, files):
    right = np.asarray(photos().splits[SPLIT].images, np.float32)
    wrong = np.stack([PLANTED[fault](*pair) for pair in zip(originals(photos), right, strict=True)])
    told = raw_answers(files["tflite_float32"][0], wrong)
    assert found_by(photos, files["tflite_float32"], told, scores=False)["by_answers"]["fault"] == fault


def test_undivided_pixels_are_named_for_a_file_that_wants_0_to_1(photos, files):
    from exports import load_model

    path = files["keras"][0]
    images = np.asarray(photos().splits[SPLIT].images, np.float32)
    told = load_model(path)(images, training=False).numpy()
    found = found_by(photos, files["keras"], told, scores=True)
    assert found["by_answers"]["fault"] == "range_0_255"
    assert {row["fault"] for row in found["rows"]} >= {"range_0_255", "range_-1_1", "bgr", "planar"}
    assert set(found["left_out"]) == {"range_0_1", "unshifted"}


def test_bytes_that_were_not_shifted_are_named_for_an_int8_file(photos, files):
    path, contract = files["tflite_int8"]
    images = np.asarray(photos().splits[SPLIT].images)
    told = contract.logits_from_raw(raw_answers(path, images.view(np.int8)))
    assert found_by(photos, files["tflite_int8"], told, scores=True)["by_answers"]["fault"] == "unshifted"


@pytest.mark.parametrize("form", ["tflite_float32", "tflite_int8"])
@pytest.mark.parametrize("kernels", ["xnnpack", "reference"])
def test_a_right_pipeline_is_not_accused(form, kernels, photos, files):
    images = np.asarray(photos().splits[SPLIT].images)
    told = predict(*files[form], images, kernels=kernels)
    for scores in (True, False):
        found = found_by(photos, files[form], told, scores=scores)
        assert found["by_answers"]["fault"] is None
        assert found["by_answers"]["explained"]
        assert found["by_labels"]["fault"] is None
        assert "as declared" in in_words(found)[0]


def test_answers_of_another_network_are_not_explained(photos, files):
    rng = np.random.default_rng(1)
    told = rng.normal(size=(len(photos().splits[SPLIT]), 4))
    found = found_by(photos, files["tflite_float32"], told, scores=True)
    assert (found["by_answers"]["fault"], found["by_answers"]["explained"]) == (None, False)
    assert "None of these mistakes" in in_words(found)[0]


def test_a_wrong_declaration_is_found_by_labels_alone(photos, files):
    path, contract = files["keras"]
    declared = dataclasses.replace(contract, input=dataclasses.replace(contract.input, pixel_scale=1.0))
    found = skew(path, declared, photos, SPLIT, count=10_000)
    assert found["by_labels"]["fault"] == "range_0_1"
    assert "wants pixels 0..1" in in_words(found)[0]


@pytest.mark.parametrize("resize", RESIZES)
def test_every_way_of_resizing_gives_the_same_images_in_the_same_order(resize, photos):
    data, usual = photos(resize), photos()
    assert data.resize == resize
    assert data.manifest_sha256 == usual.manifest_sha256
    assert data.splits["test"].ids == usual.splits["test"].ids
    assert (data.splits["test"].images != usual.splits["test"].images).any() == (resize != RESIZE)


def test_images_of_the_right_size_are_the_same_in_every_way(tmp_path):
    def digits(resize: str) -> Dataset:
        return open_dataset("digits", channels=3, resize=resize, cache=tmp_path)

    with pytest.raises(ValueError, match="resize 'squint' is not offered"):
        digits("squint")
    assert (digits("nearest, stretch").splits["test"].images == digits(RESIZE).splits["test"].images).all()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "image,answer\nnobody.png,temple_left\n", "no image 'nobody.png' in this split"),
        ("a.csv", "file,answer\n", "takes a heading image,answer"),
        ("a.csv", "image,answer\n", "takes a heading image,answer"),
        ("a.csv", "image,answer\n{0},castle\n", "no class 'castle'"),
        ("a.csv", "image,answer\n{0}\n", "line 2: 1 values where the heading has 2"),
        ("a.csv", "image,{labels}\n{0},1,2,3,x\n", "scores are numbers"),
        ("a.csv", "image,{labels}\n{0},1,2,3,nan\n", "not numbers"),
        ("a.npy", "no array", "no NumPy array"),
        ("a.txt", "0", "read from .csv or .npy"),
    ],
)
def test_answers_that_cannot_be_read_are_refused(name, content, message, photos, tmp_path):
    data = photos()
    split = data.splits[SPLIT]
    (tmp_path / name).write_text(content.replace("{0}", split.ids[0]).replace("{labels}", ",".join(data.classes)))
    with pytest.raises(ValueError, match=message):
        read_device_answers(tmp_path / name, split, data.classes)


def test_answers_are_read_by_name_number_and_score(photos, tmp_path):
    data = photos()
    split = data.splits[SPLIT]
    path = tmp_path / "a.csv"
    path.write_text(f"image,answer\n{split.ids[3]},{data.classes[2]}\n{split.ids[1]},0\n")
    found = read_device_answers(path, split, data.classes)
    assert (found.places.tolist(), found.classes.tolist(), found.scores) == ([3, 1], [2, 0], None)
    path.write_text(f"image,{','.join(data.classes)}\n{split.ids[5]},0.1,0.7,0.1,0.1\n")
    assert read_device_answers(path, split, data.classes).classes.tolist() == [1]
    np.save(tmp_path / "a.npy", np.zeros((len(split), 3)))
    with pytest.raises(ValueError, match=r"it takes \(\d+,\) classes or \(\d+, 4\) scores"):
        read_device_answers(tmp_path / "a.npy", split, data.classes)
    np.save(tmp_path / "a.npy", np.full(len(split), 4))
    with pytest.raises(ValueError, match="whole numbers 0 to 3"):
        read_device_answers(tmp_path / "a.npy", split, data.classes)
    np.save(tmp_path / "a.npy", np.full(len(split), 3))
    assert read_device_answers(tmp_path / "a.npy", split, data.classes).classes.tolist() == [3] * len(split)


def test_the_command_tells_the_cost_and_the_cause(photos, files, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LITESMITH_HOME", str(tmp_path / "home"))
    path = files["tflite_float32"][0]
    source = photos().source
    usual = [str(path), "--data", source, "--validation", "0.3", "--test", "0.1"]
    part = photos().splits[SPLIT]
    wrong = np.asarray(part.images, np.float32)[..., ::-1]
    np.save(tmp_path / "answers.npy", raw_answers(path, wrong))
    assert main(["skew", *usual, "--answers", str(tmp_path / "answers.npy"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["by_answers"]["fault"] == "bgr"
    assert document["declared"]["difference"] == 0
    assert len(document["rows"]) == 9
    assert main(["skew", *usual, "--images", "50"]) == 0
    assert "BGR for RGB" in capsys.readouterr().out
    assert main(["skew", str(path)]) == 2
    assert "say with --data" in capsys.readouterr().err
    assert main(["skew", *usual, "--images", "0"]) == 2
