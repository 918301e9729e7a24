"""Labels and the preparation of pixels inside a .tflite, where Android's and MediaPipe's image classifiers look.

A table of its own format names what goes in and comes out; the labels themselves are a zip, stored without compression,
behind the flatbuffer. A runtime that knows of neither reads the file as before.

Source: TensorFlow Lite's metadata schema (`metadata_schema.fbs`, version 1.5.0).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

from exports.tflite_file import pack, parse

# Files that those classifiers run: they take float or bytes. For chips and microcontrollers labels are ballast.
LABELLED = ("tflite_float32", "tflite_float16", "tflite_dynamic", "tflite_uint8")
ENTRY, IDENTIFIER, PARSER = b"TFLITE_METADATA", b"M001", "1.0.0"
LABELS = "labels.txt"
# The schema's numbers: a type of file, colour spaces, members of unions.
AXIS_LABELS, RGB, GREY, IMAGE, NORMALISATION = 2, 1, 2, 2, 1


def with_labels(content: bytes, labels: Sequence[str], *, name: str, channels: int, divisor: float) -> bytes:
    """The file with its labels; a pixel of 0 to 255 divided by `divisor` is what its input stands for.

    Raises: ValueError for bytes that are no .tflite, and for a label with a line break.
    """
    if broken := [label for label in labels if len(label.splitlines()) != 1]:
        raise ValueError(f"label {broken[0]!r} is not one line of text, and labels are stored one on a line")
    from ai_edge_litert import schema_py_generated as schema

    model = parse(content).model
    held, entry = schema.BufferT(), schema.MetadataT()
    held.data = _description(name, channels, divisor)
    model.buffers.append(held)
    entry.name, entry.buffer = ENTRY, len(model.buffers) - 1
    model.metadata = [*(one for one in model.metadata or [] if one.name != ENTRY), entry]
    file = io.BytesIO(pack(model))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(LABELS), "".join(f"{label}\n" for label in labels))
    return file.getvalue()


def labels_inside(content: bytes) -> tuple[str, ...] | None:
    """The labels that a file carries; None where there are none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return tuple(archive.read(LABELS).decode().splitlines())
    except (zipfile.BadZipFile, KeyError):
        return None


def _description(name: str, channels: int, divisor: float) -> bytes:
    """The table: one image in, one score for every label out."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)

    def text(value: str) -> int:
        return int(builder.CreateString(value))

    def floats(values: Sequence[float]) -> int:
        builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            builder.PrependFloat32(value)
        return int(builder.EndVector())

    def listed(*tables: int) -> int:
        builder.StartVector(4, len(tables), 4)
        for one in reversed(tables):
            builder.PrependUOffsetTRelative(one)
        return int(builder.EndVector())

    def table(slots: int, references: dict[int, int], numbers: dict[int, int] | None = None) -> int:
        """A table: other tables, texts and lists by the number of their field, and fields of one byte."""
        builder.StartObject(slots)
        for slot, reference in references.items():
            builder.PrependUOffsetTRelativeSlot(slot, reference, 0)
        for slot, value in (numbers or {}).items():
            builder.PrependInt8Slot(slot, value, 0)
        return int(builder.EndObject())

    colours = table(2, {}, {0: GREY if channels == 1 else RGB})  # ImageProperties
    content = table(3, {1: colours}, {0: IMAGE})  # Content
    pixels = table(2, {0: floats([0.0]), 1: floats([divisor])})  # NormalizationOptions: mean, std
    step = table(2, {1: pixels}, {0: NORMALISATION})  # ProcessUnit
    image = table(7, {0: text("image"), 3: content, 4: listed(step)})  # TensorMetadata
    file = table(5, {0: text(LABELS)}, {2: AXIS_LABELS})  # AssociatedFile
    scores = table(7, {0: text("score"), 6: listed(file)})
    graph = table(10, {2: listed(image), 3: listed(scores)})  # SubGraphMetadata
    root = table(8, {0: text(name), 3: listed(graph), 7: text(PARSER)})  # ModelMetadata
    builder.Finish(root, IDENTIFIER)
    return bytes(builder.Output())
