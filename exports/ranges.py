"""Int8 ranges that are not simply the least and greatest value seen: by percentile, or with the least squared error.

The converter's own calibration takes extremes, so a single odd pixel can cost a tensor half of its steps. Here its
calibrated flatbuffer is read, every activation is looked at once more over the same images, and narrower ranges are
written into it before the converter rounds.

Source: percentiles and entropy are TensorRT's and ONNX Runtime's choices; the least squared error is that of Choukroun
et al., arXiv:1902.06822, section 3, for tensors as a whole and with both ends drawn in by one factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from exports.tflite_file import pack, parse

RANGES = ("min_max", "percentile", "mse")
SAMPLE = 512  # values kept of each tensor and image
STEPS = 255
FACTORS = np.linspace(0.25, 1.0, 76)


@dataclass(frozen=True)
class Ranges:
    """How int8 ranges follow from the values seen. `percentile` counts for that choice alone, in percent."""

    kind: Literal["min_max", "percentile", "mse"] = "min_max"
    percentile: float = 99.99

    def __post_init__(self) -> None:
        if self.kind not in RANGES:
            raise ValueError(f"ranges {self.kind!r} are not known; choose one of {', '.join(RANGES)}")
        if not 90 <= self.percentile <= 100:
            raise ValueError(f"percentile = {self.percentile:g}: give 90 to 100; 99.9 to 99.999 are usual")

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def of(self, values: np.ndarray) -> tuple[float, float]:
        """The range `(low, high)` for a sample of a tensor's values; it always holds 0, which must be exact."""
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        if self.kind == "percentile":
            ends = np.percentile(values, [100 - self.percentile, self.percentile])
            return min(float(ends[0]), 0.0), max(float(ends[1]), 0.0)
        if self.kind == "mse" and high > low:
            errors = [_squared_error(values, factor * low, factor * high) for factor in FACTORS]
            factor = float(FACTORS[int(np.argmin(errors))])
            return factor * low, factor * high
        return low, high


MIN_MAX = Ranges()


def _squared_error(values: np.ndarray, low: float, high: float) -> float:
    scale = (high - low) / STEPS
    zero = np.rint(-low / scale)
    steps = np.clip(np.rint(values / scale) + zero, 0, STEPS)
    return float(np.mean(((steps - zero) * scale - values) ** 2))


def with_ranges(calibrated: bytes, batches: Sequence[np.ndarray], ranges: Ranges) -> bytes:
    """The calibrated flatbuffer with other ranges for its activations; `batches` are the calibration images.

    The image keeps its range: 0 to 255 is exact there.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    file = parse(calibrated)
    main = file.model.subgraphs[0]
    images = {int(index) for index in main.inputs}
    asked = [index for index, one in enumerate(main.tensors) if index not in images and _has_range(one)]
    net = Interpreter(
        model_content=calibrated,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    net.allocate_tensors()
    seen: dict[int, list[np.ndarray]] = {index: [] for index in asked}
    draw = np.random.default_rng(0)
    for batch in batches:
        net.set_tensor(int(main.inputs[0]), batch)
        net.invoke()
        for index in asked:
            seen[index].append(some_of(net.get_tensor(index), SAMPLE, draw))
    for index in asked:
        low, high = ranges.of(np.concatenate(seen[index]).astype(np.float64))
        if high > low:
            main.tensors[index].quantization.min, main.tensors[index].quantization.max = [low], [high]
    return pack(file)


def some_of(values: np.ndarray, count: int, draw: np.random.Generator) -> np.ndarray:
    """At most `count` of the values, drawn by lot: every n-th would be those of a few channels."""
    line = values.ravel()
    return line if line.size <= count else line[draw.integers(0, line.size, count)]


def _has_range(tensor: Any) -> bool:
    given = tensor.quantization
    return given is not None and given.min is not None and len(given.min) == 1
