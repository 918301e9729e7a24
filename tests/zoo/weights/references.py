"""The networks of `tf_keras.applications` with random weights that are neither dead nor deafening.

What Keras draws for a fresh network will not do: its norms have no effect and its biases are zero, so half of a mapping
could be wrong unseen. Here every number is drawn, at a size that keeps the maps of all layers alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import zoo
from zoo.weights import WEIGHTS, Weights


@dataclass(frozen=True)
class Reference:
    """A function of `tf_keras.applications` with its arguments, and what to ask our zoo for."""

    family: str
    function: str
    module: str  # holds the reference's own preprocessing
    arguments: Mapping[str, Any] = field(default_factory=dict)
    width: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)
    resolution: int = 128  # the smallest at which no stride is left out here unless asked
    classes: int = 7

    @property
    def weights(self) -> Weights:
        """What our catalogue says about this family."""
        return WEIGHTS[self.family]

    @property
    def settled(self) -> dict[str, Any]:
        """Our options, filled up."""
        return zoo.architecture(self.family).settle(self.options)

    def build(self) -> Any:
        """The reference with random weights, giving logits."""
        from zoo.keras import keras

        model = getattr(keras.applications, self.function)(
            weights=None,
            input_shape=(self.resolution, self.resolution, 3),
            classes=self.classes,
            classifier_activation=None,
            **self.arguments,
        )
        fill(model, self.preprocessed(pictures(3, self.resolution)))
        return model

    def without_top(self, model: Any) -> Any:
        """The same network and weights as `include_top=False` gives it."""
        from zoo.keras import keras

        return keras.Model(model.input, last_map(model))

    def preprocessed(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels 0 to 255 as the reference asks for them."""
        from zoo.keras import keras

        return getattr(keras.applications, self.module).preprocess_input(pixels.copy())

    def ours(self) -> Any:
        """Our network, not yet given any weights."""
        return zoo.build(
            self.family, width=self.width, resolution=self.resolution, classes=self.classes, affine=True, **self.options
        )


def last_map(model: Any) -> Any:
    """What the head of a network, theirs or ours, reads."""
    kinds = [type(layer).__name__ for layer in reversed(model.layers)]
    kind = "GlobalAveragePooling2D" if "GlobalAveragePooling2D" in kinds else "Flatten"
    return model.layers[-1 - kinds.index(kind)].input


def fill(model: Any, images: np.ndarray, seed: int = 1) -> None:
    """Draws every weight of `model`; norms then take statistics near those of `images`, as after a training."""
    random = np.random.default_rng(seed)
    norms = [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"]
    for layer in model.layers:
        shapes = [weight.shape for weight in layer.weights]
        kind = type(layer).__name__
        if layer in norms:
            layer.momentum = 0.0  # the statistics of the next images, nothing of those before
            beta = random.normal(0.2, 0.4, shapes[0])
            layer.set_weights([random.uniform(0.6, 1.4, shapes[0]), beta, beta, beta])
        elif kind == "Normalization":
            layer.set_weights([random.uniform(0.3, 0.6, 3), random.uniform(0.04, 0.08, 3), np.int64(0)])
        elif shapes:
            depthwise = kind in ("DepthwiseConv2D", "SeparableConv2D")
            layer.set_weights([_drawn(random, shape, depthwise and at == 0) for at, shape in enumerate(shapes)])
    model(images, training=True)
    for layer in norms:
        gamma, beta, mean, variance = layer.get_weights()
        mean += np.sqrt(variance) * random.normal(0, 0.1, mean.shape)
        # Normalised exactly, a deep random network blows up the rounding errors of its first layers a thousandfold.
        variance = np.maximum(variance, 0.1 * variance.mean()) * random.uniform(1.0, 1.6, mean.shape)
        layer.set_weights([gamma, beta, mean, variance])


def _drawn(random: np.random.Generator, shape: tuple[int, ...], depthwise: bool) -> np.ndarray:
    if len(shape) == 1:
        return random.normal(0, 0.2, shape)
    fan_in = np.prod(shape[:2]) if depthwise else np.prod(shape[:-1])
    return random.normal(0, np.sqrt(2 / fan_in), shape)


def pictures(count: int, side: int) -> np.ndarray:
    """Pixels 0 to 255: blocks of colour, of another size and brightness each time, so that answers differ."""
    random = np.random.default_rng(4)
    found = []
    for number in range(count):
        cells = 4 + 3 * number
        blocks = random.random((cells, cells, 3)) ** (0.4 + number)
        rows = np.arange(side) * cells // side
        found.append(blocks[rows][:, rows])
    return np.rint(np.stack(found) * 255).astype(np.float32)


def saved(model: Any, folder: Path, name: str) -> Path:
    """The weights of `model` in the layout that keras.applications publishes."""
    path = folder / f"{name}.h5"
    model.save_weights(path)
    return path


def mobilenet_v1(width: float, resolution: int) -> Reference:
    """MobileNetV1 of one width."""
    return Reference("mobilenet_v1", "MobileNet", "mobilenet", {"alpha": width}, width, {}, resolution)


def mobilenet_v2(width: float, resolution: int) -> Reference:
    """MobileNetV2 of one width."""
    options = {"small_input": "paper"} if resolution < 128 else {}
    return Reference("mobilenet_v2", "MobileNetV2", "mobilenet_v2", {"alpha": width}, width, options, resolution)


def mobilenet_v3(variant: str, width: float, resolution: int) -> Reference:
    """One of the four kinds of MobileNetV3."""
    function = "MobileNetV3Small" if variant.startswith("small") else "MobileNetV3Large"
    arguments = {"alpha": width, "minimalistic": variant.endswith("minimalistic")}
    return Reference("mobilenet_v3", function, "mobilenet_v3", arguments, width, {"variant": variant}, resolution)


def efficientnet(variant: str, resolution: int) -> Reference:
    """EfficientNet of one size."""
    function = f"EfficientNet{variant.upper()}"
    return Reference("efficientnet", function, "efficientnet", {}, 1.0, {"variant": variant}, resolution)


def densenet(variant: str, resolution: int) -> Reference:
    """DenseNet of one depth."""
    return Reference("densenet", f"DenseNet{variant}", "densenet", {}, 1.0, {"variant": variant}, resolution)


def others(*, xception: int, nasnet: int, resnet: int, vgg: int) -> list[Reference]:
    """The families with one network each, at these resolutions."""
    return [
        Reference("xception", "Xception", "xception", resolution=xception),
        Reference("nasnet", "NASNetMobile", "nasnet", resolution=nasnet),
        Reference("resnet", "ResNet50", "resnet", resolution=resnet),
        Reference("vgg", "VGG16", "vgg16", resolution=vgg),
    ]


SMALLEST = [
    mobilenet_v1(0.25, 128),
    mobilenet_v2(0.35, 128),
    mobilenet_v2(0.35, 96),
    mobilenet_v3("small", 0.75, 128),
    mobilenet_v3("small_minimalistic", 1.0, 128),
    efficientnet("b0", 128),
    densenet("121", 64),
    *others(xception=75, nasnet=64, resnet=64, vgg=64),
]
PUBLISHED = [
    *(mobilenet_v1(row.width, row.resolution) for row in WEIGHTS["mobilenet_v1"].published if row.resolution > 160),
    *(mobilenet_v2(row.width, row.resolution) for row in WEIGHTS["mobilenet_v2"].published if row.resolution > 192),
    *(mobilenet_v3(str(row.variant), row.width, 224) for row in WEIGHTS["mobilenet_v3"].published),
    *(efficientnet(str(row.variant), row.resolution) for row in WEIGHTS["efficientnet"].published),
    *(densenet(str(row.variant), row.resolution) for row in WEIGHTS["densenet"].published),
    *others(xception=299, nasnet=224, resnet=224, vgg=224),
]


def label(reference: Reference) -> str:
    """The name of a test's case."""
    variant = "-".join(str(value) for value in reference.options.values())
    return f"{reference.function}-{variant}-{reference.width}-{reference.resolution}"
