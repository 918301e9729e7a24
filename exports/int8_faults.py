"""Why an int8 file loses accuracy, in words: the noise of its places read with fixed limits, worst cause first.

The limits stand here and nowhere else. In a sound file the cost is spread over all layers; a single place that costs
more than `WORTH_SAYING` is doing something that eight bits need not do. Below it nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from exports.int8_noise import Noise, Place, Values

WORTH_SAYING = 0.002  # of the logits' variance: -27 dB at one place
CLIPPED = 0.002  # share of a tensor's values beyond its range
HALF_USED = 0.5  # of the image's range
WIDE_CHANNELS = 8.0  # widest channel over the median one: three of eight bits are lost to it
WIDE_WEIGHTS = 4.0
MIXED_BRANCHES = 8.0  # widest span over the narrowest
LONG_TAIL = 0.1  # of a range that 99.8 % of the values fill
ONE_SIDED = 0.8  # share of the calibration images that one class may have at most
FEW_IMAGES = 50

# Cause -> what it is called, and what helps.
CAUSES = {
    "input_range": ("wrong input range", "calibrate with images prepared exactly as they will be fed"),
    "one_sided_calibration": ("calibration images of one class", "calibrate with images of all classes"),
    "few_calibration_images": ("too few calibration images", "calibrate with 100 to 500 images"),
    "clipped_logits": ("clipped logits", "calibrate with more images"),
    "clipping": ("ranges narrower than the values", "calibrate with images like those the file will see"),
    "mixed_concat": ("concatenation of branches of different scale", "equalise the branches"),
    "wide_activation": ("wide activation range", "equalise the layer with the one that follows"),
    "long_tail": ("a few values stretch the range", "set the range by a percentile or the least squared error"),
    "hard_swish": ("rounded hard-swish", "train with int8 in mind, or keep it in int16"),
    "squeeze_excite": ("rounded squeeze-excite gate", "train with int8 in mind, or keep it in int16"),
    "rounding": ("eight bits are too few here", "keep it in int16 or float"),
    "per_tensor_weights": ("one scale for weights of different size", "write the file with a scale per channel"),
    "weights": ("rounded weights", "equalise the layer, or keep its weights in float"),
}


@dataclass(frozen=True)
class Calibration:
    """What is known of the images that set the ranges: how many, and the share of the commonest class."""

    images: int
    largest_class: float | None = None


@dataclass(frozen=True)
class Fault:
    """One cause: the layers it shows at, worst first, its `cost` as noise of the logits, and what was seen."""

    cause: str
    layers: tuple[str, ...]
    cost: float
    evidence: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values, with the cause's title and what helps."""
        title, advice = CAUSES[self.cause]
        return {**asdict(self), "title": title, "advice": advice}


def int8_faults(noise: Noise, calibration: Calibration | None = None) -> tuple[Fault, ...]:
    """The causes found in a file, worst first; empty when every place does what eight bits can."""
    if found := _image(noise):
        return (found,)  # all ranges after it were taken from the wrong images too
    left = list(noise.places)
    faults: list[Fault] = []
    clipped = [place for place in left if place.values.clipped >= CLIPPED and place.cost_output is not None]
    if sum(_output_cost(place) for place in clipped) >= WORTH_SAYING:
        faults.append(_clipping(noise, clipped, calibration))
        left = [place for place in left if place not in clipped]
    concats, by_number = _concats(noise.places), {place.number: place for place in noise.places}
    for place in left:
        if _output_cost(place) >= WORTH_SAYING:
            faults.append(_output(place, concats.get(place.number)))
        if (place.cost_weights or 0.0) >= WORTH_SAYING:
            faults.append(_weights(place, [by_number[one] for one in place.reads if one in by_number]))
    return tuple(sorted(_joined(faults), key=lambda one: -one.cost))


def _image(noise: Noise) -> Fault | None:
    image = noise.image
    if noise.cost_image < WORTH_SAYING or (image.clipped < CLIPPED and image.used > HALF_USED):
        return None
    lost = (
        f"{100 * image.clipped:.0f} % of the pixels are cut off"
        if image.clipped >= CLIPPED
        else f"{max(1, round(256 * image.used))} of 256 steps are used"
    )
    seen = f"the range for pixels is {_range(image.low, image.high)}, the images fill {_range(image.least, image.most)}"
    return Fault("input_range", ("image",), noise.cost_image, f"{seen}: {lost}")


def _clipping(noise: Noise, places: Sequence[Place], calibration: Calibration | None) -> Fault:
    places = sorted(places, key=lambda one: -_output_cost(one))
    worst = places[0]
    seen = (
        f"{len(places)} of {len(noise.places)} tensors meet values beyond their range, {_name(worst)} with "
        f"{100 * worst.values.clipped:.1f} % of them: {_range(worst.values.least, worst.values.most)} in "
        f"{_range(worst.values.low, worst.values.high)}"
    )
    cause = "clipped_logits" if places == [noise.places[-1]] else "clipping"
    if calibration and (calibration.largest_class or 0.0) > ONE_SIDED:
        cause = "one_sided_calibration"
        share = f"{100 * (calibration.largest_class or 0.0):.0f} %"
        seen += f"; {share} of the {calibration.images} calibration images are of one class"
    elif calibration and calibration.images < FEW_IMAGES:
        cause = "few_calibration_images"
        seen += f"; the ranges were set by {calibration.images} images"
    return Fault(cause, tuple(_name(one) for one in places), sum(_output_cost(one) for one in places), seen)


def _output(place: Place, concat: Place | None) -> Fault:
    values, cost = place.values, _output_cost(place)
    if concat is not None:
        spans = sorted(_span(one) for one in concat.inputs)
        seen = f"its branches span {spans[0]:.3g} to {spans[-1]:.3g} and share one scale"
        return Fault("mixed_concat", (_name(concat),), cost, seen)
    range_ = _range(values.low, values.high)
    if values.spread >= WIDE_CHANNELS:
        return _wide(place, cost)
    if values.used <= LONG_TAIL:
        seen = f"99.8 % of the values fill {100 * values.used:.0f} % of the range {range_}"
        return Fault("long_tail", (_name(place),), cost, seen)
    if place.operator == "HARD_SWISH":
        return Fault("hard_swish", (_name(place),), cost, f"its outputs share {range_}")
    if place.operator == "MUL" or "squeeze" in place.layer:
        return Fault("squeeze_excite", (_name(place),), cost, f"the gate's values share {range_}")
    return Fault("rounding", (_name(place),), cost, f"its range {range_} is well used")


def _wide(place: Place, cost: float) -> Fault:
    seen = f"the widest channel spans {place.values.spread:.0f} times the median one, and all share one scale"
    return Fault("wide_activation", (_name(place),), cost, seen)


def _weights(place: Place, sources: Sequence[Place]) -> Fault:
    kernel, cost = place.kernel, place.cost_weights or 0.0
    assert kernel is not None
    for source in sources:
        if source.values.spread >= WIDE_CHANNELS and place.operator != "DEPTHWISE_CONV_2D":
            return _wide(source, cost)  # where channels are large, the weights that read them are small
    if not kernel.per_channel and kernel.channels > 1 and kernel.spread >= WIDE_WEIGHTS:
        kind = "depthwise channels" if place.operator == "DEPTHWISE_CONV_2D" else "channels"
        seen = f"of {kernel.channels} {kind} the largest has {kernel.spread:.0f} times the weights of the median one"
        return Fault("per_tensor_weights", (_name(place),), cost, seen)
    return Fault("weights", (_name(place),), cost, f"their noise is {kernel.noise:.2g} of their own size")


def _concats(places: Sequence[Place]) -> dict[int, Place]:
    """Operator -> the concatenation of branches far apart that it is, or whose scale it has to share."""
    by_number = {place.number: place for place in places}
    found: dict[int, Place] = {}
    for place in places:
        if place.operator == "CONCATENATION" and len(place.inputs) > 1 and _are_mixed(place.inputs):
            found[place.number] = place
            for number in place.reads:
                if number in by_number and by_number[number].values.scale == place.values.scale:
                    found[number] = place
    return found


def _are_mixed(branches: Sequence[Values]) -> bool:
    spans = [_span(one) for one in branches]
    return max(spans) >= MIXED_BRANCHES * min(spans)


def _span(values: Values) -> float:
    return values.most - values.least


def _joined(faults: Sequence[Fault]) -> list[Fault]:
    """Faults of one cause in one: the worst one's words, all layers, costs added."""
    by_cause: dict[str, list[Fault]] = {}
    for one in faults:
        by_cause.setdefault(one.cause, []).append(one)
    found = []
    for cause, group in by_cause.items():
        group.sort(key=lambda one: -one.cost)
        layers = tuple(dict.fromkeys(layer for one in group for layer in one.layers))
        found.append(Fault(cause, layers, sum(one.cost for one in group), group[0].evidence))
    return found


def _output_cost(place: Place) -> float:
    return place.cost_output or 0.0


def _name(place: Place) -> str:
    return place.layer or "logits"


def _range(low: float, high: float) -> str:
    return f"{low:.3g} to {high:.3g}"
