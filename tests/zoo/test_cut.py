"""Cut models: equal to the model that reads nothing from what was removed, and smaller."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from tests.zoo.designs import NAMES, small
from tests.zoo.handmade import (
    CLOSED,
    OPEN,
    PARTLY,
    choose,
    classified,
    conv,
    image_of,
    images_for,
    settle,
    spared,
    ways,
)
from zoo.channel_graph import ChannelGraph
from zoo.cut import cut, masked

RELATIVE = 1e-5  # of the largest logit
DOUBLE = 1e-12  # the same where a network is built in float64
SHARES = (0.25, 0.5, 0.75)
FEW = ("mobilenet_v2", "mobilenet_v3", "shufflenet_v1", "shufflenet_v2", "ghostnet", "densenet")
# What can be cut while layers learn their groups; `zoo/deploy.py` turns these into plain ones.
WHILE_LEARNING: dict[str, set[str]] = {"condensenet": set(), "flgc": {"last_conv"}}
IMPORTED = Path(__file__).parents[3] / "shared" / "data" / "import" / "pretrainedResnet.h5"


def lively(model: Any) -> Any:
    """An untrained model whose norms have seen images: moving statistics fit, so no layer is silent or explodes."""
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.momentum = 0.0  # what one batch has becomes its statistics, in every layer at once
    model(np.random.default_rng(11).random((8, *model.input_shape[1:]), dtype="float32"), training=True)
    return model


def answers(model: Any, images: Any) -> list[np.ndarray]:
    from zoo.keras import tf

    return [np.asarray(answer) for answer in tf.nest.flatten(model(images, training=False))]


def assert_equal(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for mine, theirs in zip(one, other, strict=True):
        assert np.isfinite(theirs).all()
        relative = DOUBLE if theirs.dtype == np.float64 else RELATIVE
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=relative * np.abs(theirs).max())


def kinds(model: Any) -> Counter[str]:
    """How often each layer class occurs, nested models laid open, each layer counted once."""
    return Counter(type(layer).__name__ for layer in leaves(model).values())


def leaves(model: Any) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for layer in model.layers:
        found |= leaves(layer) if hasattr(layer, "_nodes_by_depth") else {id(layer): layer}
    return found


def cut_equals_masked(graph: ChannelGraph, removed: list[int]) -> Any:
    """The cut model, after everything that must hold for it."""
    model = graph.model
    images = images_for(model)
    weights, before = [weight.copy() for weight in model.get_weights()], answers(model, images)
    assert removed
    full, less = masked(graph, removed), cut(graph, removed)
    wanted = answers(full, images)
    assert_equal(answers(less, images), wanted)
    # The mask is felt, or equal answers would prove nothing.
    assert any(
        np.abs(mine - theirs).max() > 10 * RELATIVE * np.abs(theirs).max()
        for mine, theirs in zip(wanted, before, strict=True)
    )
    assert all((one == other).all() for one, other in zip(weights, model.get_weights(), strict=True))
    assert_equal(answers(model, images), before)
    assert full.count_params() == model.count_params()
    assert less.count_params() < model.count_params()
    return less


def family_cuts(name: str, form: str, shares: tuple[float, ...], **options: Any) -> None:
    from zoo.keras import keras

    keras.utils.set_random_seed(11)
    model = lively(zoo.build(name, **small(name, **options), form=form))
    graph = ChannelGraph.of(model)
    if name in WHILE_LEARNING and form == "train":
        assert {maker for makers in graph.made_by().values() for maker in makers} == WHILE_LEARNING[name]
    for share in shares if len(graph.free) else ():
        less = cut_equals_masked(graph, choose(graph, share, seed=int(100 * share)))
        assert zoo.cost_of(zoo.sketch_of(less)).macs < zoo.cost_of(zoo.sketch_of(model)).macs
        assert kinds(less) == kinds(model)
        assert [layer.name for layer in less.layers] == [layer.name for layer in model.layers]


@pytest.mark.parametrize("name", FEW)
def test_half_of_a_family_is_cut_with_the_answers_of_the_masked_model(name):
    family_cuts(name, "deploy", (0.5,))


def test_half_of_a_residual_network_is_cut_with_the_answers_of_the_masked_model():
    family_cuts("resnet", "deploy", (0.5,), variant="cifar20", width=0.25, resolution=32, classes=3, channels=1)


@pytest.mark.parametrize("name", WHILE_LEARNING)
def test_layers_that_learn_their_groups_are_barriers_until_they_are_deployed(name):
    family_cuts(name, "train", ())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["train", "deploy"])
@pytest.mark.parametrize("name", NAMES)
def test_every_family_is_cut_with_the_answers_of_the_masked_model(name, form):
    # At a quarter of the width only the last stage of condensenet has units to spare, and before any training its
    # deployed classifier reads the first half of the features: the mask would not be felt.
    family_cuts(name, form, SHARES, **({"width": 0.5} if name == "condensenet" else {}))


@pytest.mark.parametrize("name", OPEN)
def test_model_with_known_layers_is_cut_with_the_answers_of_the_masked_model(name):
    model = settle(OPEN[name]())
    graph = ChannelGraph.of(model)
    less = cut_equals_masked(graph, choose(graph, 0.5, seed=2))
    assert kinds(less) == kinds(model) - Counter(InputLayer=kinds(model)["InputLayer"] - 1)
    assert zoo.cost_of(zoo.sketch_of(less)).macs < zoo.cost_of(zoo.sketch_of(model)).macs


@pytest.mark.parametrize("name", [*CLOSED, *PARTLY])
def test_model_with_a_barrier_is_cut_elsewhere_with_the_answers_of_the_masked_model(name):
    graph = ChannelGraph.of(settle({**CLOSED, **PARTLY}[name]()))
    cut_equals_masked(graph, choose(graph, 0.5, seed=2))


def test_model_with_an_operator_that_is_not_known_is_cut_elsewhere():
    image = image_of()
    x = conv(conv(image, 8, "stem")[..., ::-1], 8, "last")
    graph = ChannelGraph.of(settle(classified(image, x)))
    cut_equals_masked(graph, choose(graph, 0.5, seed=2))


@pytest.mark.parametrize("ends", ["list", "dict"])
def test_model_of_several_images_and_answers_keeps_them(ends):
    model = settle(ways(ends))
    graph = ChannelGraph.of(model)
    less = cut_equals_masked(graph, choose(graph, 0.5, seed=2))
    assert less.input_names == model.input_names
    assert type(less.output) is type(model.output)
    assert [tuple(tensor.shape) for tensor in less.outputs] == [tuple(tensor.shape) for tensor in model.outputs]


@pytest.mark.parametrize("name", [*OPEN, *CLOSED, *PARTLY])
def test_removing_nothing_copies_the_model(name):
    model = settle({**OPEN, **CLOSED, **PARTLY}[name]())
    images = images_for(model)
    for copy in (cut(ChannelGraph.of(model), []), masked(ChannelGraph.of(model), [])):
        assert not {id(layer) for layer in copy.layers} & {id(layer) for layer in model.layers}
        assert_equal(answers(copy, images), answers(model, images))


def test_cut_keeps_the_chosen_filters_and_what_reads_them():
    model = settle(OPEN["chain"]())
    graph = ChannelGraph.of(model)
    stem = graph.outputs_of("stem_conv")
    less = cut(graph, stem[[1, 2, 6]].tolist())
    kept = [0, 3, 4, 5, 7]
    kernel, bias = model.get_layer("stem_conv").get_weights()
    np.testing.assert_array_equal(less.get_layer("stem_conv").get_weights()[0], kernel[..., kept])
    np.testing.assert_array_equal(less.get_layer("stem_conv").get_weights()[1], bias[kept])
    for one, other in zip(
        less.get_layer("stem_norm").get_weights(), model.get_layer("stem_norm").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other[kept])
    np.testing.assert_array_equal(
        less.get_layer("last_conv").get_weights()[0], model.get_layer("last_conv").get_weights()[0][:, :, kept]
    )


def test_flattened_channel_takes_its_row_of_every_cell():
    model = settle(OPEN["flat_head"]())
    graph = ChannelGraph.of(model)
    less = cut(graph, [int(graph.outputs_of("stem_conv")[5])])
    rows = model.get_layer("hidden").get_weights()[0].reshape(9, 8, 10)
    wanted = np.delete(rows, 5, axis=1).reshape(-1, 10)
    np.testing.assert_array_equal(less.get_layer("hidden").get_weights()[0], wanted)


def test_shuffle_stays_a_shuffle_and_groups_stay_groups():
    model = zoo.build("shufflenet_v1", **small("shufflenet_v1"), form="deploy")
    graph = ChannelGraph.of(model)
    less = cut(graph, choose(graph, 0.5, seed=2))
    for layer in model.layers:
        if type(layer).__name__ in ("ChannelShuffle", "Conv2D"):
            assert less.get_layer(layer.name).groups == layer.groups
    assert kinds(less)["ChannelShuffle"] > 0


def test_groups_trained_as_slices_still_deploy_as_one_convolution():
    from zoo.deploy import deploy

    model = settle(zoo.build("shufflenet_v1", **small("shufflenet_v1")))
    graph = ChannelGraph.of(model)
    less = cut(graph, choose(graph, 0.5, seed=2))
    assert kinds(deploy(less)) == kinds(deploy(model))


def test_what_fits_one_size_only_goes_and_the_rest_of_a_layer_stays():
    from zoo.keras import keras

    graph = ChannelGraph.of(settle(OPEN["started"]()))
    stays, goes = graph.model.get_layer("lambda_conv"), graph.model.get_layer("constant_conv")
    less = cut(graph, [int(graph.outputs_of(name)[0]) for name in ("constant_conv", "lambda_conv")])
    assert less.get_layer("lambda_conv").kernel_regularizer is stays.kernel_regularizer
    assert less.get_layer("constant_conv").kernel_regularizer is None
    assert cut(graph, []).get_layer("constant_conv").kernel_regularizer is goes.kernel_regularizer
    assert isinstance(less.get_layer("constant_conv").bias_initializer, keras.initializers.Zeros)
    assert isinstance(less.get_layer("ramp_conv").kernel_initializer, keras.initializers.GlorotUniform)


def test_nested_model_that_was_laid_down_not_to_train_does_not():
    from zoo.keras import keras

    image = image_of()
    inner_image = keras.Input((6, 5, 8))
    inner = keras.Model(inner_image, keras.layers.Dropout(0.9)(conv(inner_image, 8, "a")), name="inner")
    graph = ChannelGraph.of(settle(classified(image, inner(conv(image, 8, "stem"), training=False))))
    less = cut(graph, [int(graph.outputs_of("inner/a_conv")[0])])
    images = images_for(graph.model)
    before = less.get_layer("inner_a_norm").moving_mean.numpy().copy()
    less(images, training=True)
    np.testing.assert_array_equal(less.get_layer("inner_a_norm").moving_mean.numpy(), before)
    assert (less.get_layer("stem_norm").moving_mean.numpy() != 0).any()


def test_layer_that_cannot_be_made_again_is_named():
    from zoo.keras import keras

    class Own(keras.layers.Layer):
        def __init__(self, factor: float) -> None:
            super().__init__(name="own")
            self.factor = factor

        def call(self, x: Any) -> Any:
            return x * self.factor

    image = image_of()
    graph = ChannelGraph.of(classified(image, conv(Own(2.0)(image), 8, "last")))
    with pytest.raises(ValueError, match="layer own, a Own, cannot be made again from its configuration"):
        cut(graph, [int(graph.outputs_of("last_conv")[0])])


def test_frozen_layers_stay_frozen():
    graph = ChannelGraph.of(settle(OPEN["frozen"]()))
    less = cut(graph, choose(graph, 0.5, seed=2))
    assert [layer.name for layer in less.layers if not layer.trainable] == ["frozen_conv", "frozen_norm"]


def test_layers_of_nested_models_keep_names_of_their_own():
    graph = ChannelGraph.of(settle(OPEN["nested"]()))
    names = [layer.name for layer in cut(graph, choose(graph, 0.5, seed=2)).layers]
    assert len(set(names)) == len(names)
    assert {"first_a_conv", "second_a_conv", "second_a_relu", "last_conv"} <= set(names)


def test_map_of_open_size_is_cut():
    from zoo.keras import keras

    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(conv(image, 8, "stem"))
    model = settle(classified(image, conv(x, 8, "last")))
    graph = ChannelGraph.of(model)
    assert len(graph.free) == 16
    removed = choose(graph, 0.5, seed=2)
    images = np.random.default_rng(1).random((2, 7, 9, 3), dtype="float32")
    assert_equal(answers(cut(graph, removed), images), answers(masked(graph, removed), images))


GRAPHS: dict[str, ChannelGraph] = {}


def graph_of(name: str) -> ChannelGraph:
    """One graph per model, read once for all examples."""
    if name not in GRAPHS:
        GRAPHS[name] = ChannelGraph.of(settle(OPEN[name]()))
    return GRAPHS[name]


@given(name=st.sampled_from(["residual", "squeeze_excite", "sliced", "parts", "summed"]), data=st.data())
@settings(max_examples=15, deadline=None)
def test_any_choice_of_units_rebuilds_and_equals_the_masked_model(name, data):
    graph = graph_of(name)
    removed = set(data.draw(st.sets(st.sampled_from(graph.free.tolist()))))
    kept = spared(graph, removed, np.random.default_rng(0))
    images = images_for(graph.model)
    assert_equal(answers(cut(graph, kept), images), answers(masked(graph, kept), images))


@pytest.mark.parametrize("act", [cut, masked])
def test_locked_unit_is_refused_with_the_reason(act):
    graph = ChannelGraph.of(CLOSED["layer_norm"]())
    with pytest.raises(ValueError, match=r"cannot be removed: it is the image"):
        act(graph, [int(graph.inputs_of("stem_conv")[0])])
    with pytest.raises(ValueError, match=r"cannot be removed: it is an answer of the model"):
        act(graph, [int(graph.outputs_of("logits")[0])])
    with pytest.raises(ValueError, match=r"cannot be removed: it enters it, a LayerNormalization"):
        act(graph, [int(graph.outputs_of("stem_conv")[0])])


@pytest.mark.parametrize("act", [cut, masked])
def test_layer_without_channels_is_refused(act):
    graph = ChannelGraph.of(OPEN["chain"]())
    with pytest.raises(ValueError, match="leaves layer stem_conv without a channel"):
        act(graph, graph.outputs_of("stem_conv").tolist())


@pytest.mark.parametrize("unit", [-1, 10_000])
@pytest.mark.parametrize("act", [cut, masked])
def test_unit_that_does_not_exist_is_refused(act, unit):
    graph = ChannelGraph.of(OPEN["chain"]())
    with pytest.raises(ValueError, match="the model has units 0 to"):
        act(graph, [unit])


@pytest.mark.parametrize("name", ["nested", "squeeze_excite", "sliced", "called_twice"])
def test_saved_cut_loads_with_equal_answers(name, tmp_path):
    from zoo.keras import keras
    from zoo.keras_layers import custom_objects

    graph = graph_of(name)
    less = cut(graph, choose(graph, 0.5, seed=2))
    less.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras", custom_objects=custom_objects(), compile=False)
    images = images_for(graph.model)
    for one, other in zip(answers(loaded, images), answers(less, images), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(not IMPORTED.exists(), reason="the imported network is not on this machine")
@pytest.mark.parametrize("share", SHARES)
def test_network_from_elsewhere_is_cut_with_the_answers_of_the_masked_model(share):
    from zoo.keras import keras

    graph = ChannelGraph.of(keras.models.load_model(IMPORTED, compile=False))
    less = cut_equals_masked(graph, choose(graph, share, seed=3))
    assert zoo.cost_of(zoo.sketch_of(less)).macs < zoo.cost_of(zoo.sketch_of(graph.model)).macs
