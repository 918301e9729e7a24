"""One description, two readings: an architecture by name as a Keras model, as a sketch, or as a cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.architectures import architecture
from zoo.costs import Cost, cost_of
from zoo.heads.classification import classification_head
from zoo.layers import Tensor
from zoo.request import Request
from zoo.sketches import Sketch

if TYPE_CHECKING:
    from zoo.keras import keras


def build(
    name: str,
    *,
    width: float = 1.0,
    resolution: int | tuple[int, int] = 224,
    classes: int = 1000,
    channels: int = 3,
    form: str = "train",
    **options: Any,
) -> keras.Model:
    """An untrained Keras model: `image` (batch, height, width, channels) in [0, 1] to logits (batch, classes).

    Raises: ValueError for any argument that is not offered, saying what would work.
    """
    request = Request.of(width=width, resolution=resolution, classes=classes, channels=channels, form=form)
    architecture(name).settle(options)  # a wrong name or option fails before TensorFlow is loaded
    from zoo.keras import keras

    image = keras.Input(request.shape, name="image")
    return keras.Model(image, _walk(name, image, request, options), name=name)


def sketch(
    name: str,
    *,
    width: float = 1.0,
    resolution: int | tuple[int, int] = 224,
    classes: int = 1000,
    channels: int = 3,
    form: str = "train",
    **options: Any,
) -> Sketch:
    """The same network as a list of operations, in milliseconds and without TensorFlow. Raises: as `build`."""
    request = Request.of(width=width, resolution=resolution, classes=classes, channels=channels, form=form)
    result = Sketch()
    logits = _walk(name, result.input(request.shape), request, options)
    result.outputs = (logits.name,)
    return result


def cost(
    name: str,
    *,
    width: float = 1.0,
    resolution: int | tuple[int, int] = 224,
    classes: int = 1000,
    channels: int = 3,
    form: str = "train",
    element_bytes: int = 4,
    **options: Any,
) -> Cost:
    """What the network will cost, with `element_bytes` per number (4 float32, 1 int8). Raises: as `build`."""
    return cost_of(
        sketch(name, width=width, resolution=resolution, classes=classes, channels=channels, form=form, **options),
        element_bytes,
    )


def _walk(name: str, image: Tensor, request: Request, options: dict[str, Any]) -> Tensor:
    family = architecture(name)
    backbone, head = family.settle(options)
    features = family.features(image, request.width, request.form, **backbone)
    return classification_head(features, request.classes, **head)
