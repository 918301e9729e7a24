"""Int8-aware models: they convert to files without a float tensor, and warm ranges give back the float predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import zoo
from tests.zoo.designs import others_slow
from zoo import int8_aware, layers

# The layers of these hold every int8 rule but those of gates and PReLU, which have tests of their own below.
NAMES = ["mobilenet_v1", "mobilenet_v2", "shufflenet_v2"]
SIDE, CLASSES = 16, 4


def striped_images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise over one of four patterns: lying stripes, standing stripes, a chessboard, nothing."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((SIDE, SIDE)) // 2 % 2
    patterns = np.stack([rows, columns, rows ^ columns, np.zeros_like(rows)]).astype("float32")
    labels = rng.integers(0, CLASSES, count)
    noise = rng.random((count, SIDE, SIDE), dtype="float32")
    return (0.5 * noise + 0.5 * patterns[labels])[..., None], labels


@dataclass
class Warmed:
    """A briefly trained tiny network, its int8-aware copy with warm ranges, and what both were before warming."""

    float_model: Any
    quantised: Any
    float_weights: list[np.ndarray]
    variables: dict[str, np.ndarray]
    fresh_predictions: np.ndarray
    left: list[str]


@pytest.fixture(scope="module")
def warmed() -> Callable[[str], Warmed]:
    """The warmed network of an architecture, made once for all tests: making one takes seconds."""
    made: dict[str, Warmed] = {}

    def get(name: str) -> Warmed:
        from zoo.keras import keras

        if name not in made:
            keras.utils.set_random_seed(1)
            model = zoo.build(name, width=0.25, resolution=SIDE, classes=CLASSES, channels=1, dropout=0.0)
            model.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            images, labels = striped_images(768, seed=0)
            model.fit(images, labels, batch_size=32, epochs=3, verbose=0)
            weights = [weight.copy() for weight in model.get_weights()]
            quantised = int8_aware.apply(model)
            variables = {weight.name: weight.numpy() for weight in quantised.weights}
            fresh = predictions(quantised, striped_images(200, seed=7)[0])
            left = int8_aware.warm_ranges(model, quantised, striped_images(256, seed=8)[0])
            made[name] = Warmed(model, quantised, weights, variables, fresh, left)
        return made[name]

    return get


def convert(model: Any) -> bytes:
    from zoo.keras import tf

    signature = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)
    traced = tf.function(lambda x: model(x, training=False), autograph=False).get_concrete_function(signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def run(file: bytes, images: np.ndarray) -> tuple[np.ndarray, set[str]]:
    """Logits of the int8 file, and the tensor types in it."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=file, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    (into,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()
    (scale, zero), (out_scale, out_zero) = into["quantization"], out["quantization"]
    logits = []
    for image in images:
        quantised = np.clip(np.round(image / scale) + zero, -128, 127).astype("int8")
        interpreter.set_tensor(into["index"], quantised[None])
        interpreter.invoke()
        logits.append((interpreter.get_tensor(out["index"])[0].astype("float32") - out_zero) * out_scale)
    return np.array(logits), {np.dtype(details["dtype"]).name for details in interpreter.get_tensor_details()}


def predictions(model: Any, images: np.ndarray) -> np.ndarray:
    return np.argmax(model(images, training=False).numpy(), axis=-1)


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")
@pytest.mark.parametrize("name", others_slow(NAMES, ("mobilenet_v1",)))
def test_warm_model_and_its_file_predict_like_the_float_model(name, warmed):
    made = warmed(name)
    images, labels = striped_images(200, seed=7)
    expected = predictions(made.float_model, images)
    assert np.mean(expected == labels) > 0.8  # the float model has learned something worth keeping
    assert np.mean(made.fresh_predictions == expected) < 0.6
    assert made.left == []
    assert np.mean(predictions(made.quantised, images) == expected) > 0.9

    logits, types = run(convert(made.quantised), images)
    assert types == {"int8", "int32"}
    assert np.mean(np.argmax(logits, axis=-1) == expected) > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_warming_changes_ranges_and_nothing_else(name, warmed):
    made = warmed(name)
    changed = {
        weight.name for weight in made.quantised.weights if (weight.numpy() != made.variables[weight.name]).any()
    }
    assert all(name.endswith(("_min:0", "_max:0")) for name in changed)
    assert {"quant_stem_conv/kernel_max:0", "quant_head_logits/post_activation_max:0"} < changed
    assert all(
        (one == other).all() for one, other in zip(made.float_weights, made.float_model.get_weights(), strict=True)
    )


def test_the_range_of_a_fused_relu6_is_that_of_its_output(warmed):
    from zoo.keras import keras

    made = warmed("mobilenet_v2")
    values = {weight.name: float(weight) for weight in made.quantised.weights if weight.shape.rank == 0}
    stem = keras.Model(made.float_model.input, made.float_model.get_layer("stem_relu6").output)
    truth = stem(striped_images(256, seed=8)[0]).numpy()
    assert values["quant_stem_relu6/output_min:0"] == 0.0
    assert values["quant_stem_relu6/output_max:0"] == pytest.approx(truth.max(), rel=1e-5)
    # Convolution and normalisation in front of it are fused away and must not quantise a second time.
    assert not any(name.startswith(("quant_stem_conv/", "quant_stem_norm/")) and "output" in name for name in values)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
def test_a_saved_int8_aware_model_loads_equal_inside_the_scope(warmed, tmp_path):
    from zoo.keras import keras

    quantised, images = warmed("shufflenet_v2").quantised, striped_images(32, seed=4)[0]
    path = str(tmp_path / "model.h5")
    with int8_aware.scope():
        quantised.save(path, save_format="h5")
        loaded = keras.models.load_model(path, compile=False)
    np.testing.assert_array_equal(loaded(images, training=False), quantised(images, training=False))


def test_training_the_int8_aware_model_leaves_the_float_model_alone():
    from zoo.keras import keras

    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.conv(image, 4, name="a_conv", bias=True))
    before = [weight.copy() for weight in model.get_weights()]
    quantised = int8_aware.apply(int8_aware.annotate(model))
    for weight in quantised.trainable_weights:
        weight.assign_add(weight + 1.0)
    assert all((one == other).all() for one, other in zip(before, model.get_weights(), strict=True))
    assert [layer.name for layer in model.layers if "quant" in layer.name] == []


def test_a_layer_nobody_knows_is_named():
    from zoo.keras import keras

    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.GaussianNoise(0.1, name="rain")(image))
    with pytest.raises(ValueError, match=r"layer rain \(GaussianNoise\)"):
        int8_aware.annotate(model)


def test_of_many_layers_in_the_way_the_first_are_named_and_the_others_counted():
    from zoo.keras import keras

    x = image = keras.Input((8, 8, 3))
    for number in range(5):
        x = keras.layers.GaussianNoise(0.1, name=f"rain{number}")(x)
    with pytest.raises(ValueError, match=r"layer rain2 .*; and 2 more layers$") as refusal:
        int8_aware.ensure(keras.Model(image, x))
    assert "rain3" not in str(refusal.value)


def test_a_norm_behind_an_activation_is_named():
    from zoo.keras import keras

    image = keras.Input((8, 8, 3))
    x = layers.norm(layers.relu(layers.conv(image, 4, name="a_conv"), name="a_relu"), name="late_norm")
    assert "late_norm normalises a_relu" in int8_aware.check(keras.Model(image, x))[0]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((4, SIDE, SIDE, 1), "uint8"), "pass floats"),
        (np.zeros((4, 8, 8, 1), "float32"), "do not fit"),
        (np.zeros((0, SIDE, SIDE, 1), "float32"), "do not fit"),
        (np.full((4, SIDE, SIDE, 1), 255.0), "pixels in 0 to 1"),
    ],
)
def test_calibration_images_of_the_wrong_kind_are_refused(images, message):
    model = zoo.build("mobilenet_v1", width=0.1, resolution=SIDE, classes=CLASSES, channels=1)
    with pytest.raises(ValueError, match=message):
        int8_aware.warm_ranges(model, model, images)
