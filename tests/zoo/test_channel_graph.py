"""Which channels go together, which are locked, and the reasons given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zoo
from tests.zoo.designs import NAMES, small
from tests.zoo.handmade import CLOSED, OPEN, PARTLY, around, classified, conv, flat_head, image_of, ways
from zoo.channel_graph import ANSWER, IMAGE, ChannelGraph
from zoo.rules import shuffle_order


def graph(name: str) -> ChannelGraph:
    return ChannelGraph.of(OPEN[name]())


def outputs(made: ChannelGraph, *names: str) -> list[list[int]]:
    return [made.outputs_of(name).tolist() for name in names]


def reasons(made: ChannelGraph, name: str) -> set[str]:
    """Why the output channels of a layer stay; empty for one that may lose any."""
    return {made.locked.get(unit, "") for unit in made.outputs_of(name).tolist()} - {""}


@pytest.mark.parametrize("name", OPEN)
def test_only_the_image_and_the_answer_are_locked_in_a_model_of_known_layers(name):
    made = graph(name)
    assert made.barriers() == {IMAGE: 3, ANSWER: 3}
    assert set(made.free.tolist()) | set(made.locked) == set(made.units.tolist())
    assert {maker for makers in made.made_by().values() for maker in makers} == {
        site.name for site in made.makers if site.name != "logits"
    }


def test_groups_hold_every_free_unit_once():
    made = graph("residual")
    assert sorted(unit for group in made.groups() for unit in group.tolist()) == made.free.tolist()
    assert sorted(len(group) for group in made.groups()) == [6, 8, 8]
    assert set(made.made_by().values()) == {("one_conv",), ("stem_conv", "two_conv"), ("last_conv",)}


@pytest.mark.parametrize(("name", "join", "one"), [("residual", "sum", "two_conv"), ("maximum", "most", "one_conv")])
def test_channels_that_meet_are_one_unit(name, join, one):
    stem, other, both = outputs(graph(name), "stem_conv", one, join)
    assert stem == other == both
    assert len(set(stem)) == 8


def test_concatenation_puts_units_one_after_the_other():
    made = graph("concat")
    one, stem, two, join = outputs(made, "one_conv", "stem_conv", "two_conv", "join")
    assert join == one + stem + two
    assert len(set(join)) == 17


def test_depthwise_convolution_hands_each_channel_to_its_multiples():
    stem, wide = outputs(graph("multiplied"), "stem_conv", "depthwise")
    assert wide == np.repeat(stem, 2).tolist()


def test_separable_and_transposed_convolutions_make_channels_of_their_own():
    for name, layer in (("separable", "apart"), ("transposed", "larger"), ("dense_on_map", "pointwise")):
        stem, own = outputs(graph(name), "stem_conv", layer)
        assert len(set(own)) == 10
        assert not set(own) & set(stem)


def test_gate_of_squeeze_and_excitation_goes_with_its_map():
    stem, gate, mapped = outputs(graph("squeeze_excite"), "stem_conv", "se_expand", "se_map")
    assert stem == gate == mapped
    assert len(set(stem)) == 8


def test_flattened_map_repeats_its_channels_once_per_cell():
    made = ChannelGraph.of(flat_head())
    stem, flat = outputs(made, "stem_conv", "flat")
    assert flat == stem * 9


def test_grouped_convolution_keeps_the_same_places_in_every_group():
    made = graph("grouped")
    stem, out = outputs(made, "stem_conv", "grouped")
    assert stem[:4] == stem[4:]
    assert out[:6] == out[6:]
    assert len(set(stem)) == 4
    assert len(set(out)) == 6


def test_shuffle_deals_out_and_keeps_the_same_places_in_every_group():
    made = graph("gathered")
    stem, dealt, taken = outputs(made, "stem_conv", "shuffle", "gather")
    assert stem[:4] == stem[4:]
    assert dealt == [stem[place] for place in shuffle_order(2, 8)]
    assert taken == [dealt[place] for place in (7, 0, 0, 3, 4, 1)]


def test_slices_hand_on_their_part():
    stem, left, right = outputs(graph("sliced"), "stem_conv", "left", "right")
    assert (left, right) == (stem[:3], stem[3:])


def test_layer_called_twice_keeps_the_same_channels_both_times():
    made = graph("called_twice")
    assert made.sites["shared:2"].first == "shared"
    stem, once, twice = outputs(made, "stem_conv", "shared", "shared:2")
    assert stem == once == twice
    assert [site.name for site in made.makers] == ["stem_conv", "shared", "last_conv", "logits"]


def test_slice_called_twice_on_different_widths_keeps_the_same_places_of_both():
    stem, wide = outputs(graph("slice_called_twice"), "stem_conv", "wide_conv")
    assert stem == wide[:8]
    assert len(set(wide)) == 10


def test_activation_called_everywhere_ties_nothing():
    made = graph("activation_called_twice")
    assert len(made.free) == 8 + 8 + 12 + 5 + 8
    assert {"relu", "relu:2", "relu:3"} < set(made.sites)


def test_nested_models_are_laid_open():
    made = graph("nested")
    assert {"first/a_conv", "second/a_conv", "second/a_conv:2"} < set(made.sites)
    first, once, twice = outputs(made, "first/a_conv", "second/a_conv", "second/a_conv:2")
    assert first == once == twice


def test_layer_inside_and_outside_a_nested_model_is_one_layer():
    made = graph("nested_shares")
    stem, inside, outside = outputs(made, "stem_conv", "inner/shared", "shared:2")
    assert stem == inside == outside


def test_branches_trained_as_slices_lose_the_same_places():
    made = ChannelGraph.of(zoo.build("shufflenet_v1", **small("shufflenet_v1")))
    stems = {name.split("_group")[0] for name in made.sites if "_group2_conv" in name}
    assert stems
    for stem in stems:
        assert len({tuple(made.outputs_of(name)) for name in made.sites if name.startswith(f"{stem}_group")}) == 1


@pytest.mark.parametrize("name", CLOSED)
def test_layer_that_says_nothing_about_channels_locks_what_it_reads_and_makes(name):
    made = ChannelGraph.of(CLOSED[name]())
    (reason,) = reasons(made, "stem_conv")
    layer = "turn" if name == "first_channels" else "it"
    kind = made.sites[layer].kind
    assert reason == f"it enters {layer}, a {kind}, which does not say what it does to channels"
    assert not made.sites[layer].known
    assert f"{layer}, a {kind}, makes it" in made.barriers()
    assert not reasons(made, "last_conv")
    assert [set(makers) for makers in made.made_by().values()] == [{"last_conv"}] * 8


def weighted_by_channel(x: Any) -> Any:
    return x * np.arange(1, 9, dtype="float32")


def joined_below(x: Any) -> Any:
    from zoo.keras import tf

    return tf.concat([x, x], 1)


def joined_with_zeros(x: Any) -> Any:
    from zoo.keras import tf

    return tf.concat([x, np.zeros((2, 6, 5, 1), "float32")], -1)


def summed_over_channels(x: Any) -> Any:
    from zoo.keras import tf

    return x - tf.reduce_sum(x, axis=-1, keepdims=True)


def row_of(x: Any) -> Any:
    return x[:, 0][:, None]


UNKNOWN = (weighted_by_channel, joined_below, joined_with_zeros, summed_over_channels, row_of, lambda x: x[..., ::2])


@pytest.mark.parametrize("act", UNKNOWN)
def test_operators_that_treat_channels_unequally_or_are_not_known_are_barriers(act):
    image = image_of()
    made = ChannelGraph.of(classified(image, conv(act(conv(image, 8, "stem")), 8, "last")))
    (reason,) = reasons(made, "stem_conv")
    assert "OpLambda, which does not say" in reason
    assert len(made.free) == 8


def test_numbers_joined_by_operators_meet_and_numbers_alone_pass():
    stem, one = outputs(graph("summed"), "stem_conv", "one_conv")
    assert stem == one
    made = graph("joined")
    one, stem, two = outputs(made, "one_conv", "stem_conv", "two_conv")
    assert made.inputs_of("last_conv").tolist() == [*one, *stem, *two, *stem]
    made = graph("parts")
    one, stem = outputs(made, "one_conv", "stem_conv")
    assert made.inputs_of("one_conv").tolist() == stem[2:7]
    assert made.inputs_of("last_conv").tolist() == [*one, *stem[:3], *stem[3:]]


def test_map_of_one_channel_spread_over_all_is_locked_and_the_others_are_free():
    made = ChannelGraph.of(PARTLY["gate_of_one"]())
    assert reasons(made, "mask") == {"it spreads it over all of its channels"}
    assert not reasons(made, "stem_conv")
    assert not reasons(made, "last_conv")
    locked = [unit in made.locked for unit in made.outputs_of("next_conv").tolist()]
    assert locked == [True] + [False] * 7


def test_activation_of_somebodys_own_locks_what_it_reads_however_it_is_called():
    made = ChannelGraph.of(PARTLY["own_activations"]())
    for name in ("lambda_conv", "partial_conv", "slope_conv"):
        assert reasons(made, name) == {f"{name} ends in an activation of its own, which may mix its channels"}
    for name in ("one_conv", "two_conv", "stem_conv", "last_conv"):
        assert not reasons(made, name)
    assert reasons(made, "three_conv") == {"it enters named, a Activation, which does not say what it does to channels"}


def test_operators_that_leave_no_channels_are_barriers():
    from zoo.keras import keras, tf

    image = image_of()
    x = conv(image, 8, "stem")
    made = ChannelGraph.of(keras.Model(image, conv(x / tf.reduce_sum(x), 8, "last")))
    assert not len(made.free)


def test_convolutions_with_channels_in_front_are_barriers():
    from zoo.keras import keras

    image = keras.Input((3, 6, 5), name="image")
    x = keras.layers.Conv2D(8, 3, data_format="channels_first", name="one")(image)
    x = keras.layers.Conv2D(8, 3, data_format="channels_first", name="two")(x)
    x = keras.layers.GlobalAveragePooling2D(data_format="channels_first", name="pool")(x)
    made = ChannelGraph.of(keras.Model(image, keras.layers.Dense(2, name="logits")(x)))
    assert not len(made.free)
    assert "one, a Conv2D, makes it" in made.barriers()


def test_softmax_inside_a_layer_locks_what_it_makes_and_not_what_it_reads():
    attend = lambda layers, x: layers.Conv2D(6, 1, activation="softmax", name="attend")(x)  # noqa: E731
    made = ChannelGraph.of(around(attend)())
    assert reasons(made, "attend") == {"attend ends in softmax, which mixes its channels"}
    assert not reasons(made, "stem_conv")


def test_every_image_and_every_answer_is_locked():
    made = ChannelGraph.of(ways())
    assert made.barriers() == {IMAGE: 4, ANSWER: 5}
    assert outputs(made, "one_conv") == outputs(made, "two_conv")


def test_tensor_that_is_also_an_answer_is_locked():
    from zoo.keras import keras

    image = image_of()
    x = conv(image, 8, "stem")
    made = ChannelGraph.of(keras.Model(image, [x, conv(x, 4, "last")]))
    assert reasons(made, "stem_conv") == {ANSWER}


def test_sequential_models_are_read():
    from zoo.keras import keras

    made = ChannelGraph.of(
        keras.Sequential([keras.Input((6, 5, 3)), keras.layers.Conv2D(4, 3), keras.layers.Conv2D(2, 3)])
    )
    assert len(made.free) == 4


def test_model_that_is_not_functional_is_refused():
    from zoo.keras import keras

    class Own(keras.Model):
        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(ValueError, match="model own is not functional"):
        ChannelGraph.of(Own(name="own"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_family_has_units_to_remove_once_it_is_deployed(name):
    made = ChannelGraph.of(zoo.build(name, **small(name), form="deploy"))
    assert len(made.free)
    assert {IMAGE, ANSWER} <= set(made.barriers())
