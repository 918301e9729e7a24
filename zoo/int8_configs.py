"""Quantise configurations for layers the int8-aware toolkit does not know. Importing this imports TensorFlow and tfmot.

The TFLite kernels decide what fits: a layer that computes new numbers needs a range for its output; one that only moves
numbers (slice, shuffle, gather, resize) shares the scale of its input, and a range of its own makes the converter fail
with "same scale constraint" (tfmot 0.8.1, TensorFlow 2.21).
"""

from __future__ import annotations

from typing import Any

from zoo.keras import tf  # decides the Keras version before tfmot looks for one

# isort: split
from tensorflow_model_optimization.python.core.quantization.keras.quantize_config import QuantizeConfig
from tensorflow_model_optimization.python.core.quantization.keras.quantizers import (
    FixedQuantizer,
    MovingAverageQuantizer,
    Quantizer,
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
    """One range for the output, 8 bits for the whole tensor: multiply, hard-swish.

    In front of a concatenation tfmot sets `quantize_output` to False: the range is that of the concatenation. A model
    read from a file must know that, or it expects weights which were never written.
    """

    def __init__(self, quantize_output: bool = True) -> None:
        self.quantize_output = quantize_output

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        return [self._range()] if self.quantize_output else []

    def get_config(self) -> dict[str, Any]:
        return {"quantize_output": self.quantize_output}

    def _range(self) -> Any:
        return MovingAverageQuantizer(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)


class Slopes(OutputOnly):
    """PReLU: the slopes by channel are rounded as the file rounds them, 8 bits around zero for all of a layer."""

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        return [(layer.alpha, _FoldedRounding())]

    def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
        (layer.alpha,) = quantize_weights


class _FoldedRounding(Quantizer):
    """Rounding by plain arithmetic, which the converter folds into the constant; straight through for the gradient.

    The toolkit's own operator would stand between the slopes and their layer, and the converter would no longer see a
    PReLU in it (TensorFlow 2.21).
    """

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        return {}

    def __call__(self, inputs: Any, training: Any, weights: Any, **kwargs: Any) -> Any:
        step = tf.reduce_max(tf.abs(inputs)) / 127.0
        return inputs + tf.stop_gradient(tf.round(tf.math.divide_no_nan(inputs, step)) * step - inputs)

    def get_config(self) -> dict[str, Any]:
        return {}


class FixedRanges(OutputOnly):
    """Ranges known beforehand, for a hard sigmoid: 0 to 6 before the division by 6, 0 to 1 behind it."""

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        return [(layer.hold, _fixed(6.0))]

    def set_quantize_activations(self, layer: Any, quantize_activations: Any) -> None:
        (layer.hold,) = quantize_activations

    def _range(self) -> Any:
        return _fixed(1.0)


def _fixed(top: float) -> FixedQuantizer:
    return FixedQuantizer(num_bits=8, init_min=0.0, init_max=top, narrow_range=False)


CONFIGS = {"output": OutputOnly, "slopes": Slopes, "fixed": FixedRanges, "none": NoQuantiser}
