"""A finished .tflite or .onnx classifier from elsewhere: the contract that it came without, read from the file itself.

What a file cannot say, a person must: the range of pixels it was trained on, and its classes in their order.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exports.contract import CHANNEL_ORDERS, RESIZE_KERNELS, Contract, InputSpec, OutputSpec, selftest_path
from exports.file_sketch import SUFFIXES
from exports.isolated import MEMORY_BYTES, read_isolated, report_read
from exports.keras_config import RANGES
from exports.onnx_layout import channels_first, put_channels_last, turned
from exports.tflite_file import EDGETPU_OPERATOR, UNFROZEN, TensorFacts, facts_of, parse, stored_types
from exports.writers.onnx_int8 import ends_of
from exports.writing import Artifact, artifact_of, first_run, operators_of, save_contract, sizes

MOST_BYTES = 512 * 2**20
MOST_SIDE, MOST_CLASSES = 4096, 100_000
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Finished:
    """What a finished file says of itself: its format here, the image it takes, its classes and its operators."""

    format: str
    image: TensorFacts
    answer: TensorFacts
    operators: dict[str, int]
    channels_first: bool = False  # in the file; `image` has them last, as the copy taken here does

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.image.shape[1:]
        return height, width, channels

    @property
    def classes(self) -> int:
        """How many scores it gives."""
        return int(self.answer.shape[-1])


def read_finished(path: Path | str) -> Finished:
    """Reads the file at `path` in a child process. Raises: ValueError that says why it cannot be used here."""
    found = read_isolated("finished", _checked(path), timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES)
    image, answer = (TensorFacts(**{**found[end], "shape": tuple(found[end]["shape"])}) for end in ("image", "answer"))
    return Finished(found["format"], image, answer, found["operators"], found["channels_first"])


def adopt(
    path: Path | str, out_dir: Path, *, name: str, labels: tuple[str, ...], input_range: str,
    resize: str = "bilinear antialias",
) -> Artifact:
    """Copies the file to `out_dir`, with a contract and a self-test beside it; a child process runs it.

    `input_range` is that of the pixels it was trained on, `labels` its classes in the order of its scores.

    Raises: ValueError that says why it cannot be used here.
    """
    path = _checked(path)
    if input_range not in RANGES:
        raise ValueError(f"input_range {input_range!r} is not known; one of {', '.join(RANGES)}")
    if resize not in RESIZE_KERNELS:
        raise ValueError(f"resize {resize!r} is not known; one of {', '.join(RESIZE_KERNELS)}")
    out_dir.mkdir(parents=True, exist_ok=True)
    target = out_dir / f"{name}{path.suffix}"
    shutil.copyfile(path, target)
    found = read_isolated(
        "adopt", target, timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES, labels=list(labels), resize=resize,
        input_range=input_range,
    )  # fmt: skip
    notes = [f"from elsewhere: {path.name}"]
    if found["channels_first"]:
        notes.append("it takes its channels first; a transposition stands in front of it, which is timed with it")
    return artifact_of(target, Contract.beside(target), tuple(notes))


def with_range(contract: Contract, input_range: str) -> Contract:
    """The contract of the same file for another range of pixels."""
    scale, offset = RANGES[input_range]
    return replace(contract, input=replace(contract.input, pixel_scale=scale / 255, pixel_offset=offset))


def read_here(job: dict[str, Any], report: Any) -> None:
    """The child's part of `read_finished`."""

    def read() -> dict[str, Any]:
        found = _read(Path(job["path"]))
        return {"format": found.format, "image": vars(found.image), "answer": vars(found.answer),
                "operators": found.operators, "channels_first": found.channels_first}  # fmt: skip

    report_read(report, read)


def adopt_here(job: dict[str, Any], report: Any) -> None:
    """The child's part of `adopt`: writes the contract, runs the file once with every kernel set, and keeps that."""

    def write() -> dict[str, Any]:
        path = Path(job["path"])
        given = found = _read(path)
        if given.channels_first:
            put_channels_last(path)
            found = _read(path)
        contract = _contract(path, found, job)
        first_run(path, selftest_path(path), contract, None)
        save_contract(contract, path)
        return {"channels_first": given.channels_first}

    report_read(report, write)


def _checked(path: Path | str) -> Path:
    path = Path(path).expanduser()
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path.name} does not end in {' or '.join(SUFFIXES)}, the finished files that are read")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes; at most {MOST_BYTES:,} are read")
    return path


def _contract(path: Path, found: Finished, job: dict[str, Any]) -> Contract:
    height, width, channels = found.input_shape
    labels, onnx = tuple(job["labels"]), path.suffix == ".onnx"
    if len(labels) != found.classes:
        raise ValueError(f"the file gives {found.classes} scores and the images have {len(labels)} classes")
    image, answer = found.image, found.answer
    contract = Contract(
        format=found.format,
        family="onnx" if onnx else "tflite",
        input=InputSpec(
            name=image.name, height=height, width=width, channels=channels, dtype=image.dtype, range=(0.0, 255.0),
            pixel_scale=1.0, order=next(order for order, count in CHANNEL_ORDERS.items() if count == channels),
            resize=job["resize"], scale=image.scale, zero_point=image.zero_point,
        ),
        output=OutputSpec(
            name=answer.name, kind="scores", classes=found.classes, dtype=answer.dtype, scale=answer.scale,
            zero_point=answer.zero_point,
        ),
        labels=labels,
        kernel_set="onnxruntime" if onnx else "reference",
        operators=found.operators,
        **sizes(path),
    )  # fmt: skip
    return with_range(contract, job["input_range"])


def _read(path: Path) -> Finished:
    found = _read_onnx(path) if path.suffix == ".onnx" else _read_tflite(path)
    if path.suffix == ".onnx" and found.image.dtype == "float32" and channels_first(found.image.shape):
        last = replace(found.image, shape=turned(found.image.shape))
        found = replace(found, image=last, channels_first=True)
    image, answer = found.image.shape, found.answer.shape
    if len(image) != 4 or image[-1] not in CHANNEL_ORDERS.values():
        hint = "; its channels come first, write it with channels last" if channels_first(image) else ""
        raise ValueError(f"it takes {list(image)}; images of [1, height, width, 1 or 3] are read{hint}")
    if image[0] != 1 or not all(1 <= side <= MOST_SIDE for side in image[1:3]):
        raise ValueError(f"it takes {list(image)}; one image a call, of at most {MOST_SIDE} pixels a side, is read")
    if len(answer) != 2 or answer[0] != 1 or not 2 <= answer[1] <= MOST_CLASSES:
        raise ValueError(f"its answer is {list(answer)}; a classifier gives [1, classes]")
    return found


def _read_tflite(path: Path) -> Finished:
    file = parse(path.read_bytes())
    facts = facts_of(file)
    if EDGETPU_OPERATOR in facts.custom:
        raise ValueError("it was compiled for the Edge TPU, which is not here to run it; give the file before that")
    if facts.custom:
        raise ValueError(f"it has operators of its own, {', '.join(facts.custom)}, which no runtime here knows")
    if unfrozen := UNFROZEN & set(facts.operators):
        raise ValueError(f"its weights are not in it ({', '.join(sorted(unfrozen))}); freeze the graph before writing")
    if len(facts.inputs) != 1 or len(facts.outputs) != 1:
        raise ValueError(f"it has {len(facts.inputs)} inputs and {len(facts.outputs)} outputs; one each is read")
    image, answer = facts.inputs[0], facts.outputs[0]
    formats = {"int8": "tflite_int8", "uint8": "tflite_uint8", "int16": "tflite_int16x8", "float32": "tflite_float32"}
    if image.dtype not in formats or answer.dtype not in formats:
        raise ValueError(f"it takes {image.dtype} and gives {answer.dtype}; {', '.join(formats)} are read")
    format_id = formats[image.dtype]
    if format_id == "tflite_float32":
        weights = stored_types(file)
        format_id = ("tflite_dynamic" if weights & {"INT8", "INT4"} else
                     "tflite_float16" if "FLOAT16" in weights else format_id)  # fmt: skip
    for end, one in (("input", image), ("output", answer)):
        if one.dtype != "float32" and one.scale is None:
            raise ValueError(f"its {end} is {one.dtype} without a scale, so what a step means is not known")
    return Finished(format_id, image, answer, facts.operators)


def _read_onnx(path: Path) -> Finished:
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    onnx.checker.check_model(model)
    given = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in given]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise ValueError(f"it has {len(inputs)} inputs and {len(model.graph.output)} outputs; one each is read")
    kinds = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.INT8: "int8"}
    ends = []
    for value in (inputs[0], model.graph.output[0]):
        kind = value.type.tensor_type
        if kind.elem_type not in kinds:
            name = onnx.TensorProto.DataType.Name(kind.elem_type)
            raise ValueError(f"{value.name} is of type {name}; float32, or int8 between scales, is read")
        # A batch that is left open is called with one image.
        shape = tuple(side.dim_value or int(at == 0) for at, side in enumerate(kind.shape.dim))
        ends.append(TensorFacts(value.name, shape, kinds[kind.elem_type], None, None))
    format_id = "onnx_float32"
    if ends[0].dtype == "int8":
        format_id, ends = "onnx_int8", list(ends_of(path))
    return Finished(format_id, ends[0], ends[1], operators_of(path, "onnx"))
