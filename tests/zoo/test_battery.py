"""Every architecture of the catalogue goes through the same checks; a new one needs no new test."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
import zoo.architectures
from tests.zoo.designs import EVERY_SWEEP, EVERY_VARIANT, NAMES, small


def test_catalogue_lists_every_file_of_the_folder():
    folder = Path(zoo.architectures.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if path.stem != "__init__"}
    assert files == set(zoo.ARCHITECTURES)
    assert all(name == family.name for name, family in zoo.ARCHITECTURES.items())


@pytest.mark.parametrize("name", NAMES)
def test_declaration_is_complete(name):
    family = zoo.architecture(name)
    assert family.title
    assert family.source
    assert family.summary.endswith(".")
    assert "\n" not in family.summary
    assert family.default_width in family.widths
    assert family.default_resolution in family.resolutions
    for option in family.options:
        assert option.check(option.default) == option.default
        assert option.help


def agree_layer_by_layer(name, request):
    """The sketch, the Keras model and the sketch read back from that model are one network."""
    for form in ("train", "deploy"):
        model, sketch = zoo.build(name, form=form, **request), zoo.sketch(name, form=form, **request)
        assert {op.name for op in sketch.ops} == {layer.name for layer in model.layers}
        for layer in model.layers:
            op = sketch[layer.name]
            assert op.layer == type(layer).__name__
            assert op.shape == tuple(layer.output.shape[1:]), layer.name
            assert op.params == layer.count_params(), layer.name
            trainable = sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)
            assert op.trainable_params == trainable, layer.name
        assert zoo.cost_of(sketch).params == model.count_params()
        assert model.input_names == ["image"]
        assert model.output_shape == (None, request["classes"])
        read = zoo.sketch_of(model)
        assert read.unknown == []
        assert facts(sketch) == facts(read)
        ours, theirs = zoo.cost_of(sketch), zoo.cost_of(read)
        assert ours.peak_activation_bytes == theirs.peak_activation_bytes
        assert ours.memory_access_bytes == theirs.memory_access_bytes


def facts(sketch):
    return {
        op.name: (op.kind, op.inputs, op.shape, op.params, op.trainable_params, op.macs, op.moved) for op in sketch.ops
    }


@pytest.mark.parametrize("name", NAMES)
def test_sketch_and_keras_model_agree(name):
    agree_layer_by_layer(name, small(name))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), EVERY_VARIANT)
def test_sketch_and_keras_model_agree_for_every_variant(name, options):
    agree_layer_by_layer(name, small(name, **options))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "request_"), EVERY_SWEEP)
def test_sketch_and_keras_model_agree_over_widths_resolutions_and_classes(name, request_):
    agree_layer_by_layer(name, request_)


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_is_named_by_place_and_role(name):
    names = [op.name for op in zoo.sketch(name).ops]
    assert len(set(names)) == len(names)
    roles = {"norm": "_norm", "conv": "_conv", "depthwise": "_conv", "add": "_add"}
    for op in zoo.sketch(name).ops:
        assert op.kind not in roles or op.name.endswith(roles[op.kind])
        if op.layer == "ReLU":
            assert op.name.endswith("_relu6" if op.config.get("max_value") else "_relu")
    stages = {op.stage for op in zoo.sketch(name).ops}
    assert {"image", "stem", "head"} < stages


@pytest.mark.parametrize("name", NAMES)
def test_saved_model_loads_equal(name, tmp_path):
    from zoo.keras import keras
    from zoo.keras_layers import custom_objects

    request = small(name)
    model = zoo.build(name, **request)
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(0.2, 0.1, weight.shape).astype("float32") for weight in model.weights])
    image = rng.random((2, *model.input_shape[1:]), dtype="float32")
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
        weights.append(zoo.build(name, **small(name)).get_weights())
    assert all((one == other).all() for one, other in zip(*weights, strict=True))


WITH_DROPOUT = [name for name in NAMES if zoo.architecture(name).option("dropout")]


@pytest.mark.parametrize("name", WITH_DROPOUT)
def test_dropout_does_not_change_the_counts(name):
    plain = zoo.cost(name, dropout=0.0)
    dropped = zoo.cost(name, dropout=0.5)
    assert (plain.params, plain.macs, plain.memory_access_bytes, plain.peak_activation_bytes) == (
        dropped.params,
        dropped.macs,
        dropped.memory_access_bytes,
        dropped.peak_activation_bytes,
    )


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "shufflenet_v2"])
def test_dropout_owns_a_generator_that_can_be_reset(name):
    model = zoo.build(name, width=0.1, resolution=8, classes=2, channels=1, dropout=0.5)
    generator = model.get_layer("head_dropout")._random_generator._generator
    image = np.random.default_rng(0).random((64, 8, 8, 1), dtype="float32")
    before = generator.state.numpy()
    first = model(image, training=True).numpy()
    assert (generator.state.numpy() != before).any()
    generator.state.assign(before)
    np.testing.assert_array_equal(model(image, training=True).numpy(), first)


def one_step_moves_every_weight(name, request):
    from zoo.keras import keras, tf

    keras.backend.clear_session()
    keras.utils.set_random_seed(3)
    without = {option: 0.0 for option in ("dropout", "drop_connect") if zoo.architecture(name).option(option)}
    model = zoo.build(name, **{**request, **without})
    image = tf.constant(np.random.default_rng(0).random((8, *model.input_shape[1:]), dtype="float32"))
    with tf.GradientTape() as tape:
        logits = model(image, training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits([0, 1, 2, 0, 1, 2, 0, 1], logits))
    gradients = tape.gradient(loss, model.trainable_weights)
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.name
        assert np.isfinite(gradient.numpy()).all(), weight.name
        assert np.abs(gradient.numpy()).max() > 0, weight.name


@pytest.mark.parametrize("name", NAMES)
def test_one_step_moves_every_weight(name):
    one_step_moves_every_weight(name, small(name))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), EVERY_VARIANT)
def test_one_step_moves_every_weight_of_the_published_design(name, options):
    one_step_moves_every_weight(name, options)


# Families whose published channels lie off the rule for the widths between them.
TABLES = ("proxylessnas", "shufflenet_v2")


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from([name for name in NAMES if name not in TABLES]),
    widths=st.tuples(st.floats(0.05, 4.0), st.floats(0.05, 4.0)),
)
def test_a_smaller_width_never_has_more_weights_or_multiply_adds(name, widths):
    small, large = sorted(widths)
    less, more = zoo.cost(name, width=small), zoo.cost(name, width=large)
    assert less.params <= more.params
    assert less.macs <= more.macs


@settings(deadline=None, max_examples=100)
@given(
    name=st.sampled_from(NAMES),
    width=st.floats(0.05, 3.0),
    height=st.integers(8, 300),
    across=st.integers(8, 300),
    channels=st.sampled_from([1, 3]),
)
def test_any_request_sketches_and_resolution_leaves_the_weights_alone(name, width, height, across, channels):
    family = zoo.architecture(name)
    height, across = max(height, family.minimum_side), max(across, family.minimum_side)
    cost = zoo.cost(name, width=width, resolution=(height, across), classes=7, channels=channels)
    if not family.weights_follow_resolution:
        assert cost.params == zoo.cost(name, width=width, resolution=224, classes=7, channels=channels).params
    assert 0 < cost.trainable_params <= cost.params
    assert cost.peak_activation_bytes >= 4 * height * across * channels
    assert all(size >= 1 for row in cost.layers for size in row["shape"])


@pytest.mark.parametrize("name", NAMES)
def test_an_image_below_the_smallest_side_is_refused(name):
    side = zoo.architecture(name).minimum_side
    if side > 8:
        with pytest.raises(ValueError, match=f"at least {side} pixels"):
            zoo.sketch(name, resolution=side - 1)


@pytest.mark.parametrize("name", NAMES)
def test_published_widths_shrink_the_network(name):
    counts = [zoo.cost(name, width=width).params for width in zoo.architecture(name).widths]
    assert counts == sorted(set(counts))


def test_public_names_exist():
    for name in zoo.__all__:
        assert getattr(zoo, name) is not None
    assert importlib.util.find_spec("zoo.keras") is not None
