"""Every architecture of the catalogue goes through the same checks; a new one needs no new test."""

from __future__ import annotations

import importlib.util
import itertools
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
import zoo.architectures

NAMES = list(zoo.ARCHITECTURES)
SETTINGS = [
    {"width": 1.0, "resolution": 224, "classes": 1000, "channels": 3},
    {"width": 0.5, "resolution": 96, "classes": 10, "channels": 3},
    {"width": 0.33, "resolution": (40, 72), "classes": 2, "channels": 1},
    {"width": 1.37, "resolution": 8, "classes": 10, "channels": 1},
    {"width": 0.1, "resolution": (31, 130), "classes": 5, "channels": 3},
]
CASES = list(itertools.product(NAMES, SETTINGS))


def test_catalogue_lists_every_file_of_the_folder():
    folder = Path(zoo.architectures.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if path.stem != "__init__"}
    assert files == set(zoo.ARCHITECTURES)
    assert all(name == family.name for name, family in zoo.ARCHITECTURES.items())


@pytest.mark.parametrize("name", NAMES)
def test_declaration_is_complete(name):
    family = zoo.architecture(name)
    assert family.title
    assert family.source.startswith("arXiv:")
    assert family.summary.endswith(".")
    assert "\n" not in family.summary
    assert family.default_width in family.widths
    assert family.default_resolution in family.resolutions
    for option in family.options:
        assert option.check(option.default) == option.default
        assert option.help


@pytest.mark.parametrize(("name", "request_"), CASES)
def test_sketch_and_keras_model_agree_layer_by_layer(name, request_):
    model, sketch = zoo.build(name, **request_), zoo.sketch(name, **request_)
    assert {op.name for op in sketch.ops} == {layer.name for layer in model.layers}
    for layer in model.layers:
        op = sketch[layer.name]
        assert op.layer == type(layer).__name__
        assert op.shape == tuple(layer.output.shape[1:]), layer.name
        assert op.params == layer.count_params(), layer.name
        assert op.trainable_params == sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights), layer.name
    cost = zoo.cost_of(sketch)
    assert cost.params == model.count_params()
    assert model.input_names == ["image"]
    assert model.output_shape == (None, request_["classes"])


@pytest.mark.parametrize(("name", "request_"), CASES)
def test_reading_the_model_back_gives_the_same_cost(name, request_):
    sketch, read = zoo.sketch(name, **request_), zoo.sketch_of(zoo.build(name, **request_))
    assert read.unknown == []
    facts = {
        op.name: (op.kind, op.inputs, op.shape, op.params, op.trainable_params, op.macs, op.moved) for op in sketch.ops
    }
    assert facts == {
        op.name: (op.kind, op.inputs, op.shape, op.params, op.trainable_params, op.macs, op.moved) for op in read.ops
    }
    ours, theirs = zoo.cost_of(sketch), zoo.cost_of(read)
    assert ours.peak_activation_bytes == theirs.peak_activation_bytes
    assert ours.memory_access_bytes == theirs.memory_access_bytes


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_is_named_by_place_and_role(name):
    names = [op.name for op in zoo.sketch(name).ops]
    assert len(set(names)) == len(names)
    roles = {"norm": "_norm", "conv": "_conv", "depthwise": "_conv", "add": "_add", "dropout": "_dropout"}
    for op in zoo.sketch(name, dropout=0.1).ops:
        assert op.kind not in roles or op.name.endswith(roles[op.kind])
        if op.layer == "ReLU":
            assert op.name.endswith("_relu6" if op.config.get("max_value") else "_relu")
    stages = {op.stage for op in zoo.sketch(name).ops}
    assert {"image", "stem", "head"} < stages


@pytest.mark.parametrize("name", NAMES)
def test_saved_model_loads_equal(name, tmp_path):
    from zoo.keras import keras
    from zoo.keras_layers import custom_objects

    model = zoo.build(name, width=0.25, resolution=16, classes=3, channels=1, dropout=0.2)
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(0.2, 0.1, weight.shape).astype("float32") for weight in model.weights])
    image = rng.random((2, 16, 16, 1), dtype="float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects=custom_objects(), compile=False)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    np.testing.assert_array_equal(loaded(image, training=False), model(image, training=False))


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_builds_the_same_weights(name):
    from zoo.keras import keras

    weights = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        weights.append(zoo.build(name, width=0.1, resolution=8, classes=2, channels=1).get_weights())
    assert all((one == other).all() for one, other in zip(*weights, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_options_do_not_change_the_counts(name):
    plain = zoo.cost(name, dropout=0.0)
    dropped = zoo.cost(name, dropout=0.5)
    assert (plain.params, plain.macs, plain.memory_access_bytes, plain.peak_activation_bytes) == (
        dropped.params,
        dropped.macs,
        dropped.memory_access_bytes,
        dropped.peak_activation_bytes,
    )


@pytest.mark.parametrize("name", NAMES)
def test_dropout_owns_a_generator_that_can_be_reset(name):
    model = zoo.build(name, width=0.1, resolution=8, classes=2, channels=1, dropout=0.5)
    generator = model.get_layer("head_dropout")._random_generator._generator
    image = np.random.default_rng(0).random((64, 8, 8, 1), dtype="float32")
    before = generator.state.numpy()
    first = model(image, training=True).numpy()
    assert (generator.state.numpy() != before).any()
    generator.state.assign(before)
    np.testing.assert_array_equal(model(image, training=True).numpy(), first)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_weight(name):
    from zoo.keras import tf

    model = zoo.build(name, width=0.1, resolution=8, classes=3, channels=1, dropout=0.0)
    image = tf.constant(np.random.default_rng(0).random((8, 8, 8, 1), dtype="float32"))
    with tf.GradientTape() as tape:
        logits = model(image, training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits([0, 1, 2, 0, 1, 2, 0, 1], logits))
    gradients = tape.gradient(loss, model.trainable_weights)
    assert all(gradient is not None for gradient in gradients)


@settings(deadline=None, max_examples=60)
@given(name=st.sampled_from(NAMES), widths=st.tuples(st.floats(0.05, 4.0), st.floats(0.05, 4.0)))
def test_a_smaller_width_never_has_more_weights_or_multiply_adds(name, widths):
    small, large = sorted(widths)
    less, more = zoo.cost(name, width=small), zoo.cost(name, width=large)
    assert less.params <= more.params
    assert less.macs <= more.macs


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(NAMES),
    width=st.floats(0.05, 3.0),
    height=st.integers(8, 300),
    across=st.integers(8, 300),
    channels=st.sampled_from([1, 3]),
)
def test_any_request_sketches_and_resolution_leaves_the_weights_alone(name, width, height, across, channels):
    cost = zoo.cost(name, width=width, resolution=(height, across), classes=7, channels=channels)
    assert cost.params == zoo.cost(name, width=width, resolution=224, classes=7, channels=channels).params
    assert 0 < cost.trainable_params < cost.params
    assert cost.peak_activation_bytes >= 4 * height * across * channels
    assert all(size >= 1 for row in cost.layers for size in row["shape"])


@pytest.mark.parametrize("name", NAMES)
def test_published_widths_shrink_the_network(name):
    counts = [zoo.cost(name, width=width).params for width in zoo.architecture(name).widths]
    assert counts == sorted(set(counts))


@pytest.mark.parametrize("name", NAMES)
def test_cost_takes_milliseconds(name):
    zoo.cost(name)
    best = min(_seconds(name) for _ in range(5))
    assert best < 0.05


def _seconds(name: str) -> float:
    start = time.perf_counter()
    zoo.cost(name)
    return time.perf_counter() - start


def test_public_names_exist():
    for name in zoo.__all__:
        assert getattr(zoo, name) is not None
    assert importlib.util.find_spec("zoo.keras") is not None
