"""The TFLite files: float32, float16, dynamic range, int8, uint8, int8 with layers of other bits, int16 activations.

Source: TensorFlow's post-training quantisation guide; Jacob et al., arXiv:1712.05877, for the integer scheme.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exports.bias_correction import corrected
from exports.mixed_bits import MixedBits
from exports.ranges import silent_layers, with_ranges, with_room
from exports.rounding import PLAIN
from exports.tflite_file import layers_of, parse, tensor_name
from exports.writers.source import Source

if TYPE_CHECKING:
    from zoo.keras import keras

FLOAT = {"tflite_float32", "tflite_float16", "tflite_dynamic"}
INT8_AWARE = {"tflite_int8", "tflite_uint8"}
ROUNDED = {"tflite_int8", "tflite_uint8", "tflite_mixed"}


def write(source: Source, format_id: str, path: Path) -> list[str]:
    """Write `format_id` to `path`.

    Raises:
        ValueError: calibration images are missing, or the model is int8-aware and the format is not an 8-bit one.
    """
    notes: list[str] = []
    path.write_bytes(convert(source, format_id, notes=notes))
    return notes


def convert(source: Source, format_id: str, *, edgetpu: bool = False, notes: list[str] | None = None) -> bytes:
    """The flatbuffer of `format_id`; for the Edge TPU dense weights have a single scale and the model its form.

    What a reader should know of it is added to `notes`.
    """
    if source.int8_aware:
        if format_id not in INT8_AWARE:
            raise ValueError(
                f"{format_id} cannot be written from an int8-aware model, whose ranges are 8-bit; "
                "export it from the model before the quantise step"
            )
        return _convert_int8_aware(source, format_id, edgetpu)
    return _convert_after_training(source, format_id, edgetpu, [] if notes is None else notes)


def _convert_after_training(source: Source, format_id: str, edgetpu: bool, notes: list[str]) -> bytes:
    from zoo.keras import tf

    converter = _converter(source.raw_pixels(chip=edgetpu))
    if format_id != "tflite_float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if format_id == "tflite_float16":
        converter.target_spec.supported_types = [tf.float16]
    if format_id not in FLOAT:
        batches = source.calibration_batches()
        converter.representative_dataset = lambda: ([batch] for batch in batches)
        integer = {"tflite_uint8": tf.uint8, "tflite_int16x8": tf.int16}.get(format_id, tf.int8)
        converter.inference_input_type = converter.inference_output_type = integer
        # Only the integer operators: a layer without one then fails here instead of becoming a slow float island.
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            if format_id == "tflite_int16x8"
            else tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        ]
    converter._experimental_disable_per_channel_quantization_for_dense_layers = edgetpu
    if format_id == "tflite_mixed" and source.rounding.precision:
        plain = MixedBits(
            _converter(source.raw_pixels()).convert(), source.calibration_batches(), source.rounding
        )
        return plain.file(plain.resolved(source.rounding.precision))
    if format_id not in ROUNDED or (source.rounding == PLAIN and format_id != "tflite_mixed"):
        content = converter.convert()
        silent = silent_layers(content) if format_id in ROUNDED else []
        if not silent:
            return bytes(content)
        notes.append(f"{', '.join(silent)}: 0 on every calibration image; such a layer does nothing for the answer")
    content = _rounded(converter, source, integer, edgetpu)
    if source.rounding.correct_bias:
        plain = _converter(source.raw_pixels(chip=edgetpu)).convert()
        content = corrected(plain, content, source.calibration_batches())
    return content


def _rounded(converter: Any, source: Source, integer: Any, edgetpu: bool) -> bytes:
    """The converter's work in two halves, with ranges of ours between calibration and rounding."""
    from tensorflow.lite.python.convert import mlir_quantize

    converter._experimental_calibrate_only = True
    calibrated = converter.convert()
    if source.rounding.ranges != "min_max":
        calibrated = with_ranges(calibrated, source.calibration_batches(), source.rounding)
    calibrated = with_room(calibrated)
    return mlir_quantize(
        calibrated,
        input_data_type=integer,
        output_data_type=integer,
        disable_per_channel_for_dense_layers=edgetpu,
        denylisted_nodes=kept_nodes(calibrated, source.rounding.keep) or None,
    )


def kept_nodes(calibrated: bytes, patterns: Sequence[str]) -> set[str]:
    """Names of the tensors that operators of the layers fitting a pattern put out.

    Raises: ValueError for a pattern that no layer fits.
    """
    file = parse(calibrated)
    main = file.model.subgraphs[0]
    names = [tensor_name(main.tensors[int(one.outputs[0])]) for one in main.operators]
    layers = dict(zip(names, layers_of(file), strict=True))
    for pattern in patterns:
        if not any(fnmatch(layer, pattern) for layer in layers.values()):
            shown = ", ".join(list(dict.fromkeys(layers.values()))[:5])
            raise ValueError(f"keep = {pattern!r} fits no layer of the file; its layers are {shown}, ...")
    return {name for name, layer in layers.items() if any(fnmatch(layer, pattern) for pattern in patterns)}


def _convert_int8_aware(source: Source, format_id: str, edgetpu: bool) -> bytes:
    """An int8-aware model needs neither images nor a restriction of operators: its ranges are in the graph."""
    from zoo import int8_aware
    from zoo.keras import tf

    with int8_aware.scope():
        converter = _converter(source.static())
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        integer = tf.uint8 if format_id == "tflite_uint8" else tf.int8
        converter.inference_input_type = converter.inference_output_type = integer
        converter._experimental_disable_per_channel_quantization_for_dense_layers = edgetpu
        return converter.convert()


def _converter(model: keras.Model) -> Any:
    """A converter of the model's forward pass as one function with a fixed batch of 1.

    `from_keras_model` saves the whole model to disk first; that took 17 times as long (6.6 s against 0.4 s of CPU time
    for a MobileNetV1 of 190,000 weights) and gave a file that differs in nothing but names.
    """
    from zoo.keras import tf

    forward = tf.function(lambda image: model(image, training=False), autograph=False)
    image = tf.TensorSpec(model.input_shape, tf.float32, name="image")
    return tf.lite.TFLiteConverter.from_concrete_functions([forward.get_concrete_function(image)])
