"""What is refused and why, what is read from the file itself, and which published file is chosen. No TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zoo
from zoo.layers import AFFINE
from zoo.weights import WEIGHTS, arrange, weights_of
from zoo.weights.arrange import shapes_of
from zoo.weights.declaration import DEVIATION, MEAN

V2 = WEIGHTS["mobilenet_v2"]


def sketched(name: str = "mobilenet_v2", width: float = 0.35, affine: bool = True, **options: Any) -> Any:
    return zoo.sketch(name, width=width, resolution=96, classes=5, form="train", affine=affine, **options)


def drawn(name: str = "mobilenet_v2", width: float = 0.35, **options: Any) -> dict[str, list[np.ndarray]]:
    """A file for a family whose layers are the reference's one by one."""
    random, sketch = np.random.default_rng(0), sketched(name, width, **options)
    found = {}
    for pair in WEIGHTS[name].pairs(zoo.architecture(name).settle(options)):
        if pair.kind == "input":
            found[pair.theirs] = [np.float32(MEAN), np.float32(DEVIATION), np.float32(1)]
        else:
            found[pair.theirs] = [random.random(shape) for shape in shapes_of(sketch[pair.ours[0]], sketch)]
    return found


def test_every_layer_finds_its_place_and_further_ones_are_named() -> None:
    found = arrange(V2, sketched(), {**drawn(), "extra": [np.ones(3)]}, {}, classifier=True)
    assert found.found_by == "name"
    assert found.unused == ("extra",)
    assert set(found.values) == {op.name for op in sketched().ops if op.params}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: held.pop("block_3_expand"), "it has 104 layers with weights and the reference 105"),
        (lambda held: held.update(Conv1=[np.ones((3, 3, 1, 16))]), "Conv1 for stem_conv: found 3x3x1x16, expected"),
        (lambda held: held.update(Conv1=[]), "missing by name: Conv1"),
        (lambda held: held["bn_Conv1"].pop(), "found 16 and 16 and 16, expected 16 and 16 and 16 and 16"),
        (lambda held: held["Conv_1"].append(np.ones(1280)), "found 1x1x112x1280 and 1280, expected 1x1x112x1280"),
        (lambda held: held["Conv1"][0].fill(np.nan), "layer for stem_conv: not every number is finite"),
        (lambda held: held.pop("predictions"), "the file has no classifier"),
        (lambda held: held.update(predictions=[np.ones((1280, 9)), np.ones(9)]), "found 1280x9 and 9, expected 1280x5"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_both_shapes(change: Any, message: str) -> None:
    held = drawn()
    change(held)
    with pytest.raises(ValueError, match=message):
        arrange(V2, sketched(), held, {}, classifier=True)


def test_another_width_names_a_few_layers_and_counts_the_rest() -> None:
    with pytest.raises(ValueError, match=r"nothing was loaded: layer block_1_project .*; and \d+ more\. Are variant"):
        arrange(V2, sketched(width=0.5), drawn(), {}, classifier=False)


def test_a_file_that_fits_half_leaves_the_model_alone() -> None:
    from zoo.weights import assign

    model = zoo.build("mobilenet_v2", width=0.35, resolution=96, classes=5, affine=True)
    before, held = model.get_weights(), drawn()
    held["predictions"] = [np.ones((1280, 9)), np.ones(9)]
    with pytest.raises(ValueError, match="nothing was loaded"):
        assign(model, V2, held, {}, classifier=True)
    assert all((one == other).all() for one, other in zip(model.get_weights(), before, strict=True))


def test_a_network_without_the_affine_step_is_refused() -> None:
    with pytest.raises(ValueError, match="build it with affine=True"):
        arrange(V2, sketched(affine=False), drawn(), {}, classifier=False)


def test_efficientnet_takes_its_input_statistics_from_the_file() -> None:
    """The published files hold deviations where variances belong; a file of one's own holds variances."""
    weights, options = WEIGHTS["efficientnet"], zoo.architecture("efficientnet").settle({})
    held, sketch = drawn("efficientnet", 1.0), sketched("efficientnet", 1.0)
    image = np.random.default_rng(1).random((4, 3))
    for spread, deviation in ((DEVIATION, DEVIATION), (np.square(DEVIATION), DEVIATION), ((1, 1, 1), (1, 1, 1))):
        held["normalization#0"] = [np.float32(MEAN), np.float32(spread)]
        kernel, offset = arrange(weights, sketch, held, options, classifier=False).values[AFFINE]
        np.testing.assert_allclose(image * kernel[0, 0, :, 0] + offset, (image - MEAN) / deviation, rtol=1e-5)


def test_layers_numbered_from_anywhere_are_taken_in_their_order() -> None:
    weights = WEIGHTS["xception"]
    sketch = sketched("xception", 1.0)
    held: dict[str, list[np.ndarray]] = {}
    for pair in weights.pairs({}):
        name, _, number = pair.theirs.partition("#")
        parts = [shape for ours in pair.ours for shape in shapes_of(sketch[ours], sketch)]
        held[f"{name}_{int(number) + 9}" if number else name] = [np.full(shape, len(held)) for shape in parts]
    found = arrange(weights, sketch, held, {}, classifier=True)
    assert found.found_by == "name"
    for number, place in enumerate(("entry1", "entry2", "entry3", "exit")):
        wanted = held[f"conv2d_{number + 9}"][0].flat[0]
        assert found.values[f"{place}_shortcut_conv"][0].flat[0] == wanted


@pytest.mark.parametrize(
    ("name", "width", "sides", "options", "file"),
    [
        ("mobilenet_v1", 0.75, (224, 224), {}, "mobilenet_7_5_224_tf_no_top.h5"),
        ("mobilenet_v1", 1.0, (100, 300), {}, "mobilenet_1_0_128_tf_no_top.h5"),
        ("mobilenet_v2", 1.4, (96, 96), {}, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.4_224_no_top.h5"),
        ("mobilenet_v2", 0.5, (144, 144), {}, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.5_160_no_top.h5"),
        ("mobilenet_v3", 0.75, (8, 8), {"variant": "small"}, "weights_mobilenet_v3_small_224_0.75_float_no_top_v2.h5"),
        ("efficientnet", 1.0, (96, 96), {"variant": "b3"}, "efficientnetb3_notop.h5"),
        ("densenet", 1.0, (224, 224), {"variant": "169"}, "densenet169_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    ],
)  # fmt: skip
def test_the_file_trained_nearest_is_chosen(
    name: str, width: float, sides: tuple[int, int], options: dict[str, Any], file: str
) -> None:
    settled = zoo.architecture(name).settle(options)
    assert weights_of(name).find(width, sides, settled).no_top.name == file


def test_variants_and_widths_that_are_not_published_are_named() -> None:
    v3 = WEIGHTS["mobilenet_v3"]
    settled = zoo.architecture("mobilenet_v3").settle({"variant": "large_minimalistic"})
    with pytest.raises(ValueError, match=r"mobilenet_v3 large_minimalistic at width 1; received 0\.75"):
        v3.find(0.75, (224, 224), settled)
    with pytest.raises(ValueError, match="no efficientnet lite0; weights exist for b0, b1, b2, b3"):
        WEIGHTS["efficientnet"].check(zoo.architecture("efficientnet"), 1.0, {"variant": "lite0"})
    with pytest.raises(ValueError, match="squeeze_excite False is not what published weights"):
        v3.check(zoo.architecture("mobilenet_v3"), 1.0, {"squeeze_excite": False})
    with pytest.raises(ValueError, match="no weights are published for shufflenet_v2"):
        weights_of("shufflenet_v2")


@pytest.mark.parametrize(
    ("name", "small", "large", "least"),
    [
        ("xception", 70, 71, 71),
        ("nasnet", 63, 64, 64),
        ("resnet", 63, 160, 64),
        ("densenet", 63, 96, 64),
        ("mobilenet_v2", 96, 128, 128),
        ("efficientnet", 127, 300, 128),
    ],
)
def test_a_published_classifier_keeps_the_strides_it_was_trained_with(name, small, large, least) -> None:
    weights, options = WEIGHTS[name], zoo.architecture(name).settle({})
    message = f"below {least} pixels {name} leaves out strides that its published classifier.*received {small}x200"
    with pytest.raises(ValueError, match=message):
        weights.check_sides((small, 200), True, options)
    weights.check_sides((small, 200), False, options)
    weights.check_sides((large, large), True, options)


@pytest.mark.parametrize("name", list(WEIGHTS))
def test_published_weights_fit_with_their_classifier_at_every_published_resolution(name) -> None:
    for row in WEIGHTS[name].published:
        paper = {"small_input": "paper"} if zoo.architecture(name).option("small_input") else {}
        asked = {**paper, **({"variant": row.variant} if row.variant else {})}
        options = zoo.architecture(name).settle(asked)
        WEIGHTS[name].check_sides((row.resolution, row.resolution), True, options)
