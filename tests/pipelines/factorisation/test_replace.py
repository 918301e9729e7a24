"""Chains in the place of layers: the same function at full rank, the multiply-adds of the formulas, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zoo
from pipelines.factorisation.replace import (
    Replacement,
    candidates_of,
    carry_out,
    choose,
    plan_of,
    replacement,
    within_budget,
)
from pipelines.methods import cp, spatial_svd, svd, tucker2
from tests.zoo.handmade import inner_model
from zoo import layers
from zoo.blocks.grouped import grouped_conv

SCHEMES = {"svd": svd.SCHEME, "spatial_svd": spatial_svd.SCHEME, "tucker2": tucker2.scheme(3), "cp": cp.scheme(0)}
INPUTS, OUTPUTS = 4, 6
# CP: every singular value of the (12, 18) matrix of a 3 x 3 kernel in 3 columns and 3 rows.
FULL = {"svd": (4,), "spatial_svd": (12,), "tucker2": (4, 6), "cp": (12 * 3 * 3,)}


def one_layer(side: tuple[int, int] = (8, 8), **config: Any) -> Any:
    """A convolution between nothing and nothing, with random weights, bias and ReLU."""
    from zoo.keras import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((*side, INPUTS), name="image")
    layer = keras.layers.Conv2D(OUTPUTS, activation="relu", bias_initializer="random_normal", name="conv", **config)
    return keras.Model(image, layer(image))


def factored(model: Any, name: str, ranks: tuple[int, ...]) -> tuple[Any, list[dict[str, Any]]]:
    """The model with every layer a scheme takes replaced at these ranks, cheaper or not, and the rows of the report."""
    plan = plan_of(model)
    candidates, _ = candidates_of(model, plan, SCHEMES[name], skip=(), skip_ends=False)
    rows = [carry_out(plan, SCHEMES[name], Replacement(one, ranks, 0)) for one in candidates]
    return plan.build(), rows


def answers(model: Any, seed: int = 1) -> np.ndarray:
    images = np.random.default_rng(seed).normal(size=(2, *model.input_shape[1:])).astype("float32")
    return np.asarray(model(images, training=False))


def macs_of(model: Any) -> int:
    return zoo.cost_of(zoo.sketch_of(model)).macs


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("side", [(8, 8), (7, 7), (9, 6)])
@pytest.mark.parametrize("name", SCHEMES)
def test_full_rank_reproduces_a_convolution(name, side, stride, padding) -> None:
    size = 1 if name == "svd" else 3
    model = one_layer(side, kernel_size=size, strides=stride, padding=padding)
    chain, rows = factored(model, name, FULL[name])
    np.testing.assert_allclose(answers(chain), answers(model), atol=1e-5)
    assert rows[0]["relative_error"] < 1e-6
    assert [layer.name for layer in chain.layers[1:]] == [f"conv_{n}" for n in range(1, len(chain.layers))]
    assert len(chain.layers) - 1 == {"svd": 2, "spatial_svd": 2, "tucker2": 3, "cp": 4 if stride == 1 else 3}[name]


@pytest.mark.parametrize(
    ("name", "config", "ranks"),
    [
        ("spatial_svd", {"kernel_size": 3, "dilation_rate": 2}, (12,)),
        ("spatial_svd", {"kernel_size": (3, 5), "strides": (2, 1)}, (12,)),
        ("spatial_svd", {"kernel_size": (2, 4)}, (8,)),
        ("tucker2", {"kernel_size": 3, "dilation_rate": 2}, (4, 6)),
        ("tucker2", {"kernel_size": (1, 3)}, (4, 6)),
        ("cp", {"kernel_size": 3, "dilation_rate": 2}, (12 * 9,)),
        ("cp", {"kernel_size": (3, 1)}, (6 * 3,)),
        ("cp", {"kernel_size": (2, 4)}, (8 * 2 * 4,)),
    ],
)
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_full_rank_reproduces_odd_windows_too(name, config, ranks, padding) -> None:
    model = one_layer((11, 10), padding=padding, **config)
    chain, _ = factored(model, name, ranks)
    np.testing.assert_allclose(answers(chain), answers(model), atol=1e-5)


@pytest.mark.parametrize("name", SCHEMES)
def test_the_answers_come_nearer_with_every_rank(name) -> None:
    model = one_layer(kernel_size=1 if name == "svd" else 3, padding="same")
    scheme = cp.scheme(200) if name == "cp" else SCHEMES[name]
    plan = plan_of(model)
    (candidate,), _ = candidates_of(model, plan, scheme, skip=(), skip_ends=False)
    errors, gaps = [], []
    for rank in (1, 2, 4):
        plan = plan_of(model)
        row = carry_out(plan, scheme, Replacement(candidate, (rank,) * len(FULL[name]), 0))
        errors.append(row["relative_error"])
        gaps.append(np.abs(answers(plan.build()) - answers(model)).mean())
    assert errors[0] > errors[1] > errors[2]
    assert gaps[0] > gaps[1] > gaps[2]


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [1, 2])
def test_multiply_adds_are_those_of_the_formulas(stride, padding) -> None:
    """By hand: a 3x3 convolution of 4 to 6 channels on a map of 9 x 6, and the chains in its place."""
    size = {("same", 1): (9, 6), ("same", 2): (5, 3), ("valid", 1): (7, 4), ("valid", 2): (4, 2)}[padding, stride]
    height, width = size
    wide = 6  # the column does not touch the width
    for name, ranks, macs in (
        ("spatial_svd", (5,), height * wide * 3 * 4 * 5 + height * width * 3 * 5 * 6),
        ("tucker2", (2, 3), 9 * 6 * 4 * 2 + height * width * (9 * 2 * 3 + 3 * 6)),
        (
            "cp",
            (5,),
            9 * 6 * 4 * 5
            + (height * wide * 3 * 5 + height * width * 3 * 5 if stride == 1 else height * width * 9 * 5)
            + height * width * 5 * 6,
        ),
    ):
        model = one_layer((9, 6), kernel_size=3, strides=stride, padding=padding)
        scheme = SCHEMES[name]
        (candidate,), _ = candidates_of(model, plan_of(model), scheme, skip=(), skip_ends=False)
        chain, rows = factored(model, name, ranks)
        assert macs_of(chain) == macs, name
        at = iter(ranks if name != "cp" else ranks * 3)
        assert replacement(scheme, candidate, lambda spectrum, at=at: next(at), 1).macs == macs, name
        assert macs_of(model) == candidate.macs == height * width * 9 * 4 * 6
        assert rows[0]["ranks"] == list(ranks)


def test_a_dense_layer_becomes_two_and_the_norm_stays_behind_the_last() -> None:
    from zoo.keras import keras

    image = keras.Input((6, 6, 8), name="image")
    x = layers.norm(layers.conv(image, 16, name="one_conv"), name="one_norm")
    x = layers.flatten(layers.relu(x, name="one_relu"), name="flatten")
    model = keras.Model(image, layers.dense(x, 10, name="logits"))
    chain, rows = factored(model, "svd", (8,))
    assert [(row["layer"], row["macs_before"]) for row in rows] == [
        ("one_conv", 36 * 8 * 16),
        ("logits", 576 * 10),
    ]
    assert [layer.name for layer in chain.layers[1:]] == [
        "one_conv_1", "one_conv_2", "one_norm", "one_relu", "flatten", "logits_1", "logits_2"
    ]  # fmt: skip
    assert not chain.get_layer("logits_1").use_bias
    assert chain.get_layer("logits_2").use_bias
    assert macs_of(chain) == 36 * (8 * 8 + 8 * 16) + 576 * 8 + 8 * 10
    again, _ = factored(chain, "svd", (4,))
    assert "one_conv_1_2" in [layer.name for layer in again.layers]


def test_names_that_are_taken_are_passed_over() -> None:
    from zoo.keras import keras

    image = keras.Input((6, 6, 4), name="image")
    x = layers.relu(layers.conv(image, 8, 3, name="conv"), name="conv_1")
    chain, rows = factored(keras.Model(image, x), "spatial_svd", (2,))
    assert rows[0]["factors"] == ["conv_2", "conv_3"]
    assert [layer.name for layer in chain.layers] == ["image", "conv_2", "conv_3", "conv_1"]


def chained() -> Any:
    """Five 3x3 convolutions with norms, the fourth in groups that train as slices, and a classifier."""
    from zoo.keras import keras

    keras.utils.set_random_seed(0)
    image = x = keras.Input((16, 16, 1), name="image")
    for place, (channels, stride) in enumerate([(16, 2), (32, 1), (48, 2)], start=1):
        x = layers.conv(x, channels, 3, name=f"stage{place}_conv", stride=stride)
        x = layers.relu(layers.norm(x, name=f"stage{place}_norm"), name=f"stage{place}_relu")
    x = grouped_conv(x, 48, 3, name="stage4", groups=2, form="train")
    x = layers.conv(x, 48, 3, name="stage5_conv", groups=2)
    return keras.Model(image, layers.dense(layers.global_pool(x, name="pool"), 4, name="head_logits"))


def test_ends_patterns_groups_and_kinds_are_left_alone_with_the_reason() -> None:
    model = zoo.build("mobilenet_v1", width=0.25, resolution=16, classes=4, channels=1)
    found, left = candidates_of(model, plan_of(model), svd.SCHEME, skip=["stage3_*"], skip_ends=True)
    names = {one.call.name for one in found}
    assert left["stem_conv"] == "it is the first of all"
    assert left["head_logits"] == "it is the classifier"
    assert left["stage3_1_pointwise_conv"] == "skip names it"
    assert "depthwise" in left["stage2_1_depthwise_conv"]
    assert "stage2_1_pointwise_conv" in names
    kernels = {layer.name for layer in model.layers if type(layer).__name__ in ("Conv2D", "DepthwiseConv2D", "Dense")}
    assert names | left.keys() == kernels


def test_groups_are_left_alone_trained_in_slices_or_not() -> None:
    model = chained()
    found, left = candidates_of(model, plan_of(model), tucker2.scheme(0), skip=(), skip_ends=True)
    assert [one.call.name for one in found] == ["stage2_conv", "stage3_conv"]
    in_groups = {name for name, reason in left.items() if reason == "its channels are in groups"}
    assert in_groups == {"stage4_group1_conv", "stage4_group2_conv", "stage5_conv"}


def test_a_layer_stays_when_its_multiply_adds_would_not_drop() -> None:
    model = one_layer(kernel_size=1)  # 4 x 6 / (4 + 6) = 2.4: worth it up to rank 2
    candidates, _ = candidates_of(model, plan_of(model), svd.SCHEME, skip=(), skip_ends=False)
    for rank, worth in ((2, True), (3, False)):
        chosen, left = choose(svd.SCHEME, candidates, lambda spectrum, rank=rank: rank, 1)
        assert bool(chosen) is worth
        assert left == ({} if worth else {"conv": "its multiply-adds would not drop: 1,536 to 1,920 at rank 3"})


def test_energy_of_a_layer_is_what_its_error_leaves() -> None:
    model = chained()
    plan, scheme = plan_of(model), spatial_svd.SCHEME
    candidates, _ = candidates_of(model, plan, scheme, skip=(), skip_ends=True)
    chosen, _ = choose(scheme, candidates, lambda spectrum: spectrum.energy(0.6), 1)
    rows = [carry_out(plan, scheme, one) for one in chosen]
    assert len(rows) == 2
    assert all(0.35 < row["relative_error"] ** 2 <= 0.4 for row in rows)


@pytest.mark.parametrize("budget", [0.8, 0.5])
def test_a_budget_is_kept_and_nearly_used_up(budget) -> None:
    model = chained()
    scheme, whole = spatial_svd.SCHEME, macs_of(model)
    plan = plan_of(model)
    candidates, _ = candidates_of(model, plan, scheme, skip=(), skip_ends=True)
    level = within_budget(scheme, candidates, macs=whole, budget=budget, multiple=1)
    chosen, _ = choose(scheme, candidates, lambda spectrum: spectrum.energy(level), 1)
    for one in chosen:
        carry_out(plan, scheme, one)
    left = macs_of(plan.build())
    assert left == whole - sum(one.candidate.macs - one.macs for one in chosen)
    assert 0.95 * budget < left / whole <= budget
    with pytest.raises(ValueError, match=r"budget = 0\.01 is not possible: at the smallest ranks 0\.\d+ of the"):
        within_budget(scheme, candidates, macs=whole, budget=0.01, multiple=8)


def test_models_that_are_not_flat_or_not_of_the_vocabulary_are_refused_by_name() -> None:
    from zoo.keras import keras

    image = keras.Input((8, 8, 4), name="image")
    inner = inner_model(image, 10, "first")(image)
    with pytest.raises(ValueError, match="is a model by itself"):
        plan_of(keras.Model(image, inner))
    strange = keras.layers.LayerNormalization(name="strange")(image)
    with pytest.raises(ValueError, match="layer strange is a LayerNormalization, which is not in the layer vocabulary"):
        plan_of(keras.Model(image, strange))
    twice = keras.layers.Conv2D(4, 1, name="again")
    with pytest.raises(ValueError, match="layer again is called twice"):
        plan_of(keras.Model(image, twice(twice(image))))
    sequence = keras.Sequential([keras.layers.Conv2D(4, 1)])
    with pytest.raises(ValueError, match="is not functional"):
        plan_of(sequence)
