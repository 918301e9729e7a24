"""What a person must know to feed an artifact and to read its answer; stored as `<stem>.contract.json` beside it.

Pixels are always 0..255 for the person. A file wants `value = pixel * pixel_scale + pixel_offset` when it is a float
file, and `round(value / scale) + zero_point` when it is an integer one; `pixel_scale` is 1 for files that hold the step
to [0, 1] inside and 1/255 for those that expect [0, 1]. The offset is 0 but for files from elsewhere that want [-1, 1].
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from exports.formats import FORMATS

RESIZE_KERNELS = {"bilinear antialias": "BILINEAR", "bicubic antialias": "BICUBIC", "nearest": "NEAREST"}
"""Contract wording -> Pillow's `Image.Resampling` name (Pillow's own resize is the antialiased kind)."""

CHANNEL_ORDERS = {"RGB": 3, "grey": 1}
PIXELS = (0.0, 255.0)
DTYPES = ("float32", "int8", "uint8", "int16")


@dataclass(frozen=True)
class InputSpec:
    """The image a file takes: `(1, height, width, channels)`, see the module text for the formula."""

    name: str
    height: int
    width: int
    channels: int
    dtype: str
    range: tuple[float, float]
    pixel_scale: float
    order: str
    resize: str
    scale: float | None = None
    zero_point: int | None = None
    pixel_offset: float = 0.0


@dataclass(frozen=True)
class OutputSpec:
    """The answer of a file: one number per label, `(raw - zero_point) * scale` for integer files.

    `kind` is `logits` for all that is written here, without a softmax, and `scores` for files from elsewhere.
    """

    name: str
    kind: str
    classes: int
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True)
class Contract:
    """Everything beside the bytes of an artifact. `operators` counts them by name; `kernel_set` ran the self-test."""

    format: str
    family: str
    input: InputSpec
    output: OutputSpec
    labels: tuple[str, ...]
    sha256: str
    bytes: int
    gzip_bytes: int
    int8_aware: bool = False
    kernel_set: str = "reference"
    min_runtime: str | None = None
    operators: dict[str, int] = field(default_factory=dict)
    float_tensors: int | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The contract as JSON-ready values."""
        values = asdict(self)
        values["labels"] = list(self.labels)
        values["input"]["range"] = list(self.input.range)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Contract:
        """A contract read back from `as_dict`.

        Raises:
            ValueError: a key is missing or unknown, or a value is none that a file could have.
        """
        try:
            parts = dict(values)
            image = dict(parts.pop("input"))
            image["range"] = tuple(image["range"])
            parts["input"] = InputSpec(**image)
            parts["output"] = OutputSpec(**parts["output"])
            parts["labels"] = tuple(parts["labels"])
            contract = cls(**parts)
        except (KeyError, TypeError, ValueError) as error:
            wanted = ", ".join(item.name for item in fields(cls))
            raise ValueError(f"this is not a contract of ours ({error}); it needs the keys {wanted}") from error
        if faults := contract.faults():
            raise ValueError(f"this contract cannot be kept: {'; '.join(faults)}")
        return contract

    def faults(self) -> list[str]:
        """What no file could keep of this contract, whatever its bytes are; empty for a sound one."""
        found = []
        if self.format not in FORMATS:
            found.append(f"format {self.format!r} is not one of {', '.join(FORMATS)}")
        elif FORMATS[self.format].family != self.family:
            found.append(f"family {self.family!r} is not that of {self.format}, {FORMATS[self.format].family}")
        image, answer = self.input, self.output
        counts = {"height": image.height, "width": image.width, "channels": image.channels, "classes": answer.classes}
        found += [f"{name} {count!r} is no whole number above 0" for name, count in counts.items() if not _count(count)]
        for end, spec in (("input", image), ("output", answer)):
            if spec.dtype not in DTYPES:
                found.append(f"{end} dtype {spec.dtype!r} is not one of {', '.join(DTYPES)}")
            if spec.scale is not None and not _positive(spec.scale):
                found.append(f"{end} scale {spec.scale!r} is no number above 0")
            if spec.zero_point is not None and type(spec.zero_point) is not int:
                found.append(f"{end} zero point {spec.zero_point!r} is no whole number")
        if not _positive(image.pixel_scale):
            found.append(f"pixel scale {image.pixel_scale!r} is no number above 0")
        if not _number(image.pixel_offset):
            found.append(f"pixel offset {image.pixel_offset!r} is no number")
        if tuple(image.range) != PIXELS:
            found.append(f"wrong input range: {tuple(image.range)}; pixels are always 0..255")
        if CHANNEL_ORDERS.get(image.order) != image.channels:
            found.append(f"order {image.order!r} does not go with {image.channels!r} channels")
        if image.resize not in RESIZE_KERNELS:
            found.append(f"resize {image.resize!r} is not one of {', '.join(RESIZE_KERNELS)}")
        return found

    def save(self, path: Path) -> None:
        """Write the contract as JSON with sorted keys, so that equal contracts are equal files."""
        path.write_text(json.dumps(self.as_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")

    @classmethod
    def load(cls, path: Path | str) -> Contract:
        """The contract stored at `path`; `ValueError` when it is not one."""
        try:
            values = json.loads(Path(path).read_text("utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not JSON ({error}); give the .contract.json written with the file") from error
        if not isinstance(values, dict):
            raise ValueError(f"{path} holds a {type(values).__name__}; a contract is a JSON object")
        return cls.from_dict(values)

    @classmethod
    def beside(cls, path: Path | str) -> Contract:
        """The contract that lies beside the artifact at `path`."""
        beside = contract_path(Path(path))
        if not beside.is_file():
            raise ValueError(f"{path} has no contract beside it; expected {beside.name} in the same folder")
        return cls.load(beside)

    def raw_from_pixels(self, images: np.ndarray) -> np.ndarray:
        """Pixels `(n, height, width, channels)` uint8 -> the numbers the file wants, in its own dtype.

        Raises:
            ValueError: the images are not uint8 or have another size.
        """
        wanted = (self.input.height, self.input.width, self.input.channels)
        if images.dtype != np.uint8:
            raise ValueError(f"images must be uint8 pixels 0..255, these are {images.dtype}; give the undivided pixels")
        if images.ndim != 4 or images.shape[1:] != wanted:
            raise ValueError(f"images have shape {images.shape}; this file takes (n, {', '.join(map(str, wanted))})")
        if self.input.scale is None:
            number = np.dtype(self.input.dtype).type
            values = images.astype(self.input.dtype) * number(self.input.pixel_scale)
            return values + number(self.input.pixel_offset) if self.input.pixel_offset else values
        # A byte has 256 values, so the formula is computed once per value.
        limits = np.iinfo(self.input.dtype)
        values = np.arange(256) * (self.input.pixel_scale / self.input.scale)
        steps = np.rint(values + self.input.pixel_offset / self.input.scale) + (self.input.zero_point or 0)
        return np.clip(steps, limits.min, limits.max).astype(self.input.dtype)[images]

    def logits_from_raw(self, raw: np.ndarray) -> np.ndarray:
        """The file's output `(n, classes)` -> float32 logits."""
        if self.output.scale is None:
            return raw.astype(np.float32)
        return (raw.astype(np.float32) - np.float32(self.output.zero_point or 0)) * np.float32(self.output.scale)


def contract_path(path: Path) -> Path:
    """`net_tflite_int8.tflite` -> `net_tflite_int8.contract.json` in the same folder."""
    return path.with_name(path.name.removesuffix(path.suffix) + ".contract.json")


def selftest_path(path: Path) -> Path:
    """`net_tflite_int8.tflite` -> `net_tflite_int8.selftest.npz` in the same folder."""
    return path.with_name(path.name.removesuffix(path.suffix) + ".selftest.npz")


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _positive(value: Any) -> bool:
    return _number(value) and value > 0
