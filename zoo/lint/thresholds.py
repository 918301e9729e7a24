"""From where on the linter speaks up. Every limit says why it stands where it does.

G1 to G4 are the guidelines of arXiv:1807.11164. The paper argues with measured speed and names no limit, so each one
here is a choice of this project, made from the paper's tables before any network was judged.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any


def limit(default: float, help: str, *, minimum: float, maximum: float, unit: str = "") -> Any:
    """A field with its reason, its unit and the range it may be moved in."""
    return field(default=default, metadata={"help": help, "minimum": minimum, "maximum": maximum, "unit": unit})


@dataclass(frozen=True)
class Thresholds:
    """The limits of all rules. Raises: ValueError for a value outside its range."""

    width_ratio: float = limit(
        1.15,
        "G1: a 1x1 convolution may move this many times the least possible; widths 1:2 give up to 1.06, 1:3 up to "
        "1.15 and 1:6 up to 1.43; the paper's speed falls between the first and the last",
        minimum=1.0, maximum=100.0, unit="ratio",
    )  # fmt: skip
    groups: int = limit(
        1, "G2: groups a convolution may have (depthwise left out); at equal multiply-adds any more move more bytes",
        minimum=1, maximum=100_000, unit="groups",
    )  # fmt: skip
    branches: int = limit(
        2, "G3: convolutions that may lie side by side between a split and its merge; a projected shortcut needs 2, "
        "and the paper's slow blocks have 4",
        minimum=1, maximum=1000, unit="branches",
    )  # fmt: skip
    tiny_share: float = limit(
        0.05, "G3: a convolution with less of its block's multiply-adds is tiny: its start costs as much as its work",
        minimum=0.0, maximum=1.0, unit="share of macs",
    )  # fmt: skip
    tiny_layers: int = limit(
        1, "G3: tiny convolutions that may follow one another in a block; one depthwise layer is usual",
        minimum=0, maximum=1000, unit="layers",
    )  # fmt: skip
    elementwise_share: float = limit(
        1 / 3, "G4: bytes that element-wise work and depthwise convolutions may move; at a third they move one byte "
        "for every two of all other layers",
        minimum=0.0, maximum=1.0, unit="share of bytes",
    )  # fmt: skip
    alone_share: float = limit(
        0.01, "G4: bytes that one norm or ReLU may move which no convolution can take in; below a hundredth "
        "nobody would notice",
        minimum=0.0, maximum=1.0, unit="share of bytes",
    )  # fmt: skip
    channel_multiple: int = limit(
        8, "Channels should be a multiple of this; vector units and the Edge TPU work on 8 and more at once",
        minimum=1, maximum=1024, unit="channels",
    )  # fmt: skip
    early_side: int = limit(
        128, "From this many pixels on the first convolutions should have a stride; smaller images keep theirs (the "
        "small-input rule of the zoo)",
        minimum=8, maximum=4096, unit="pixels",
    )  # fmt: skip
    dense_share: float = limit(
        0.5, "One dense layer should hold less of all params; beyond half it is the network's size",
        minimum=0.0, maximum=1.0, unit="share of params",
    )  # fmt: skip
    kernel_side: int = limit(
        5, "From this side on an ordinary convolution is compared with 3x3 convolutions one after the other",
        minimum=4, maximum=64, unit="cells",
    )  # fmt: skip
    cache_mib: float = limit(
        8.0, "Weights at one byte each should fit here: the Edge TPU keeps about 8 MiB on the chip and fetches the "
        "rest for every image",
        minimum=0.0, maximum=1e6, unit="MiB",
    )  # fmt: skip
    dead_weight: float = limit(
        1 / 127, "A kernel is dead when its largest weight is below this share of its layer's largest: less than one "
        "step of an int8 scale for the whole layer",
        minimum=0.0, maximum=1.0, unit="share",
    )  # fmt: skip
    dead_sigmas: float = limit(
        4.0, "A channel in front of a ReLU is dead when zero lies this many standard deviations above its mean; of "
        "a normal distribution 1 number in 30,000 does",
        minimum=0.0, maximum=100.0, unit="standard deviations",
    )  # fmt: skip
    dead_share: float = limit(
        0.05, "Dead kernels or channels a layer may have; below one in twenty kernels gain nothing from their absence",
        minimum=0.0, maximum=1.0, unit="share of channels",
    )  # fmt: skip

    def __post_init__(self) -> None:
        for item in fields(self):
            value, low, high = getattr(self, item.name), item.metadata["minimum"], item.metadata["maximum"]
            whole = isinstance(item.default, int)
            if isinstance(value, bool) or not isinstance(value, int | float) or (whole and value != int(value)):
                raise ValueError(f"{item.name} {value!r} is not a {'whole ' if whole else ''}number")
            if not low <= value <= high:
                raise ValueError(f"{item.name} {value!r} is outside {low:g} to {high:g}")


USUAL = Thresholds()
