"""The writers, one file per kind of artifact. Each is `write(source, format_id, path) -> notes` and runs in a child.

A bundle is made of files that are already written, so it has its own shape (`bundle.write_bundle`) and is not listed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from exports.writers import edgetpu, keras, onnx, onnx_int8, tflite
from exports.writers.source import Source

Writer = Callable[[Source, str, Path], list[str]]

WRITERS: dict[str, Writer] = {
    "tflite_float32": tflite.write,
    "tflite_float16": tflite.write,
    "tflite_dynamic": tflite.write,
    "tflite_int8": tflite.write,
    "tflite_uint8": tflite.write,
    "tflite_mixed": tflite.write,
    "tflite_int16x8": tflite.write,
    "edgetpu": edgetpu.write,
    "onnx_float32": onnx.write,
    "onnx_int8": onnx_int8.write,
    "keras": keras.write,
}
