"""How a trained float model is rounded to int8: which ranges its tensors get, and what is done beside that.

Source: percentiles and entropy are TensorRT's and ONNX Runtime's choices; the least squared error is that of Choukroun
et al., arXiv:1902.06822, section 3, for tensors as a whole and with both ends drawn in by one factor; corrected biases
are those of Nagel et al., arXiv:1906.04721, section 4.2.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

RANGES = ("min_max", "percentile", "mse")
STEPS = 255
FACTORS = np.linspace(0.25, 1.0, 76)


@dataclass(frozen=True)
class Rounding:
    """`percentile`, in percent, counts for those `ranges` alone; `keep` are patterns of layer names that stay float.

    `precision` are pairs of such a pattern and bits, see `exports.mixed_bits`.
    """

    ranges: Literal["min_max", "percentile", "mse"] = "min_max"
    percentile: float = 99.99
    correct_bias: bool = False
    keep: tuple[str, ...] = ()
    precision: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.ranges not in RANGES:
            raise ValueError(f"ranges {self.ranges!r} are not known; choose one of {', '.join(RANGES)}")
        if not 90 <= self.percentile <= 100:
            raise ValueError(f"percentile = {self.percentile:g}: give 90 to 100; 99.9 to 99.999 are usual")

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Rounding:
        """What `as_dict` gave, read back."""
        precision = tuple((pattern, bits) for pattern, bits in values.get("precision", ()))
        return cls(**{**values, "keep": tuple(values.get("keep", ())), "precision": precision})

    def range_of(self, values: np.ndarray) -> tuple[float, float]:
        """The range `(low, high)` for a sample of a tensor's values; it always holds 0, which must be exact."""
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        if self.ranges == "percentile":
            ends = np.percentile(values, [100 - self.percentile, self.percentile])
            return min(float(ends[0]), 0.0), max(float(ends[1]), 0.0)
        if self.ranges == "mse" and high > low:
            errors = [_squared_error(values, factor * low, factor * high) for factor in FACTORS]
            factor = float(FACTORS[int(np.argmin(errors))])
            return factor * low, factor * high
        return low, high


PLAIN = Rounding()


def _squared_error(values: np.ndarray, low: float, high: float) -> float:
    scale = (high - low) / STEPS
    zero = np.rint(-low / scale)
    steps = np.clip(np.rint(values / scale) + zero, 0, STEPS)
    return float(np.mean(((steps - zero) * scale - values) ** 2))
