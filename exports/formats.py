"""The files Litesmith can write, and one honest line on when each is the right one.

Numbers in these lines were measured on host CPUs (x86-64, one thread, LiteRT 2.3); how a file is written lives in
`exports.writers`, how it is run in `exports.run_file`.
"""

from __future__ import annotations

from dataclasses import dataclass

from zoo.lookup import unknown_name


@dataclass(frozen=True)
class Format:
    """One kind of file: `family` says what runs it, `when` when to choose it and what it does not give."""

    id: str
    title: str
    when: str
    suffix: str
    family: str
    integer: bool = False

    def as_dict(self) -> dict[str, object]:
        """The row of a catalogue page, ready for JSON."""
        return {"id": self.id, "title": self.title, "when": self.when, "suffix": self.suffix, "family": self.family}


FORMATS: dict[str, Format] = {
    format.id: format
    for format in (
        Format(
            "tflite_float32",
            "TFLite float32",
            "The reference file: same answers as the model, largest; on a desktop CPU often as fast as int8.",
            ".tflite",
            "tflite",
        ),
        Format(
            "tflite_float16",
            "TFLite float16",
            "Half the download, weights rounded to 16 bits; a CPU still computes in float32, so it is no faster there.",
            ".tflite",
            "tflite",
        ),
        Format(
            "tflite_dynamic",
            "TFLite dynamic range",
            "About a quarter of the bytes without calibration images; small layers stay float and microcontrollers "
            "and the Edge TPU refuse it.",
            ".tflite",
            "tflite",
        ),
        Format(
            "tflite_int8",
            "TFLite int8",
            "The default for phones, microcontrollers and NPUs: integers throughout, a quarter of the bytes; "
            "not faster than float32 on every CPU, so measure.",
            ".tflite",
            "tflite",
            integer=True,
        ),
        Format(
            "tflite_uint8",
            "TFLite uint8 in and out",
            "The int8 file for camera pipelines that hand over bytes 0..255; adds one conversion at each end, "
            "nothing else changes. Its labels are inside, where MediaPipe and Android look for them.",
            ".tflite",
            "tflite",
            integer=True,
        ),
        Format(
            "tflite_mixed",
            "TFLite int8, some layers otherwise",
            "When a few layers cost int8 its accuracy they stay float32 or get 16-bit activations, and 4-bit weights "
            "save bytes where they cost little; conversions at the borders, slower kernels, no Edge TPU.",
            ".tflite",
            "tflite",
        ),
        Format(
            "tflite_int16x8",
            "TFLite int16 activations",
            "When int8 costs too much accuracy: 16-bit activations, 8-bit weights; XNNPACK has no kernels for it "
            "(about 20 times slower than int8 on a host CPU).",
            ".tflite",
            "tflite",
            integer=True,
        ),
        Format(
            "edgetpu",
            "Edge TPU",
            "For the Coral Edge TPU: int8 with dense layers quantised per tensor; runs on the chip only after "
            "edgetpu_compiler, which is used when it is installed.",
            ".tflite",
            "tflite",
            integer=True,
        ),
        Format(
            "onnx_float32",
            "ONNX float32",
            "For ONNX Runtime and toolchains outside TensorFlow; float weights, so as large as TFLite float32.",
            ".onnx",
            "onnx",
        ),
        Format(
            "onnx_int8",
            "ONNX int8",
            "The int8 file for ONNX Runtime and NPU toolchains that read ONNX: the ranges of TFLite int8, a quarter of "
            "the bytes; whether it is faster depends on the processor, so measure.",
            ".onnx",
            "onnx",
            integer=True,
        ),
        Format(
            "bundle",
            "Bundle (zip)",
            "To hand over: files, contracts, labels, self-test vectors and a short Python sample in one zip; "
            "the files inside are the ones above, no smaller.",
            ".zip",
            "bundle",
        ),
        Format(
            "c_array",
            "C array (zip)",
            "For microcontrollers without a file system: the int8 file as C++ sources with the operators to register, "
            "a test vector and a self-test that any C++ compiler builds; the int8 file lies beside them.",
            ".zip",
            "bundle",
        ),
        Format(
            "keras",
            "Keras model",
            "To train on or to open in your own Python; needs tf_keras and sees floats in [0, 1], not raw pixels.",
            ".keras",
            "keras",
        ),
    )
}


def format_named(format_id: str) -> Format:
    """The catalogue entry of `format_id`.

    Raises:
        ValueError: no such format; the message offers the nearest names.
    """
    if format_id in FORMATS:
        return FORMATS[format_id]
    raise unknown_name("format", format_id, FORMATS)
