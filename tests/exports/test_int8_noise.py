"""What int8 costs at which layer: six planted faults are found first and named, and a sound file has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from exports import Contract, localise
from exports.int8_faults import WORTH_SAYING, Calibration, int8_faults
from exports.int8_noise import int8_noise, noise_of
from exports.tflite_file import layer_of, pack, parse
from tests.exports.conftest import digit_images

# The converter says this of every float model; it is harmless.
pytestmark = pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")

SEEN = 64
EVEN = Calibration(200, 0.1)  # 200 images of ten classes, as the export step draws them


@dataclass(frozen=True)
class Trained:
    """A network with a depthwise layer, two branches and ReLUs, which equalisation can pass; its images and labels."""

    model: Any
    images: np.ndarray
    labels: np.ndarray


@pytest.fixture(scope="module")
def trained() -> Trained:
    from zoo.keras import keras

    images, labels = digit_images()
    keras.utils.set_random_seed(5)
    layers = keras.layers

    def unit(x: Any, layer: Any, name: str) -> Any:
        return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(momentum=0.8, name=f"{name}_norm")(layer(x)))

    def conv(channels: int, size: int, name: str, stride: int = 1) -> Any:
        return layers.Conv2D(channels, size, strides=stride, padding="same", use_bias=False, name=f"{name}_conv")

    image = keras.Input((16, 16, 1), name="image")
    x = unit(image, conv(16, 3, "stem", 2), "stem")
    x = unit(x, layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depth_conv"), "depth")
    x = unit(x, conv(32, 1, "point"), "point")
    x = layers.Concatenate(name="join")(
        [unit(x, conv(16, 3, "left", 2), "left"), unit(x, conv(16, 1, "right", 2), "right")]
    )
    x = layers.Flatten()(unit(x, conv(24, 3, "head", 2), "head"))
    x = layers.Dense(32, activation="relu", name="hidden")(x)
    model = keras.Model(image, layers.Dense(10, name="logits")(x), name="forked")
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images[:1300] / np.float32(255), labels[:1300], epochs=12, batch_size=64, verbose=0)
    return Trained(model, images, labels)


def files(model: Any, calibration: np.ndarray, *, per_tensor: bool = False, unit: bool = False) -> tuple[bytes, bytes]:
    """The float and the int8 file; `unit` calibrates with pixels 0..1 though 0..255 are fed."""
    from zoo.keras import keras, tf

    image = keras.Input((16, 16, 1), batch_size=1)
    fed = keras.Model(image, model(keras.layers.Rescaling(1 / 255)(image), training=False))

    def converter() -> Any:
        forward = tf.function(lambda pixels: fed(pixels, training=False), autograph=False)
        made = forward.get_concrete_function(tf.TensorSpec((1, 16, 16, 1), tf.float32))
        return tf.lite.TFLiteConverter.from_concrete_functions([made])

    whole = converter()
    whole.optimizations = [tf.lite.Optimize.DEFAULT]
    batches = calibration.astype(np.float32) * (1 / 255 if unit else 1)
    whole.representative_dataset = lambda: ([one[None]] for one in batches)
    whole.inference_input_type = whole.inference_output_type = tf.int8
    whole.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    whole._experimental_disable_per_channel = per_tensor
    return converter().convert(), whole.convert()


def copied(model: Any) -> Any:
    from zoo.keras import keras

    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    return other


def grown(model: Any, norm: str, channels: slice, factor: float, followers: dict[str, int]) -> Any:
    """A copy whose norm makes `channels` `factor` times as large; `followers`, with the place of the first of these
    among their inputs, take it back: the float model answers as before."""
    other = copied(model)
    gamma, beta, *rest = other.get_layer(norm).get_weights()
    gamma[channels] *= factor
    beta[channels] *= factor
    other.get_layer(norm).set_weights([gamma, beta, *rest])
    for name, first in followers.items():
        layer = other.get_layer(name)
        (kernel,) = layer.get_weights()
        kernel[:, :, first + channels.start : first + channels.stop] /= factor
        layer.set_weights([kernel])
    return other


def spans(trained: Trained, images: np.ndarray) -> np.ndarray:
    """How far apart the logits of each image lie."""
    logits = np.asarray(trained.model(images.astype(np.float32) / 255, training=False))
    return logits.max(axis=1) - logits.min(axis=1)


def quietest(trained: Trained, images: np.ndarray) -> np.ndarray:
    """The images in the order of their logits' span: the first ones leave the ranges narrow."""
    return images[np.argsort(spans(trained, images))]


def quiet_class(trained: Trained) -> np.ndarray:
    """The images of the class whose logits span least."""
    classes = [trained.images[:1300][trained.labels[:1300] == label] for label in range(10)]
    return min(classes, key=lambda images: float(spans(trained, images).max()))


@dataclass(frozen=True)
class Fault:
    make: Callable[[Trained], tuple[bytes, bytes]]
    cause: str
    layer: str
    calibration: Calibration = EVEN


FAULTS = {
    "weights scaled, taken back by the follower": Fault(
        lambda it: files(
            grown(it.model, "point_norm", slice(0, 8), 64, {"left_conv": 0, "right_conv": 0}), it.images[:200]
        ),
        "wide_activation", "point_conv",
    ),
    "one class": Fault(
        lambda it: files(it.model, quietest(it, quiet_class(it))[:60]),
        "one_sided_calibration", "logits", Calibration(60, 1.0),
    ),
    "eight images": Fault(
        lambda it: files(it.model, quietest(it, it.images[:1300])[:8]),
        "few_calibration_images", "logits", Calibration(8, 0.25),
    ),
    "one scale for depthwise weights": Fault(
        lambda it: files(
            grown(it.model, "stem_norm", slice(0, 2), 1 / 32, {"depth_conv": 0}), it.images[:200], per_tensor=True
        ),
        "per_tensor_weights", "depth_conv",
    ),
    "pixels of another range": Fault(
        lambda it: files(it.model, it.images[:200], unit=True), "input_range", "image"
    ),
    "branches of different scale": Fault(
        lambda it: files(grown(it.model, "right_norm", slice(0, 16), 50, {"head_conv": 16}), it.images[:200]),
        "mixed_concat", "join",
    ),
}  # fmt: skip


def found_in(trained: Trained, both: tuple[bytes, bytes], calibration: Calibration | None = None) -> tuple[Any, Any]:
    noise = int8_noise(*both, trained.images[1300 : 1300 + SEEN].astype(np.float32))
    return noise, int8_faults(noise, calibration)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_ranked_first_and_named(name: str, trained: Trained) -> None:
    fault = FAULTS[name]
    noise, faults = found_in(trained, fault.make(trained), fault.calibration)
    assert faults, [(place.layer, place.cost) for place in noise.places]
    assert (faults[0].cause, fault.layer in faults[0].layers) == (fault.cause, True), faults
    assert faults[0].cost > 0.3 * noise.noise
    assert faults[0].as_dict()["title"]


def test_a_sound_file_has_no_fault_and_its_places_explain_its_noise(trained: Trained) -> None:
    both = files(trained.model, trained.images[:200])
    noise, faults = found_in(trained, both, Calibration(200, 0.1))
    assert faults == ()
    assert noise.noise < 2 * WORTH_SAYING
    explained = noise.cost_image + sum(place.cost or 0.0 for place in noise.places)
    assert explained == pytest.approx(noise.noise, rel=0.5)
    assert noise.agreement > 0.95
    assert [place.layer for place in noise.places][:3] == ["stem_conv", "depth_conv", "point_conv"]


def test_what_is_left_out_is_said(trained: Trained) -> None:
    both = files(trained.model, trained.images[:200])
    noise = int8_noise(*both, trained.images[1300:1308].astype(np.float32), most=2)
    assert sum(place.cost is not None for place in noise.places) == 2
    assert noise.notes == (f"of {len(noise.places)} operators the 2 noisiest were tried alone",)


def test_a_few_huge_channels_do_not_hide_that_the_others_are_lost(trained: Trained) -> None:
    """Of the variance of the whole tensor the rounding is next to nothing, of that of 24 of its 32 channels all."""
    grown_far = grown(trained.model, "point_norm", slice(0, 8), 1024, {"left_conv": 0, "right_conv": 0})
    noise = int8_noise(
        *files(grown_far, trained.images[:200]), trained.images[1300 : 1300 + SEEN].astype(np.float32), most=2
    )
    point = next(place for place in noise.places if place.layer == "point_conv")
    assert point.noise < 1e-3 < 0.5 < point.noise_by_channel
    (first, *_) = int8_faults(noise, EVEN)
    assert (first.cause, first.layers[0]) == ("wide_activation", "point_conv")


@pytest.mark.parametrize(
    ("tensor", "layer"),
    [
        ("small/stem_relu6/Relu6;small/stem_conv/Conv2D", "stem_conv"),
        ("small/stem_conv/Conv2D1", "stem_conv"),
        ("small/gate_relu/Relu;small/gate_conv/BiasAdd;small/gate_conv/BiasAdd/ReadVariableOp/resource1", "gate_conv"),
        ("small/quant_stem_conv/Conv2D", "stem_conv"),
        ("StatefulPartitionedCall:0", ""),
    ],
)
def test_the_layer_is_read_from_the_name_of_what_it_puts_out(tensor: str, layer: str) -> None:
    assert layer_of(tensor) == layer


def test_files_of_two_networks_are_refused(trained: Trained, artifacts) -> None:
    other = artifacts["tflite_int8"].path.read_bytes()
    with pytest.raises(ValueError, match="do not hold the same operators"):
        int8_noise(files(trained.model, trained.images[:8])[0], other, trained.images[:2].astype(np.float32))


def test_noise_is_that_between_images_and_no_common_shift_counts() -> None:
    plain = np.random.default_rng(0).normal(size=(50, 10))
    assert noise_of(plain + 3.0, plain) == pytest.approx(0.0, abs=1e-12)
    assert noise_of(plain + 100.0 * np.arange(10), plain + 100.0 * np.arange(10)) == 0.0
    doubled = noise_of(2 * plain, plain)
    assert doubled == pytest.approx(1.0, rel=0.1)


def test_a_file_is_the_same_after_reading_and_packing(artifacts) -> None:
    raw = artifacts["tflite_int8"].path.read_bytes()
    again = parse(pack(parse(raw).model))
    assert [one.name for one in again.model.subgraphs[0].tensors] == [
        one.name for one in parse(raw).model.subgraphs[0].tensors
    ]


def test_a_child_finds_it_and_says_what_cannot_be(digits, artifacts) -> None:
    plain, rounded = artifacts["tflite_float32"], artifacts["tflite_int8"]
    found = localise(plain.path, plain.contract, rounded.path, rounded.contract, digits.images[:16])
    assert found["images"] == 16
    assert found["noise"] < 0.02
    assert {one["operator"] for one in found["places"]} >= {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
    with pytest.raises(ValueError, match="no int8 ranges"):
        localise(plain.path, plain.contract, plain.path, plain.contract, digits.images[:2])
    with pytest.raises(ValueError, match="twin must be a tflite_float32"):
        localise(rounded.path, rounded.contract, rounded.path, rounded.contract, digits.images[:2])
    broken = Contract.from_dict({**rounded.contract.as_dict(), "int8_aware": True})
    with pytest.raises(ValueError, match="int8-aware training"):
        localise(plain.path, plain.contract, rounded.path, broken, digits.images[:2])
