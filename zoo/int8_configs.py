"""Quantise configurations for layers the int8-aware toolkit does not know. Importing this imports TensorFlow and tfmot.

The TFLite kernels decide what fits: a layer that computes new numbers needs a range for its output; one that only moves
numbers (slice, shuffle, gather, resize) shares the scale of its input, and a range of its own makes the converter fail
with "same scale constraint" (tfmot 0.8.1, TensorFlow 2.21).
"""

from __future__ import annotations

from typing import Any

import zoo.keras  # noqa: F401  (decides the Keras version before tfmot looks for one)

# isort: split
from tensorflow_model_optimization.python.core.quantization.keras.quantize_config import QuantizeConfig
from tensorflow_model_optimization.python.core.quantization.keras.quantizers import (
    FixedQuantizer,
    MovingAverageQuantizer,
)


class NoQuantiser(QuantizeConfig):
    """No weights, no activation, no output range: numbers are only moved."""

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        return []

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
        return None  # a body of a docstring alone breaks AutoGraph, which strips it (TensorFlow 2.21)

    def set_quantize_activations(self, layer: Any, quantize_activations: Any) -> None:
        return None

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        return []

    def get_config(self) -> dict[str, Any]:
        return {}


class OutputOnly(NoQuantiser):
    """One range for the output, 8 bits for the whole tensor: multiply, hard-swish, PReLU."""

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        return [MovingAverageQuantizer(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)]


class FixedRanges(NoQuantiser):
    """Ranges known beforehand, for a hard sigmoid: 0 to 6 before the division by 6, 0 to 1 behind it."""

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        return [(layer.hold, _fixed(6.0))]

    def set_quantize_activations(self, layer: Any, quantize_activations: Any) -> None:
        (layer.hold,) = quantize_activations

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        return [_fixed(1.0)]


def _fixed(top: float) -> FixedQuantizer:
    return FixedQuantizer(num_bits=8, init_min=0.0, init_max=top, narrow_range=False)


CONFIGS = {"output": OutputOnly, "fixed": FixedRanges, "none": NoQuantiser}
