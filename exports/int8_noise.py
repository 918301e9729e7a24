"""What the int8 numbers of a file cost, operator by operator: rounding put into the float file one piece at a time.

A float32 and an int8 file of one model hold the same operators. For each of them a float file is made that carries the
int8 file's rounding at this one place: its weights as the int8 file stores them, turned back into floats, or its output
led through a QUANTIZE and a DEQUANTIZE of the int8 file's scale and zero point. What that does to the logits is the
place's own cost, in runs of the real runtime and without any model of how noise spreads.

Noise is a mean squared difference as a share of the variance of what it disturbs: 0.01 is 20 dB. Of the logits, each
image's mean is subtracted first, which no arg-max sees; their variance is that between images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from exports.ranges import some_of
from exports.tflite_file import KERNEL_CHANNELS, Flatbuffer, layer_of, parse, tensor_name
from exports.tflite_rounding import (
    Editor,
    Pair,
    Steps,
    kernels_of,
    open_fast,
    open_whole,
    operators_of,
    pairs_of,
    range_of,
)

SAME = 1e-6  # of the logits' own size: no image is told from another
MOST_OPERATORS = 48  # whose cost at the logits is found by running files; the rest have less noise in their channels


@dataclass(frozen=True)
class Values:
    """Numbers of one tensor in the float file, over all images, beside the range that the int8 file gives it.

    `low` and `high` are the ends of the int8 range, `least` and `most` of the values seen, `clipped` the share of
    values outside. `spread` is the widest channel's range over the median channel's. `used` is the part of the
    int8 range that the values from the 0.1th to the 99.9th percentile fill.
    """

    scale: float
    low: float
    high: float
    least: float
    most: float
    clipped: float
    used: float
    spread: float


@dataclass(frozen=True)
class Kernel:
    """Weights of one operator: a scale per channel or one, `spread` of the channels' largest weights, `noise`.

    `noise_by_channel` is the mean over the channels that it makes, each at most 1, where a weight counts as much as
    what it reads is large.
    """

    channels: int
    per_channel: bool
    spread: float
    noise: float
    noise_by_channel: float


@dataclass(frozen=True)
class Place:
    """One operator: its own noise, and what its weights and its output cost at the logits (None: not tried).

    `noise` is that of the output's rounding, `reached` that of the real int8 file's tensor here, in which everything
    before it has a part. `noise_by_channel` is the mean over the channels of each one's noise, at most 1: a few large
    channels can hide that all others are lost. `inputs` are the values it reads, `reads` the numbers of the operators
    that made them.
    """

    number: int
    name: str
    layer: str
    operator: str
    shape: tuple[int, ...]
    values: Values
    noise: float
    noise_by_channel: float
    kernel: Kernel | None = None
    reached: float | None = None
    cost: float | None = None
    cost_weights: float | None = None
    cost_output: float | None = None
    inputs: tuple[Values, ...] = ()
    reads: tuple[int, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class Noise:
    """The image's own rounding, all places in the file's order, and the whole int8 file's noise and agreement."""

    image: Values
    cost_image: float
    places: tuple[Place, ...]
    noise: float
    agreement: float
    images: int
    notes: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def int8_noise(float_file: bytes, int8_file: bytes, images: np.ndarray, *, most: int = MOST_OPERATORS) -> Noise:
    """What each rounding of `int8_file` costs, found with `images`, raw inputs of the float file `(n, h, w, c)`.

    Raises:
        ValueError: the files do not hold the same operators, or one of them is of another kind.
    """
    plain, rounded = parse(float_file), parse(int8_file)
    pairs = pairs_of(plain, rounded)
    seen = _Seen(plain, rounded, pairs)
    logits, logits8 = seen.run(float_file, int8_file, images)
    if _signal(logits) < SAME * float(np.mean(logits**2)):
        raise ValueError("the float file gives all images the same logits; train the network first")
    image, places = seen.image(), seen.places()
    tried = {place.number for place in sorted(places, key=lambda one: -_own(one))[:most]}
    editor = Editor(plain, rounded)
    by_number = {pair.number: pair for pair in pairs}
    found = [
        _with_cost(place, by_number[place.number], editor, images, logits) if place.number in tried else place
        for place in places
    ]
    return Noise(
        image=image,
        cost_image=_cost(editor.with_image(), images, logits),
        places=tuple(found),
        noise=noise_of(logits8, logits),
        agreement=float((logits8.argmax(1) == logits.argmax(1)).mean()),
        images=len(images),
        notes=() if len(places) <= most else (f"of {len(places)} operators the {most} noisiest were tried alone",),
    )


def noise_of(changed: np.ndarray, plain: np.ndarray) -> float:
    """Noise of logits `(n, classes)`: see the head of this module."""
    wanted = plain - plain.mean(axis=1, keepdims=True)
    given = changed - changed.mean(axis=1, keepdims=True)
    return float(np.mean((given - wanted) ** 2) / max(_signal(plain), 1e-30))


def _signal(logits: np.ndarray) -> float:
    """The variance between images, each image's mean taken away."""
    centred = logits - logits.mean(axis=1, keepdims=True)
    return float(np.mean((centred - centred.mean(axis=0)) ** 2))


def _own(place: Place) -> float:
    return place.noise_by_channel + (place.kernel.noise_by_channel if place.kernel else 0.0)


def _by_channel(errors: np.ndarray, powers: np.ndarray) -> float:
    """The mean over channels of error / power, each at most 1; channels without power have nothing to lose."""
    alive = powers > 0
    return float(np.minimum(errors[alive] / powers[alive], 1.0).mean()) if alive.any() else 0.0


def _with_cost(place: Place, pair: Pair, editor: Editor, images: np.ndarray, logits: np.ndarray) -> Place:
    output = _cost(editor.with_output(pair), images, logits)
    weights = _cost(editor.with_weights(pair), images, logits) if place.kernel else None
    return replace(place, cost=output + (weights or 0.0), cost_weights=weights, cost_output=output)


class _Watched:
    """Sums over the images of one tensor: its values in the float file, and what int8 makes of them."""

    SAMPLE = 1024  # values kept of each image for the percentiles

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.count = self.outside = 0
        self.reached = 0.0
        self.sums, self.squares, self.errors = np.zeros(1), np.zeros(1), np.zeros(1)  # of each channel
        self.least: np.ndarray | None = None
        self.most = np.zeros(0)
        self.some: list[np.ndarray] = []
        self.draw = np.random.default_rng(0)

    def add(self, values: np.ndarray, values8: np.ndarray | None) -> None:
        flat = values.astype(np.float64)
        whole, held = self.steps.unbounded(flat), self.steps.of(flat)
        rows = flat.reshape(-1, flat.shape[-1])
        self.count += flat.size
        self.outside += int((whole != held).sum())
        self.sums = self.sums + rows.sum(axis=0)
        self.squares = self.squares + (rows**2).sum(axis=0)
        self.errors = self.errors + ((self.steps.back(held) - flat) ** 2).reshape(rows.shape).sum(axis=0)
        if values8 is not None:
            self.reached += float(((self.steps.back(values8.astype(np.float64)) - flat) ** 2).sum())
        least, most = rows.min(axis=0), rows.max(axis=0)
        self.least = least if self.least is None else np.minimum(self.least, least)
        self.most = most if not self.some else np.maximum(self.most, most)
        self.some.append(some_of(flat, self.SAMPLE, self.draw))

    @property
    def variance(self) -> float:
        return max(float(self.squares.sum()) / self.count - (float(self.sums.sum()) / self.count) ** 2, 1e-30)

    @property
    def noise(self) -> float:
        return float(self.errors.sum()) / self.count / self.variance

    @property
    def noise_by_channel(self) -> float:
        cells = self.count / len(self.sums)
        spread = self.squares / cells - (self.sums / cells) ** 2
        constant = spread <= SAME * self.squares / cells  # what is left is the rounding of this very subtraction
        return _by_channel(self.errors / cells, np.where(constant, 0.0, spread))

    def values(self) -> Values:
        assert self.least is not None
        low, high = self.steps.back(np.array([self.steps.low, self.steps.high])).tolist()
        inner = np.percentile(np.concatenate(self.some), [0.1, 99.9])
        ranges = self.most - self.least
        middle = float(np.median(ranges))
        return Values(
            self.steps.scale, low, high, float(self.least.min()), float(self.most.max()), self.outside / self.count,
            float((inner[1] - inner[0]) / (high - low)), float(ranges.max()) / middle if middle > 0 else 1.0,
        )  # fmt: skip


class _Seen:
    """Both files run side by side once over the images, every tensor looked at."""

    def __init__(self, plain: Flatbuffer, rounded: Flatbuffer, pairs: Sequence[Pair]) -> None:
        self.plain, self.rounded, self.pairs = plain, rounded, pairs
        self.main, self.main8 = plain.model.subgraphs[0], rounded.model.subgraphs[0]
        (self.image_index,), (self.image8_index,) = self.main.inputs, self.main8.inputs
        given = range_of(rounded, int(self.image8_index))
        if given is None:
            raise ValueError("the second file takes floats; give one that takes int8 or uint8 images")
        self.image_range = given
        self.watched = {pair.output: _Watched(pair.steps) for pair in pairs}
        self.image_watched = _Watched(given)
        self.made_by = {int(index): number for number, _, one in operators_of(plain) for index in one.outputs}

    def run(self, float_file: bytes, int8_file: bytes, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The logits of both files for the images."""
        net, net8 = open_whole(float_file), open_whole(int8_file)
        answer, answer8 = int(self.main.outputs[0]), int(self.main8.outputs[0])
        out = range_of(self.rounded, answer8)
        logits, logits8 = [], []
        for image in images:
            net.set_tensor(int(self.image_index), image[None])
            net.invoke()
            kind = net8.get_input_details()[0]["dtype"]
            net8.set_tensor(int(self.image8_index), self.image_range.of(image[None]).astype(kind))
            net8.invoke()
            self.image_watched.add(image, None)
            for pair in self.pairs:
                self.watched[pair.output].add(net.get_tensor(pair.output), net8.get_tensor(pair.output8))
            logits.append(net.get_tensor(answer)[0].astype(np.float64))
            raw = net8.get_tensor(answer8)[0].astype(np.float64)
            logits8.append(raw if out is None else out.back(raw))
        return np.stack(logits), np.stack(logits8)

    def image(self) -> Values:
        return self.image_watched.values()

    def places(self) -> list[Place]:
        known = {int(self.image_index): self.image(), **{index: one.values() for index, one in self.watched.items()}}
        return [self._place(pair, known) for pair in self.pairs]

    def _place(self, pair: Pair, known: dict[int, Values]) -> Place:
        tensor, watched = self.main.tensors[pair.output], self.watched[pair.output]
        name = tensor_name(tensor)
        return Place(
            number=pair.number, name=name, layer=layer_of(name), operator=pair.kind,
            shape=tuple(int(side) for side in tensor.shape), values=known[pair.output],
            noise=watched.noise, noise_by_channel=watched.noise_by_channel,
            reached=watched.reached / watched.count / watched.variance,
            kernel=self._kernel(pair),
            inputs=tuple(known[int(index)] for index in pair.plain.inputs if int(index) in known),
            reads=tuple(self.made_by[int(index)] for index in pair.plain.inputs if int(index) in self.made_by),
        )  # fmt: skip

    def _kernel(self, pair: Pair) -> Kernel | None:
        both = kernels_of(self.plain, self.rounded, pair.plain, pair.rounded, pair.kind)
        if both is None:
            return None
        kernel, back, scales = both
        axis = KERNEL_CHANNELS[pair.kind]
        rows = np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1)
        largest = np.abs(rows).max(axis=1)
        middle = float(np.median(largest))
        errors, powers = (back - kernel) ** 2, kernel**2
        read = self.watched.get(int(pair.plain.inputs[0]))
        weight = np.ones(1) if read is None or len(read.squares) != kernel.shape[-1] else read.squares
        by_channel = _by_channel(
            *(np.moveaxis(one * weight, axis, 0).reshape(len(rows), -1).sum(axis=1) for one in (errors, powers))
        )
        return Kernel(
            len(rows), scales > 1, float(largest.max()) / middle if middle > 0 else 1.0,
            float(errors.sum() / max(float(powers.sum()), 1e-30)), by_channel,
        )  # fmt: skip


def _cost(content: bytes, images: np.ndarray, logits: np.ndarray) -> float:
    net = open_fast(content)
    image, answer = net.get_input_details()[0]["index"], net.get_output_details()[0]["index"]
    given = []
    for one in images:
        net.set_tensor(image, one[None])
        net.invoke()
        given.append(net.get_tensor(answer)[0].astype(np.float64))
    return noise_of(np.stack(given), logits)
