"""The single checks of the gate and their limits: each looks at one thing and says in words what it found.

The limits are not physics: they sit between what sound conversions show (float 1.00 agreement, int8 0.97 to 1.00 and
logits within a few steps of the 255) and what damage shows (0.1 to 0.8). Whoever needs stricter ones passes `limits`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exports.contract import Contract, selftest_path
from exports.formats import FORMATS
from exports.isolated import Ended
from exports.tflite_file import TensorFacts, TfliteFacts, refused_operators


@dataclass(frozen=True)
class Limits:
    """What a file may differ from its parent. Logit errors are shares of the parent's logit range over the images."""

    agreement: float
    mean_error: float
    max_error: float
    accuracy_drop: float


EXACT = Limits(agreement=0.99, mean_error=0.001, max_error=0.01, accuracy_drop=0.005)
LIMITS: dict[str, Limits] = {
    "tflite_float32": EXACT,
    "onnx_float32": EXACT,
    "keras": EXACT,
    # 11 bits of mantissa in the weights: errors of a few thousandths.
    "tflite_float16": Limits(agreement=0.99, mean_error=0.005, max_error=0.05, accuracy_drop=0.005),
    # 8-bit weights, float activations.
    "tflite_dynamic": Limits(agreement=0.96, mean_error=0.03, max_error=0.30, accuracy_drop=0.02),
    "tflite_int16x8": Limits(agreement=0.96, mean_error=0.02, max_error=0.30, accuracy_drop=0.02),
    # Logits beyond the calibrated range are clipped, which moves single ones far and the answer seldom.
    "tflite_int8": Limits(agreement=0.95, mean_error=0.05, max_error=0.50, accuracy_drop=0.02),
    "tflite_uint8": Limits(agreement=0.95, mean_error=0.05, max_error=0.50, accuracy_drop=0.02),
    "tflite_mixed": Limits(agreement=0.95, mean_error=0.05, max_error=0.50, accuracy_drop=0.02),
    "onnx_int8": Limits(agreement=0.95, mean_error=0.05, max_error=0.50, accuracy_drop=0.02),
    "edgetpu": Limits(agreement=0.95, mean_error=0.05, max_error=0.50, accuracy_drop=0.02),
}


@dataclass(frozen=True)
class Check:
    """One judgement. `value` and `limit` are numbers where there are any; `message` is a sentence."""

    name: str
    passed: bool
    message: str
    value: float | None = None
    limit: float | None = None


def same_bytes(path: Path, contract: Contract) -> Check:
    """Whether the file is the one its contract was written for."""
    data = path.read_bytes() if path.is_file() else None
    found = "missing" if data is None else hashlib.sha256(data).hexdigest()
    if data is not None and found == contract.sha256 and len(data) != contract.bytes:
        return Check("hash", False, f"the file has {len(data):,} bytes, its contract says {contract.bytes:,}")
    same = found == contract.sha256
    message = "the bytes are those the contract was written for" if same else (
        f"the bytes changed since the contract was written: SHA-256 {found[:12]}… instead of {contract.sha256[:12]}…"
    )
    return Check("hash", same, message)


def input_range(images: np.ndarray) -> Check:
    """Whether the images are undivided pixels."""
    name = "input range"
    if images.dtype != np.uint8:
        high = float(np.max(images))
        hint = "they look divided by 255" if high <= 1.0 else f"their greatest value is {high:g}"
        message = f"images are {images.dtype}, {hint}; the file takes undivided pixels 0..255"
        return Check(name, False, message, high, 255.0)
    high = int(images.max())
    if high <= 1:
        return Check(name, False, f"no pixel is above {high}: the images look scaled to 0..1; the file takes 0..255",
                     float(high), 255.0)
    return Check(name, True, f"pixels reach {high} of 255", float(high), 255.0)


def facts_of(values: dict[str, Any]) -> TfliteFacts:
    """What the child read, as it was before it became JSON."""
    ends = {end: tuple(TensorFacts(**{**one, "shape": tuple(one["shape"])}) for one in values[end])
            for end in ("inputs", "outputs")}
    return TfliteFacts(**{**values, **ends, "custom": tuple(values["custom"])})


def matches_contract(facts: TfliteFacts, contract: Contract) -> Check:
    """Shapes, dtypes and quantisation of the file against what the contract promises."""
    image, answer = contract.input, contract.output
    wrong = []
    if len(facts.inputs) != 1 or len(facts.outputs) != 1:
        return Check("contract", False, f"the file has {len(facts.inputs)} inputs and {len(facts.outputs)} outputs")
    pairs: list[tuple[str, object, object]] = [
        ("input shape", facts.inputs[0].shape, (1, image.height, image.width, image.channels)),
        ("input dtype", facts.inputs[0].dtype, image.dtype),
        ("input scale", _rounded(facts.inputs[0].scale), _rounded(image.scale)),
        ("input zero point", facts.inputs[0].zero_point, image.zero_point),
        ("output shape", facts.outputs[0].shape, (1, answer.classes)),
        ("output dtype", facts.outputs[0].dtype, answer.dtype),
        ("output scale", _rounded(facts.outputs[0].scale), _rounded(answer.scale)),
        ("output zero point", facts.outputs[0].zero_point, answer.zero_point),
        ("number of labels", answer.classes, len(contract.labels)),
        ("list of operators", facts.operators, contract.operators or facts.operators),
    ]
    wrong += [f"{what} is {found} in the file, {said} in the contract" for what, found, said in pairs if found != said]
    if not wrong and image.scale is not None:
        wrong += _coverage(contract)
    return Check("contract", not wrong, "; ".join(wrong) or "the file is what the contract says")


def _coverage(contract: Contract) -> list[str]:
    """Whether the integer input can hold the pixels 0..255: else the person would feed saturated images."""
    image = contract.input
    limits = np.iinfo(image.dtype)
    assert image.scale is not None
    low, high = (
        ((end - (image.zero_point or 0)) * image.scale - image.pixel_offset) / image.pixel_scale
        for end in (limits.min, limits.max)
    )
    if low <= 1.0 and 250.0 <= high <= 1024.0:
        return []
    return [
        f"wrong input range: the {image.dtype} input covers pixels {low:.4g}..{high:.4g} instead of 0..255 "
        f"(input scale {image.scale:.4g}, pixel scale {image.pixel_scale:.4g})"
    ]


def _rounded(scale: float | None) -> float | None:
    # JSON keeps every digit, the file holds a float32.
    return None if scale is None else float(np.float32(scale))


def operators(facts: TfliteFacts, contract: Contract) -> Check:
    """Whether the file holds built-in operators only, and an integer file no float tensor."""
    refused = refused_operators(facts, edgetpu=contract.format == "edgetpu")
    if refused:
        return Check("operators", False, "the file holds " + ", ".join(refused), float(len(refused)), 0.0)
    if FORMATS[contract.format].integer and facts.float_tensors:
        return Check("operators", False, f"{facts.float_tensors} tensors of this integer file are float",
                     float(facts.float_tensors), 0.0)
    return Check("operators", True, f"{sum(facts.operators.values())} operators, all built in", 0.0, 0.0)


def runs(stages: dict[str, Any], ended: Ended, contract: Contract) -> Check:
    """Whether the child loaded the file and ran it on every image."""
    if "ran" in stages and ended.cause is None:
        return Check("runs", True, f"the file ran on every image ({contract.family})")
    if "broken" in stages:
        return Check("runs", False, f"the runtime refused the file: {stages['broken']['cause']}")
    place = "running" if "loaded" in stages else "loading"
    return Check("runs", False, f"{place} the file failed: {ended.cause or 'the child stopped without a word'}")


def finite(logits: np.ndarray, answers: dict[str, np.ndarray]) -> Check:
    """Whether every logit is a number."""
    bad = int((~np.isfinite(logits)).any(axis=1).sum())
    extra = answers.get("selftest")
    if not bad and extra is not None and np.issubdtype(extra.dtype, np.floating) and not np.isfinite(extra).all():
        return Check("finite outputs", False, "the self-test image gives NaN or infinite logits", 1.0, 0.0)
    message = "every logit is a finite number"
    if bad:
        message = f"{bad} of {len(logits)} images give NaN or infinite logits; weights are damaged or were not frozen"
    return Check("finite outputs", not bad, message, float(bad), 0.0)


def selftest(answers: dict[str, np.ndarray], path: Path, contract: Contract) -> Check:
    """The recorded answers again: one step of tolerance for the same kernels, 16 between XNNPACK and reference.

    The two round differently in every layer: a MobileNetV1 came to 10 steps.
    """
    name = "self-test"
    if "selftest" not in answers:
        return Check(name, False, f"{selftest_path(path).name} is missing; write the file again")
    with np.load(selftest_path(path), allow_pickle=False) as stored:
        expected = stored["output"]
    same, fast = answers["selftest"], answers["selftest_fast"]
    if same.shape != expected.shape:
        return Check(name, False, f"the answers have shape {same.shape}, the recorded ones {expected.shape}")
    integer = contract.output.scale is not None
    unit = 1.0 if integer else max(float(np.ptp(expected.astype(np.float64))), 1e-6)
    off = float(np.abs(same.astype(np.float64) - expected).max()) / unit
    off_fast = float(np.abs(fast.astype(np.float64) - expected).max()) / unit
    limit, limit_fast = (1.0, 16.0) if contract.output.dtype in {"int8", "uint8"} else (
        (64.0, 512.0) if integer else (1e-3, 0.05 if contract.format == "tflite_dynamic" else 0.01))
    kind = "steps" if integer else "of the logit range"
    if off > limit:
        message = f"the file no longer gives the answers recorded when it was written: off by {off:.3g} {kind}"
        return Check(name, False, f"{message} with the {contract.kernel_set} kernels", off, limit)
    if off_fast > limit_fast:
        return Check(name, False, f"the fast kernels differ from the recorded answers by {off_fast:.3g} {kind}",
                     off_fast, limit_fast)
    message = f"within {off:.3g} {kind} of the recorded answers (fast kernels {off_fast:.3g})"
    return Check(name, True, message, off, limit)


def agreement(logits: np.ndarray, parent: np.ndarray, limit: Limits) -> list[Check]:
    """How often and how closely the file repeats its parent's answers."""
    n = len(parent)
    same = int((logits.argmax(axis=1) == parent.argmax(axis=1)).sum())
    # On few images one differing answer alone may fall below the limit; one is always allowed.
    allowed = min(limit.agreement, (n - 1) / n) if n > 1 else limit.agreement
    error = np.abs(logits.astype(np.float64) - parent) / spread(parent)
    mean, worst = float(error.mean()), float(error.max())
    return [
        Check("agreement", same / n >= allowed,
              f"the file gives the parent's answer on {same} of {n} images ({same / n:.1%}, at least {allowed:.1%})",
              same / n, allowed),
        Check("mean logit error", mean <= limit.mean_error,
              f"logits are off by {mean:.2%} of the parent's logit range on average", mean, limit.mean_error),
        Check("largest logit error", worst <= limit.max_error,
              f"the worst logit is off by {worst:.1%} of the parent's logit range", worst, limit.max_error),
    ]


def accuracy(logits: np.ndarray, parent: np.ndarray, labels: np.ndarray, limit: Limits) -> Check:
    """Whether the file is as right about the labels as its parent."""
    ours, theirs = (float((one.argmax(axis=1) == labels).mean()) for one in (logits, parent))
    drop = theirs - ours
    allowed = max(limit.accuracy_drop, 1.5 / len(labels))
    return Check("accuracy", drop <= allowed,
                 f"validation accuracy {ours:.1%}, parent {theirs:.1%} (a drop of {drop:.1%})", drop, allowed)


def spread(parent: np.ndarray) -> float:
    """The parent's logit range, the unit of logit errors."""
    return max(float(parent.max() - parent.min()), 1e-6)
