"""Deployed networks: equal answers, and the form that the architectures themselves describe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zoo
from tests.zoo.designs import EVERY_VARIANT, NAMES, small
from zoo import layers
from zoo.blocks.convolution import norm_activate
from zoo.blocks.grouped import grouped_conv, grouped_conv_norm
from zoo.deploy import deploy
from zoo.learned_groups import describe


def settle(model: Any, seed: int, *, balanced: bool = True) -> Any:
    """`model` with random weights; groups learned to the end, of one size when `balanced`."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        kind = type(layer).__name__
        values = []
        for weight in layer.weights:
            value = rng.normal(0.0, 0.5, weight.shape)
            if kind == "BatchNormalization":
                value = rng.uniform(0.5, 1.5, weight.shape)
            elif kind in ("Conv2D", "DepthwiseConv2D", "Dense", "CondensingConv2D", "CondensingDense"):
                # As large an output as input, or deep networks overflow or fade away.
                value *= 2.0 / np.sqrt(max(1, np.prod(weight.shape[:-1])))
            values.append(value.astype("float32"))
        if kind == "LearnedGroupConv2D" and balanced:
            values[1:] = [even(rng, logits.shape) for logits in values[1:]]
        if kind.startswith("Condensing"):
            values[-1] = np.ones(values[-1].shape, "float32")
        layer.set_weights(values)
        for _ in range(getattr(layer, "stages", 0)):
            layer.condense()
    return model


def even(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Logits that give every group equally many channels."""
    logits = rng.uniform(-1.0, 1.0, shape)
    logits[rng.permutation(shape[0]), np.arange(shape[0]) % shape[1]] = 2.0
    return logits.astype("float32")


def image_for(model: Any) -> np.ndarray:
    return np.random.default_rng(1).random((3, *model.input_shape[1:]), dtype="float32")


def assert_equal_answers(model: Any, deployed: Any) -> None:
    image = image_for(model)
    expected = np.asarray(model(image, training=False))
    assert np.isfinite(expected).all()
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(deployed(image, training=False), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def counts(model: Any) -> dict[str, tuple[Any, ...]]:
    return {op.name: (op.layer, op.inputs, op.shape, op.params, op.macs) for op in zoo.sketch_of(model).ops}


def deploys_to_the_form_it_describes(name, options):
    request = small(name, **options)
    model = settle(zoo.build(name, **request), seed=3)
    before = [weight.copy() for weight in model.get_weights()]
    deployed = deploy(model)
    assert_equal_answers(model, deployed)
    assert counts(deployed) == counts(zoo.build(name, form="deploy", **request))
    assert all((one == other).all() for one, other in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_architecture_deploys_to_the_form_it_describes_with_equal_answers(name):
    deploys_to_the_form_it_describes(name, {})


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), EVERY_VARIANT)
def test_further_variants_deploy_to_the_form_they_describe_with_equal_answers(name, options):
    deploys_to_the_form_it_describes(name, options)


def network(put: Any, *, activation: str | None = "relu") -> Any:
    """`put` on a map of 12 channels, normalised, activated, classified."""
    from zoo.keras import keras

    image = keras.Input((5, 4, 1), name="image")
    x = layers.conv(image, 12, 3, name="stem_conv")
    x = put(layers.relu(layers.norm(x, name="stem_norm"), name="stem_relu"))
    x = norm_activate(x, activation, name="one")
    return keras.Model(image, layers.dense(layers.global_pool(x, name="head_pool"), 3, name="head_logits"), name="net")


def learned(into: list[int], out: list[int], groups: int = 3) -> Any:
    """A network whose 12 inputs and 8 outputs chose these groups."""
    model = settle(network(lambda x: layers.learned_group_conv(x, 8, name="one_conv", groups=groups)), 5)
    layer = model.get_layer("one_conv")
    layer.set_weights([layer.get_weights()[0], np.eye(groups)[into], np.eye(groups)[out]])
    return model


@pytest.mark.parametrize(
    ("into", "out", "convolutions", "empty"),
    [
        ([0, 1, 2] * 4, [0, 0, 0, 1, 1, 1, 2, 2], 3, []),  # unequal
        ([0, 1, 2] * 4, [2, 2, 0, 0, 2, 2, 2, 0], 2, [2]),  # nobody listens to group 2
        ([0, 1, 2] * 4, [2, 2, 0, 0, 2, 2, 0, 0], 1, [2]),  # the other two are equally large
        ([0, 0, 0, 2] * 3, [2, 1, 0, 0, 2, 1, 0, 0], 2, [2]),  # group 2 hears nothing
        ([1] * 12, [1] * 8, 1, [1, 3]),  # all in one
        ([0] * 12, [1] * 8, 1, [1, 2, 3]),  # nothing is left
    ],
)
def test_groups_of_unequal_size_deploy_with_equal_answers(into, out, convolutions, empty):
    model = learned(into, out)
    (row,) = describe(model)
    assert row["empty_groups"] == empty
    assert row["density"] == np.mean(np.array(into)[:, None] == np.array(out)[None])
    assert row["dead_outputs"] == sum(group not in into for group in out)
    deployed = deploy(model)
    assert_equal_answers(model, deployed)
    kinds = [type(layer).__name__ for layer in deployed.layers]
    assert kinds.count("Conv2D") == 1 + convolutions
    assert "LearnedGroupConv2D" not in kinds


def test_equal_groups_deploy_as_one_native_convolution():
    deployed = deploy(learned([0, 1, 2, 3] * 3, [3, 2, 1, 0, 0, 1, 2, 3], groups=4))
    assert deployed.get_layer("one_conv").groups == 4
    # The normalisation stands directly behind its convolution, where every runtime folds it away.
    names = [layer.name for layer in deployed.layers]
    assert names[3:9] == ["stem_relu", "one_gather", "one_conv", "one_norm", "one_relu", "one_restore"]


@pytest.mark.parametrize(("stage", "groups"), [(0, 1), (1, 4), (2, 4), (3, 4)])
def test_condensing_convolution_deploys_with_equal_answers_at_every_stage(stage, groups):
    put = lambda x: layers.condensing_conv(x, 8, name="one_conv", groups=4, condensation=4)  # noqa: E731
    model = settle(network(put), 5)
    layer = model.get_layer("one_conv")
    layer.mask.assign(np.ones(layer.mask.shape))
    for _ in range(stage):
        layer.condense()
    assert layer.stage == stage
    deployed = deploy(model)
    assert_equal_answers(model, deployed)
    assert deployed.get_layer("one_conv").groups == groups
    assert deployed.get_layer("one_conv").count_params() == 12 * 8 * (4 - stage) // 4


def test_mask_of_unequal_groups_deploys_with_equal_answers():
    model = settle(network(lambda x: layers.condensing_conv(x, 8, name="one_conv", groups=4, condensation=4)), 5)
    layer = model.get_layer("one_conv")
    layer.mask.assign(np.random.default_rng(0).random(layer.mask.shape) < 0.5)
    assert_equal_answers(model, deploy(model))


def test_softmax_stays_behind_the_reordering():
    from zoo.keras import keras

    def put(x):
        return keras.layers.Softmax(name="mix")(layers.condensing_conv(x, 8, name="a_conv", groups=4, condensation=4))

    model = settle(network(put), 5)
    deployed = deploy(model)
    assert_equal_answers(model, deployed)
    names = [layer.name for layer in deployed.layers]
    assert names.index("a_shuffle") < names.index("mix")


def test_a_map_read_elsewhere_as_well_is_left_in_order():
    def put(x):
        y = layers.condensing_conv(x, 12, name="a_conv", groups=4, condensation=4)
        y = layers.norm(y, name="a_norm")
        return layers.add([layers.relu(y, name="a_relu"), y, x], name="a_add")

    model = settle(network(put), 5)
    assert_equal_answers(model, deploy(model))


def test_channels_of_a_parametric_activation_move_with_their_slopes():
    def put(x):
        y = layers.condensing_conv(x, 8, name="a_conv", groups=4, condensation=4)
        return layers.prelu(layers.norm(y, name="a_norm"), name="a_prelu")

    model = settle(network(put), 5)
    assert_equal_answers(model, deploy(model))


@pytest.mark.parametrize("activation", [None, "relu6", "prelu"])
def test_split_groups_deploy_as_one_native_convolution(activation):
    def put(x):
        x = grouped_conv_norm(x, 12, 3, name="a", groups=3, form="train", stride=2, activation=activation)
        return grouped_conv(x, 8, name="one", groups=4, form="train")

    model = settle(network(put), 5)
    deployed = deploy(model)
    assert_equal_answers(model, deployed)
    convolutions = [layer for layer in deployed.layers if type(layer).__name__ == "Conv2D"]
    assert [layer.groups for layer in convolutions] == [1, 3, 4]
    assert not any("group" in layer.name or "slice" in layer.name for layer in deployed.layers)


def test_groups_that_were_changed_one_by_one_stay_as_they_are():
    """What pruning may leave: slices that are no equal parts, or a group treated in another way."""

    def uneven(x):
        parts = [layers.channel_slice(x, 0, 5, name="a_slice1"), layers.channel_slice(x, 5, 12, name="a_slice2")]
        return layers.concat(
            [layers.conv(p, 4, name=f"a_group{n}_conv") for n, p in enumerate(parts, 1)], name="a_concat"
        )

    def strange(x):
        parts = layers.split(x, 2, name="a_slice")
        ends = [layers.conv(part, 4, name=f"a_group{n}_conv", bias=n == 1) for n, part in enumerate(parts, 1)]
        return layers.concat(ends, name="a_concat")

    def crossed(x):
        parts = layers.split(x, 2, name="a_slice")[::-1]
        return layers.concat(
            [layers.conv(p, 4, name=f"a_group{n}_conv") for n, p in enumerate(parts, 1)], name="a_concat"
        )

    for put in (uneven, strange, crossed):
        model = settle(network(put), 5)
        assert deploy(model) is model


def scaled(offset: float, trainable: bool = False) -> Any:
    from zoo.keras import keras

    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.affine(image, name="step")
    x = layers.add([layers.conv(x, 4, 3, name="one_conv"), layers.conv(x, 4, 1, name="other_conv")], name="sum")
    model = keras.Model(image, layers.dense(layers.global_pool(x, name="pool"), 3, name="logits"))
    model.get_layer("step").set_weights([np.reshape([255.0, 2.0, 0.5], (1, 1, 3, 1)), np.full(3, offset)])
    model.get_layer("step").trainable = trainable
    return model


def test_a_frozen_scale_goes_into_the_convolutions_that_read_it():
    model = scaled(0.0)
    less = deploy(model)
    assert [layer.name for layer in less.layers if layer.name == "step"] == []
    images = np.random.default_rng(0).random((4, 8, 8, 3), dtype="float32")
    np.testing.assert_allclose(less(images), model(images), rtol=1e-4, atol=1e-4)
    assert deploy(scaled(1.0)).get_layer("step") is not None  # zeros of the padding would be moved as well
    assert deploy(scaled(0.0, trainable=True)).get_layer("step") is not None


def test_a_model_without_groups_is_given_back_itself():
    model = network(lambda x: layers.conv(x, 8, name="one_conv"))
    assert deploy(model) is model


def test_foreign_and_wrapped_layers_pass_untouched():
    from zoo import int8_aware
    from zoo.keras import keras

    def put(x):
        x = grouped_conv_norm(x, 8, name="a", groups=2, form="train", activation="relu")
        return layers.conv(x, 8, name="one_conv")

    aware = int8_aware.apply(network(put, activation=None))
    assert deploy(aware) is aware
    inner = network(lambda x: grouped_conv(x, 8, name="one", groups=2, form="train"))
    image = keras.Input((5, 4, 1), name="image")
    nested = keras.Model(image, inner(image))
    assert deploy(nested) is nested
    scaled = keras.Model(image, inner(keras.layers.Lambda(lambda x: 2 * x, name="twice")(image)))
    assert deploy(scaled) is scaled


def test_deployed_network_saves_and_loads_equal(tmp_path):
    from zoo.keras import keras
    from zoo.keras_layers import custom_objects

    deployed = deploy(learned([0, 1, 2] * 4, [0, 0, 0, 1, 1, 1, 2, 2]))
    deployed.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras", custom_objects=custom_objects(), compile=False)
    image = image_for(deployed)
    np.testing.assert_array_equal(loaded(image, training=False), deployed(image, training=False))
    assert loaded.input_names == ["image"]
