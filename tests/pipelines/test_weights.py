"""Recipes that begin from published weights: what is refused when, what is loaded, what stays frozen, what is kept."""

from __future__ import annotations

import hashlib
import json
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import weights
from pipelines.execute import load_stored_model
from pipelines.further import export_recipe
from pipelines.jobs import InlineExecutor
from pipelines.recipes import Recipe
from pipelines.runs import Home, Registry
from pipelines.start import record
from tests.zoo.weights.references import Reference, fill, saved
from zoo.layers import AFFINE
from zoo.weights import WEIGHTS, File

SMALL = Reference("mobilenet_v1", "MobileNet", "mobilenet", {"alpha": 0.25}, 0.25, {}, 32)
PAPER = {"small_input": "paper"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as keras.applications publishes them, without the classifier."""
    return saved(SMALL.without_top(SMALL.build()), tmp_path_factory.mktemp("weights"), "own")


def recipe(file: Path | str, steps: list[Any] | None = None, **model: Any) -> dict[str, Any]:
    return {
        "data": {"source": "digits", "resolution": 16, "channels": 3},
        "model": {"name": "mobilenet_v1", "width": 0.25, "weights": str(file), **model},
        "steps": steps or [{"train": {"epochs": 1, "batch": 128, "shift": 0}}],
    }


def run(home: Home, values: dict[str, Any]) -> tuple[Registry, str]:
    registry = Registry(home)
    started = record(registry, Recipe.of(values), queue=False).runs[0]
    assert InlineExecutor(home).submit(started) == "done", registry.get(started).error
    return registry, started


@pytest.fixture(scope="module")
def frozen(file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Registry, str]:
    """A run whose backbone stayed frozen while the head was trained, with a file of the result."""
    steps = [{"train": {"epochs": 1, "batch": 128, "shift": 0}}, {"export": {"formats": ["tflite_float32"]}}]
    return run(Home.open(tmp_path_factory.mktemp("home")), recipe(file, steps, frozen="backbone"))


def stored(frozen: tuple[Registry, str], step: int) -> Any:
    registry, started = frozen
    return load_stored_model(registry.home, registry.steps(started)[step].model_sha256)


def test_a_frozen_backbone_keeps_every_number_and_the_head_learns(file: Path, frozen: tuple[Registry, str]) -> None:
    from exports.keras_weights import read_weights

    held, model = read_weights(file).tensors, stored(frozen, 0)
    for pair in WEIGHTS["mobilenet_v1"].pairs({}):
        if not pair.in_head:
            for mine, theirs in zip(model.get_layer(pair.ours[0]).get_weights(), held[pair.theirs], strict=True):
                np.testing.assert_array_equal(mine, theirs)
    kernel, offset = model.get_layer(AFFINE).get_weights()
    assert (kernel == 2).all()
    assert (offset == -1).all()
    fresh = SMALL.ours().get_layer("head_logits").get_weights()[0]
    assert model.get_layer("head_logits").get_weights()[0].shape == (fresh.shape[0], 10)
    assert np.abs(model.get_layer("head_logits").get_weights()[1]).max() > 0


def test_a_run_keeps_the_hash_of_the_weights_and_says_what_differs(file: Path, frozen: tuple[Registry, str]) -> None:
    registry, started = frozen
    first, *others = registry.steps(started)
    kept = first.report["weights"]
    assert kept["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (kept["origin"], kept["found_by"], kept["layers"]) == (str(file), "name", 55)
    assert kept["fresh"] == ["head_logits"]
    assert any("not a published file" in warning for warning in first.report["warnings"])
    assert not any("weights" in record.report for record in others)


def test_its_file_passes_the_gate(frozen: tuple[Registry, str]) -> None:
    registry, started = frozen
    assert [item.passed for item in registry.artifacts(started)] == [True]


def test_a_run_begun_from_weights_can_go_on_thawed(frozen: tuple[Registry, str]) -> None:
    registry, origin = frozen
    further = {**recipe("", frozen="none"), "start": f"run:{origin}/1"}
    further["model"]["weights"] = None
    started = run(registry.home, further)
    before, after = stored(frozen, 0), stored(started, 0)
    assert not before.get_layer("stem_conv").trainable
    assert after.get_layer("stem_conv").trainable
    assert np.abs(after.get_layer("stem_conv").get_weights()[0] - before.get_layer("stem_conv").get_weights()[0]).any()
    np.testing.assert_array_equal(after.get_layer(AFFINE).get_weights()[0], before.get_layer(AFFINE).get_weights()[0])
    plan = export_recipe(registry, origin, ["tflite_float16"])
    assert plan["model"]["weights"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"name": "shufflenet_v2"}}, "no weights are published for shufflenet_v2; keras.applications has"),
        ({"model": {"width": 0.3}}, r"publishes mobilenet_v1 at width 0\.25, 0\.5, 0\.75, 1; received 0\.3"),
        ({"model": {"options": {"activation": "relu"}}}, "activation relu is not what published weights"),
        ({"model": {"name": "efficientnet", "width": 0.5}}, r"efficientnet at width 1 only; received 0\.5"),
        ({"model": {"name": "resnet", "width": 1, "options": {"variant": "18"}}}, "weights exist for 50"),
        ({"model": {"name": "vgg", "width": 1}}, "below 64 pixels vgg takes a form"),
        ({"model": {"name": "vgg", "width": 1, "classifier": True}, "data": {"source": "folder:x", "resolution": 96}},
         "fit 224 pixels only"),
        ({"model": {"classifier": True}, "data": {"source": "folder:x", "resolution": 96}}, "set small_input to paper"),
        ({"model": {"name": "resnet", "width": 1, "classifier": True},
          "data": {"source": "folder:x", "resolution": 63}}, "below 64 pixels resnet leaves out strides"),
        ({"data": {"channels": 1}}, "set data.channels to 3, which repeats grey"),
        ({"data": {"channels": None}}, "set data.channels to 3"),
        ({"model": {"classifier": True}}, "knows 1000 classes and these images have 10"),
        ({"model": {"weights": None, "classifier": True}}, "there is none to keep"),
        ({"model": {"weights": None, "frozen": "backbone"}}, "begins from random numbers"),
        ({"model": {"weights": "weights.zip"}}, r"a file that ends in \.h5"),
        ({"start": "run:r00001"}, "name one of the two"),
        ({"model": {"frozen": "head"}}, "frozen"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_in_the_recipe(change: dict[str, Any], message: str) -> None:
    values = recipe("imagenet")
    Recipe.of(values)
    for part, wrong in change.items():
        values[part] = {**values[part], **wrong} if isinstance(wrong, dict) else wrong
    with pytest.raises(ValueError, match=message):
        Recipe.of(values)


def test_a_path_is_made_whole_and_survives_yaml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    made = Recipe.of(recipe("own.h5"))
    assert made.model.weights == str(tmp_path / "own.h5")
    assert Recipe.parse(made.dump()) == made


def test_weights_with_their_classifier_are_a_trained_model() -> None:
    export = [{"export": {"formats": ["tflite_float32"]}}]
    values = recipe("imagenet", export, classifier=True, options=PAPER)
    values["data"] = {"source": "folder:images", "resolution": 224}
    Recipe.of(values)
    values["model"]["classifier"] = False
    with pytest.raises(ValueError, match="needs a trained model"):
        Recipe.of(values)


def test_a_file_that_is_not_there_or_does_not_fit_stops_before_a_run_is_recorded(file: Path, tmp_path: Path) -> None:
    registry = Registry(Home.open(tmp_path / "home"))
    with pytest.raises(ValueError, match="there is no weight file at"):
        record(registry, Recipe.of(recipe(tmp_path / "gone.h5")), queue=False)
    with pytest.raises(ValueError, match=r"conv1 for stem_conv: found 3x3x3x8, expected 3x3x3x16"):
        record(registry, Recipe.of(recipe(file, width=0.5)), queue=False)
    with pytest.raises(ValueError, match=r"is not one of keras\.applications MobileNetV2"):
        record(registry, Recipe.of(recipe(file, name="mobilenet_v2")), queue=False)
    assert registry.count() == 0


class Server:
    """Stands where the internet would be."""

    def __init__(self, content: bytes | None) -> None:
        self.content, self.asked = content, []

    def __call__(self, request: Any, timeout: float) -> Any:
        import io

        self.asked.append(request if isinstance(request, str) else request.full_url)
        if self.content is None:
            raise urllib.error.URLError("no route to host")
        return io.BytesIO(self.content)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "cache"


def test_offline_says_where_to_put_the_file(monkeypatch: pytest.MonkeyPatch, nowhere: Path) -> None:
    monkeypatch.setattr(weights.urllib.request, "urlopen", Server(None))
    plan = Recipe.of(recipe("imagenet"))
    with pytest.raises(ValueError, match=r"mobilenet_2_5_128_tf_no_top\.h5 are not on this machine") as raised:
        weights.within_reach(plan.model, plan.data, nowhere)
    said = str(raised.value)
    assert "no route to host" in said
    assert "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet/mobilenet_2_5_128_tf" in said
    assert str(nowhere / "downloads" / "keras-applications") in said


def test_a_file_in_keras_own_cache_is_taken_without_asking_anybody(
    monkeypatch: pytest.MonkeyPatch, nowhere: Path, file: Path
) -> None:
    monkeypatch.setattr(weights.urllib.request, "urlopen", Server(None))
    plan = Recipe.of(recipe("imagenet"))
    place = nowhere.parent / "keras" / "models" / "mobilenet_2_5_128_tf_no_top.h5"
    place.parent.mkdir(parents=True)
    place.write_bytes(file.read_bytes())
    weights.within_reach(plan.model, plan.data, nowhere)
    opened = weights.open_weights(plan.model, (32, 32), nowhere)
    assert opened is not None
    assert (opened.origin, opened.trained_at, opened.file.path) == ("imagenet", 128, place)
    network = SMALL.ours()
    found = weights.load(network, opened, plan.model)
    assert found["warnings"] == [
        "the weights were trained at 128 pixels and see 32x32 here",
        "at 32x32 pixels this network leaves out strides that it was trained with, so its features mean less; "
        "from 128 pixels on all are there",
    ]
    json.dumps(found)


def test_a_download_is_checked_before_it_is_kept(monkeypatch: pytest.MonkeyPatch, nowhere: Path) -> None:
    right = b"weights"
    md5 = hashlib.md5(right, usedforsecurity=False).hexdigest()
    asked = File("some.h5", "https://storage.googleapis.com/some.h5", md5)
    monkeypatch.setattr(weights.urllib.request, "urlopen", Server(b"something else"))
    with pytest.raises(ValueError, match="its MD5 differs"):
        weights.fetch(asked, nowhere)
    assert list(nowhere.rglob("*.h5*")) == []
    server = Server(right)
    monkeypatch.setattr(weights.urllib.request, "urlopen", server)
    kept = weights.fetch(asked, nowhere)
    assert kept.read_bytes() == right
    assert weights.fetch(asked, nowhere) == kept
    assert server.asked == [asked.url]


def test_published_classifier_begins_a_run_that_only_exports(
    monkeypatch: pytest.MonkeyPatch, nowhere: Path, tmp_path: Path
) -> None:
    """The model goes into the store as it is, and counts as trained."""
    from pipelines.execute import _published_state

    reference = Reference(
        "mobilenet_v1", "MobileNet", "mobilenet", {"alpha": 0.25}, 0.25, PAPER, resolution=32, classes=1000
    )
    theirs = reference.build()
    path = saved(theirs, tmp_path, "mobilenet_2_5_128_tf")
    values = recipe(path, [{"export": {"formats": ["tflite_float32"]}}], classifier=True, options=PAPER)
    values["data"]["source"] = "folder:images"
    plan = Recipe.of(values)
    weights.within_reach(plan.model, plan.data, nowhere)
    opened = weights.open_weights(plan.model, (32, 32), nowhere)
    assert opened is not None
    assert opened.trained_at == 128
    home = Home.open(tmp_path / "home")

    class Handle:
        folder = tmp_path

        def log(self, message: str) -> None:
            assert "mobilenet_2_5_128_tf.h5" in message

        def keep_file(self, kept: Path) -> str:
            return home.store.put_file(kept)

    state = _published_state(reference.ours(), opened, plan, Handle())
    assert state.trained
    assert state.made_by == "published"
    image = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    again = load_stored_model(home, str(state.model_sha256))
    np.testing.assert_array_equal(again(image, training=False), state.model(image, training=False))
    with pytest.raises(ValueError, match="knows 1000 classes and these images have 7"):
        weights.check_images(3, 7, classifier=True)


def test_filled_reference_is_not_what_keras_would_draw() -> None:
    model = SMALL.build()
    before = model.get_weights()
    fill(model, np.random.default_rng(0).random((2, 32, 32, 3), np.float32), seed=2)
    assert all(np.abs(one - other).max() > 0 for one, other in zip(before, model.get_weights(), strict=True))
