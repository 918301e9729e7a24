"""What every writer starts from: the stored model, the calibration images, and the wrapper that takes raw pixels.

A model sees [0, 1]; a file is fed 0..255. The step between is one multiplication, put in front here and nowhere else.
The converter folds it into the first convolution (also through a zero padding or a norm), so it costs no operator, and
an int8 file gets input scale 1 and zero point -128: the caller feeds `pixel - 128`. An int8-aware model already carries
the range [0, 1] in its input quantiser: scale 1/255 and zero point -128 are the same `pixel - 128` without a wrapper.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from exports.model_file import is_int8_aware, load_model
from exports.rounding import PLAIN, Rounding

if TYPE_CHECKING:
    from zoo.keras import keras

PIXEL = 1.0 / 255.0


@dataclass(frozen=True)
class Source:
    """A stored model, the uint8 images `(n, height, width, channels)` that set int8 ranges (may be None), and how."""

    model_path: Path
    calibration: np.ndarray | None
    rounding: Rounding = PLAIN

    @property
    def int8_aware(self) -> bool:
        """Whether the model was trained with int8 in mind and carries its own ranges."""
        return is_int8_aware(self.model_path)

    @cached_property
    def model(self) -> keras.Model:
        """The model, loaded once for all the formats written in this process."""
        return load_model(self.model_path)

    @cached_property
    def deployed(self) -> keras.Model:
        """The model as it is deployed: grouped convolutions in one piece, learned groups as they came out.

        An int8-aware model keeps the form in which its ranges were learned.
        """
        from zoo.deploy import deploy

        return deploy(self.model)

    def static(self) -> keras.Model:
        """The model with batch 1, still fed [0, 1]. A fixed batch keeps shape arithmetic out of the file."""
        from zoo.keras import keras

        image = keras.Input(self.model.input_shape[1:], batch_size=1, name="image")
        return keras.Model(image, self.model(image, training=False), name="static")

    @cached_property
    def for_chip(self) -> keras.Model:
        """The model as the Edge TPU knows its operators: groups in slices as they were trained, channels put in order
        by pointwise convolutions, hard-swish in parts.
        """
        from zoo.chip import for_chip

        return for_chip(self.model)

    def raw_pixels(self, *, chip: bool = False) -> keras.Model:
        """The model with batch 1, fed 0..255, in its deployed form or in that for the Edge TPU."""
        from zoo.keras import keras

        model = self.for_chip if chip else self.deployed
        image = keras.Input(model.input_shape[1:], batch_size=1, name="image")
        unit = keras.layers.Rescaling(PIXEL, name="pixels_to_unit")(image)
        return keras.Model(image, model(unit, training=False), name="raw_pixels")

    def calibration_batches(self) -> list[np.ndarray]:
        """Float batches of one image with values 0..255 for the converter.

        The least and the greatest pixel of the image with the widest range are set to 0 and 255. Without this, images
        that never reach 255 would give an input scale that no byte maps onto exactly.

        Raises:
            ValueError: there are no calibration images, or they do not fit the model.
        """
        images = self.calibration
        if images is None or len(images) == 0:
            raise ValueError("int8 ranges need calibration images; give some from the training or validation split")
        wanted = tuple(self.model.input_shape[1:])
        if images.dtype != np.uint8 or images.shape[1:] != wanted:
            raise ValueError(
                f"calibration images are {images.dtype} {images.shape[1:]}; this model needs uint8 {wanted}"
            )
        batches = images.astype(np.float32)
        flat = batches.reshape(len(batches), -1)
        widest = int((flat.max(axis=1) - flat.min(axis=1)).argmax())
        flat[widest, flat[widest].argmin()] = 0.0
        flat[widest, flat[widest].argmax()] = 255.0
        return [image[None] for image in batches]
