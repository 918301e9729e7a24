"""One description, two readings: an architecture by name as a Keras model, as a sketch, or as a cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo import layers
from zoo.architectures import architecture
from zoo.costs import Cost, cost_of
from zoo.declaration import Architecture
from zoo.layers import AFFINE, Tensor
from zoo.request import Request
from zoo.sketches import Sketch

if TYPE_CHECKING:
    from zoo.keras import keras


def build(
    name: str,
    *,
    width: float = 1.0,
    resolution: int | tuple[int, int] | None = None,
    classes: int = 1000,
    channels: int = 3,
    form: str = "train",
    affine: bool = False,
    **options: Any,
) -> keras.Model:
    """An untrained Keras model: `image` (batch, height, width, channels) in [0, 1] to logits (batch, classes).

    Without a `resolution` it is the paper's for this variant. `affine` puts the layer `image_affine` in front, where
    published weights keep what was done to their images; it is not trained. Raises: ValueError for any argument that
    is not offered, saying what would work.
    """
    family, request, settled = _checked(name, width, resolution, classes, channels, form, options)
    _lay(family, Sketch().input(request.shape), request, settled, affine)  # fails in milliseconds
    from zoo.keras import keras

    image = keras.Input(request.shape, name="image")
    return keras.Model(image, _lay(family, image, request, settled, affine), name=name)


def sketch(
    name: str,
    *,
    width: float = 1.0,
    resolution: int | tuple[int, int] | None = None,
    classes: int = 1000,
    channels: int = 3,
    form: str = "deploy",
    affine: bool = False,
    **options: Any,
) -> Sketch:
    """The network as a list of operations, in milliseconds and without TensorFlow; as deployed unless `form` says
    otherwise. Raises: as `build`.
    """
    family, request, settled = _checked(name, width, resolution, classes, channels, form, options)
    result = Sketch()
    result.outputs = (_lay(family, result.input(request.shape), request, settled, affine).name,)
    return result


def cost(
    name: str,
    *,
    width: float = 1.0,
    resolution: int | tuple[int, int] | None = None,
    classes: int = 1000,
    channels: int = 3,
    form: str = "deploy",
    affine: bool = False,
    element_bytes: int = 4,
    **options: Any,
) -> Cost:
    """What the network will cost, with `element_bytes` per number (4 float32, 1 int8). Raises: as `build`."""
    return cost_of(
        sketch(
            name,
            width=width,
            resolution=resolution,
            classes=classes,
            channels=channels,
            form=form,
            affine=affine,
            **options,
        ),
        element_bytes,
    )


def _lay(family: Architecture, image: Tensor, request: Request, options: dict[str, Any], affine: bool) -> Tensor:
    if affine:
        image = layers.affine(image, name=AFFINE)
    return family.lay(image, request.classes, request.width, request.form, options)


def _checked(
    name: str, width: Any, resolution: Any, classes: Any, channels: Any, form: str, options: dict[str, Any]
) -> tuple[Architecture, Request, dict[str, Any]]:
    family = architecture(name)
    settled = family.settle(options)
    side = family.usual_resolution(settled) if resolution is None else resolution
    return family, Request.of(width=width, resolution=side, classes=classes, channels=channels, form=form), settled
