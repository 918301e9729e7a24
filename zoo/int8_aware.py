"""Int8-aware models: which layer learns which range, and ranges that make sense before the first training step.

The rule of every layer stands in `zoo/rules.py`; this module applies it through tfmot. `zoo.int8_form.int8_form` gives
the form of a network that can be trained so. Three calls, in this order: `annotate` + `apply` (or `apply` on the plain
model) give the int8-aware model, `warm_ranges` fills its ranges from images. Reading such a model back from a file
needs `scope()`.

Source of the fake quantisation: arXiv:1712.05877, section 3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.read_model import calls, flat
from zoo.rules import RULES

if TYPE_CHECKING:
    from zoo.keras import keras

# More images hardly widen the ranges; 256 restored the float accuracy of small networks without any training.
WARM_IMAGES = 256
WARM_BATCH = 16
MOST_TOLD = 3  # a network of one kind of block is refused for each of its layers alike


@contextmanager
def scope() -> Iterator[None]:
    """Everything an int8-aware model of ours is made of, known to Keras while the block runs."""
    from zoo.int8_configs import CONFIGS
    from zoo.keras_layers import custom_objects

    with _tfmot().quantize_scope({**custom_objects(), **{config.__name__: config for config in CONFIGS.values()}}):
        yield


def annotate(model: keras.Model) -> keras.Model:
    """A copy of the float `model` with every layer marked by its int8 rule, weights included.

    Raises: ValueError naming the layer that cannot be trained int8-aware, and why.
    """
    from zoo.int8_configs import CONFIGS
    from zoo.keras import keras

    ensure(model)

    def mark(layer: Any) -> Any:
        word = RULES[type(layer).__name__].int8
        # One configuration object per layer: tfmot switches single ones off in place in front of a concatenation.
        config = CONFIGS[word]() if word in CONFIGS else None
        # A layer object of its own: the wrapper would otherwise train the weights of the model passed in.
        return _tfmot().quantize_annotate_layer(type(layer).from_config(layer.get_config()), config)

    with scope():
        annotated = keras.models.clone_model(model, clone_function=mark)
    annotated.set_weights(model.get_weights())
    return annotated


def apply(model: keras.Model) -> keras.Model:
    """The int8-aware copy of `model`, plain or annotated; its layers are called `quant_NAME`.

    Its activation ranges mean nothing yet: call `warm_ranges` before training or judging it.
    Raises: as `annotate`.
    """
    marked = any(type(layer).__name__ == "QuantizeAnnotate" for layer in model.layers)
    with scope():
        return _tfmot().quantize_apply(model if marked else annotate(model))


def ensure(model: keras.Model) -> None:
    """Raises: ValueError with what stands in the way of int8-aware training."""
    problems = check(model)
    if problems:
        more = len(problems) - MOST_TOLD
        raise ValueError("; ".join(problems[:MOST_TOLD]) + (f"; and {more} more layers" if more > 0 else ""))


def check(model: keras.Model) -> list[str]:
    """What stands in the way of int8-aware training, one sentence per layer; empty when nothing does."""
    made_by: dict[int, Any] = {}
    readers = Counter(id(tensor) for call in calls(model) for tensor in flat(call.keras_inputs))
    readers.update(id(tensor) for tensor in model.outputs)
    problems = []
    for call in calls(model):
        name, kind = call.layer.name, type(call.layer).__name__
        made_by.update({id(tensor): call.layer for tensor in flat(call.outputs)})
        if kind not in RULES or RULES[kind].int8 == "no":
            problems.append(
                f"layer {name} ({kind}) cannot be trained int8-aware; replace it or quantise after training"
            )
        elif kind == "BatchNormalization":
            read = id(flat(call.keras_inputs)[0])
            before = made_by.get(read)
            bare = folds(type(before).__name__, getattr(getattr(before, "activation", None), "__name__", None))
            if not bare or readers[read] > 1:
                where = before.name if before is not None else "the input"
                where += ", which others read too" if bare else ""
                problems.append(
                    f"layer {name} normalises {where}; int8-aware training needs it directly behind a "
                    "convolution or dense layer without activation that nothing else reads"
                )
    return problems


def folds(kind: str, activation: str | None) -> bool:
    """Whether a norm behind a layer of this class, with this activation inside, becomes one operator with it."""
    return kind in ("Conv2D", "DepthwiseConv2D", "Dense") and activation == "linear"


def warm_ranges(float_model: keras.Model, quantised: keras.Model, images: np.ndarray) -> list[str]:
    """Sets every range of `quantised` from what `float_model` does on up to 256 `images` (n, height, width, channels).

    A fresh int8-aware model has activation ranges of -6 to 6, an input range of 0 to 0 and follows the truth by 0.1 % a
    step, so it predicts at chance. Here each range becomes the smallest and largest value the float layer put out,
    widened to hold 0; weight ranges come from one training pass whose other effects (normalisation statistics, random
    state) are undone. `float_model` must be the model `quantised` was made from. Changes `quantised` in place;
    returns the names of layers whose range has no counterpart in the float model and was left to training.

    Raises: ValueError when the images are not floats in [0, 1] of the model's shape.
    """
    images = _checked(images, tuple(float_model.input_shape[1:]))
    _set_weight_ranges(quantised, images[:WARM_BATCH])
    ranges = activation_ranges(float_model, images)
    left = []
    for layer in quantised.layers:
        if type(layer).__name__ == "QuantizeLayer":
            # Its variables carry its own name, and Keras numbers it: quantize_layer, quantize_layer_1, ...
            _assign(layer, (float(images.min()), float(images.max())), (layer.name,))
        elif hasattr(layer, "quantize_config"):
            inner = layer.layer.name
            if inner in ranges:
                _assign(layer, ranges[inner], ("output", "post_activation", "pre_activation"))
            elif _range_weights(layer, ("output", "post_activation", "pre_activation")):
                left.append(layer.name)
    return left


def activation_ranges(model: keras.Model, images: np.ndarray) -> dict[str, tuple[float, float]]:
    """Smallest and largest output of every layer of `model` over `images`, by layer name."""
    from zoo.keras import keras, tf

    named = [(call.layer.name, tensor) for call in calls(model) for tensor in flat(call.outputs)]
    probe = keras.Model(model.inputs, [tensor for _, tensor in named])

    @tf.function(reduce_retracing=True)
    def extremes(batch: Any) -> Any:
        outputs = probe(batch, training=False)
        outputs = [outputs] if tf.is_tensor(outputs) else outputs
        return tf.stack([[tf.reduce_min(output), tf.reduce_max(output)] for output in outputs])

    batches = [
        extremes(tf.constant(images[start : start + WARM_BATCH])).numpy() for start in range(0, len(images), WARM_BATCH)
    ]
    low, high = np.min(batches, axis=0)[:, 0], np.max(batches, axis=0)[:, 1]
    ranges: dict[str, tuple[float, float]] = {}
    for (name, _), smallest, largest in zip(named, low, high, strict=True):
        earlier = ranges.get(name, (np.inf, -np.inf))  # a shared layer puts out several tensors
        ranges[name] = (float(min(earlier[0], smallest)), float(max(earlier[1], largest)))
    return ranges


def _set_weight_ranges(quantised: Any, batch: np.ndarray) -> None:
    """One training pass for the ranges of the weights; every other variable gets its value back."""
    from zoo.keras import tf

    generators = [
        layer._random_generator._generator
        for layer in _inner_layers(quantised)
        if getattr(getattr(layer, "_random_generator", None), "_generator", None) is not None
    ]
    states = [tf.identity(generator.state) for generator in generators]
    before = [(weight, weight.numpy()) for weight in quantised.weights if not _is_weight_range(weight)]
    quantised(batch, training=True)
    for weight, value in before:
        weight.assign(value)
    for generator, state in zip(generators, states, strict=True):
        generator.state.assign(state)


def _inner_layers(quantised: Any) -> list[Any]:
    return [getattr(layer, "layer", layer) for layer in quantised.layers]


def _is_weight_range(weight: Any) -> bool:
    return weight.name.split("/")[-1].startswith(
        ("kernel_min", "kernel_max", "depthwise_kernel_m", "pointwise_kernel_m")
    )


def _range_weights(layer: Any, stems: tuple[str, ...]) -> dict[str, list[Any]]:
    """The scalar range variables of a wrapper: {"min": [...], "max": [...]} of the given stems."""
    found: dict[str, list[Any]] = {}
    for weight in layer.weights:
        stem, _, end = weight.name.split("/")[-1].split(":")[0].rpartition("_")
        if end in ("min", "max") and stem in stems:
            found.setdefault(end, []).append(weight)
    return found


def _assign(layer: Any, extremes: tuple[float, float], stems: tuple[str, ...]) -> None:
    low, high = min(0.0, extremes[0]), max(0.0, extremes[1])
    if low == high:
        high = 1e-3  # a layer that is silent on these images; an empty range would divide by zero
    found = _range_weights(layer, stems)
    for weight in found.get("min", []):
        weight.assign(low)
    for weight in found.get("max", []):
        weight.assign(high)


def _checked(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    images = np.asarray(images)[:WARM_IMAGES]
    if not len(images) or images.shape[1:] != shape or images.dtype.kind != "f":
        raise ValueError(
            f"calibration images {images.dtype} {images.shape} do not fit; pass floats of shape (n, {shape})"
        )
    if images.min() < 0 or images.max() > 1:
        raise ValueError(f"calibration images lie in {images.min():g} to {images.max():g}; models see pixels in 0 to 1")
    return images.astype(np.float32)


def _tfmot() -> Any:
    import zoo.keras  # noqa: F401  (decides the Keras version before tfmot looks for one)

    # isort: split
    from tensorflow_model_optimization.python.core.quantization.keras import quantize

    return quantize
