"""What a family says about weights published elsewhere: one `Weights` per file in `zoo/weights/`.

The reference of every family is its function in `keras.applications`. A `Pair` names one of the reference's layers and
the layers of ours that take its weights; a family's pairs stand in the order in which the reference stores its layers,
because some published files are older than the names and can only be read in order, as Keras itself does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from zoo.assemble import sketch
from zoo.declaration import SMALL_INPUT, Architecture
from zoo.request import MIN_SIDE

Colours = tuple[float, float, float]  # red, green, blue

# Kind -> the name Keras gives a layer of that class when nobody names it. `conv_as_dense` is a 1x1 convolution on a
# pooled map, a dense layer here: the same weights.
KINDS = {
    "conv": "conv2d",
    "conv_as_dense": "conv2d",
    "depthwise": "depthwise_conv2d",
    "separable": "separable_conv2d",
    "norm": "batch_normalization",
    "dense": "dense",
    "input": "normalization",
}

# Options that act only while training or change the size of maps alone: published weights fit whatever they are.
WITHOUT_WEIGHTS = ("dropout", "drop_connect", SMALL_INPUT.name)


class Affine(NamedTuple):
    """What the reference sees of a pixel in [0, 1]: scale times pixel plus offset, by channel."""

    scale: Colours
    offset: Colours


MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, pixels in [0, 1]

MINUS_ONE_TO_ONE = Affine((2.0, 2.0, 2.0), (-1.0, -1.0, -1.0))
MINUS_MEAN = Affine((255.0, 255.0, 255.0), (-123.68, -116.779, -103.939))  # in pixels 0 to 255
STANDARDISED = Affine(
    (1 / DEVIATION[0], 1 / DEVIATION[1], 1 / DEVIATION[2]),
    (-MEAN[0] / DEVIATION[0], -MEAN[1] / DEVIATION[1], -MEAN[2] / DEVIATION[2]),
)


class Pair(NamedTuple):
    """One layer of the reference, and ours.

    `theirs` is its name, or `NAME#N` for the N-th, from 0, of the layers that Keras numbers by itself: their absolute
    numbers depend on what was built before. `ours` has two names for a separable convolution (depthwise, pointwise),
    and several for a normalisation that stands behind each part of a concatenation here. `bias_into` names the
    normalisation whose mean takes the bias that the reference's convolution has and ours has not. `from_bgr` turns the
    input channels of the kernel round.
    """

    theirs: str
    kind: str
    ours: tuple[str, ...]
    bias_into: str = ""
    from_bgr: bool = False

    @property
    def in_head(self) -> bool:
        """Whether the reference leaves this layer out with `include_top=False`."""
        return self.ours[0].split("_")[0] == "head"


class File(NamedTuple):
    """A published file: its name in Keras' cache, its address, and its MD5, empty where Keras gives none."""

    name: str
    url: str
    md5: str


@dataclass(frozen=True)
class Published:
    """One published network: the file with its classifier and the one without; `resolution` is its training's."""

    resolution: int
    top: File
    no_top: File
    width: float = 1.0
    variant: str | None = None

    def file(self, classifier: bool) -> File:
        """The file with or without the classifier."""
        return self.top if classifier else self.no_top


@dataclass(frozen=True)
class Weights:
    """A family's published weights.

    `affine` is None for the family whose files hold these numbers themselves. `widths` says whether the reference has
    a width multiplier at all. Below `smallest_side` the network here takes another form than the reference's, and
    `classifier_side` is the only one that the classifier fits when it reads the map and not its mean.
    """

    family: str
    reference: str
    affine: Affine | None
    pairs: Callable[[Mapping[str, Any]], tuple[Pair, ...]]
    published: tuple[Published, ...]
    widths: bool = False
    smallest_side: int = 0
    classifier_side: int | None = None

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants that the reference has; empty for a family with one network."""
        return tuple(dict.fromkeys(row.variant for row in self.published if row.variant is not None))

    def check(self, family: Architecture, width: float, options: Mapping[str, Any]) -> dict[str, Any]:
        """`options` settled, when the reference has this network.

        Raises: ValueError naming the option or the width that it does not have, and what would work.
        """
        settled = family.settle(options)
        for option in family.options:
            value = settled[option.name]
            if option.name == "variant":
                if value not in self.variants:
                    raise ValueError(
                        f"keras.applications has no {family.name} {value}; weights exist for {', '.join(self.variants)}"
                    )
            elif option.name not in WITHOUT_WEIGHTS and value != option.default:
                raise ValueError(
                    f"{option.name} {value} is not what published weights of {family.name} were trained with; "
                    f"leave it at {option.default}"
                )
        if not self.widths and width != 1:
            raise ValueError(f"keras.applications has {family.name} at width 1 only; received {width:g}")
        return settled

    def check_sides(self, sides: tuple[int, int], classifier: bool, options: Mapping[str, Any]) -> None:
        """Raises: ValueError when published weights cannot be used at this height and width; `options` are settled."""
        shown = "x".join(map(str, sides))
        if classifier and self.classifier_side is not None and sides != (self.classifier_side,) * 2:
            raise ValueError(
                f"the classifier of {self.family} reads the whole map, so its weights fit "
                f"{self.classifier_side} pixels only; received {shown}"
            )
        if classifier and not self.keeps_strides(sides, options):
            remedy = f"set {SMALL_INPUT.name} to paper" if SMALL_INPUT.name in options else "leave the classifier out"
            raise ValueError(
                f"below {self.least_side(options)} pixels {self.family} leaves out strides that its published "
                f"classifier was trained with; {remedy}; received {shown}"
            )
        if min(sides) < self.smallest_side:
            raise ValueError(
                f"below {self.smallest_side} pixels {self.family} takes a form that published weights do not fit; "
                f"received {shown}"
            )

    def keeps_strides(self, sides: tuple[int, int], options: Mapping[str, Any]) -> bool:
        """Whether the network at this height and width has all strides and pools of the published one, which left out
        none at any of its resolutions; `options` are settled.
        """
        trained = max(row.resolution for row in self.published)
        paper = {SMALL_INPUT.name: "paper"} if SMALL_INPUT.name in options else {}
        return self._strides(sides, options) == self._strides((trained, trained), {**options, **paper})

    def least_side(self, options: Mapping[str, Any]) -> int:
        """The side in pixels from which on no stride is left out; `options` are settled."""
        sides = range(MIN_SIDE, max(row.resolution for row in self.published))
        return sides.start + bisect_left(sides, True, key=lambda side: self.keeps_strides((side, side), options))

    def _strides(self, sides: tuple[int, int], options: Mapping[str, Any]) -> dict[str, Any]:
        laid = sketch(self.family, resolution=sides, **options)
        return {op.name: op.config["strides"] for op in laid.ops if "strides" in op.config}

    def find(self, width: float, sides: tuple[int, int], options: Mapping[str, Any]) -> Published:
        """The published network of this width that was trained nearest to these sides, of two the larger one.

        `options` are settled ones. Raises: ValueError naming the widths that are published.
        """
        variant = options.get("variant") if self.variants else None
        rows = [row for row in self.published if row.variant == variant]
        fitting = [row for row in rows if row.width == width]
        if not fitting:
            offered = ", ".join(f"{one:g}" for one in sorted({row.width for row in rows}))
            named = f"{self.family} {variant}" if variant else self.family
            raise ValueError(f"keras.applications publishes {named} at width {offered}; received {width:g}")
        return min(fitting, key=lambda row: (abs(row.resolution - min(sides)), -row.resolution))


def norm_behind(ours: str, conv: str, norm: str, kind: str = "conv") -> tuple[Pair, Pair]:
    """The pairs of a convolution and the normalisation behind it: our NAME_conv and NAME_norm."""
    return Pair(conv, kind, (f"{ours}_conv",)), Pair(norm, "norm", (f"{ours}_norm",))
