"""The gate: every artifact is run and compared with its parent model before anyone is offered it.

A check that fails says why in words. The file is opened and run in a child process, so a file that crashes is a
refused file. Images and labels come from the validation split; the test split has no say here.

The limits are not physics: they sit between what sound conversions show (float 1.00 agreement, int8 0.97 to 1.00 and
logits within a few steps of the 255) and what damage shows (0.1 to 0.8). Whoever needs stricter ones passes `limits`.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from exports.contract import Contract, contract_path, selftest_path
from exports.formats import FORMATS
from exports.isolated import MEMORY_BYTES, Ended, run_isolated
from exports.tflite_file import TensorFacts, TfliteFacts, refused_operators

BUNDLE_BYTES = 2**30


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


@dataclass(frozen=True)
class GateReport:
    """All checks made on a file, in order; it passed when every one did."""

    passed: bool
    checks: tuple[Check, ...]

    @property
    def cause(self) -> str | None:
        """What the failed checks say, or None when the file passed."""
        return "; ".join(f"{check.name}: {check.message}" for check in self.checks if not check.passed) or None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {"passed": self.passed, "cause": self.cause, "checks": [asdict(check) for check in self.checks]}


def gate(
    path: Path | str,
    contract: Contract,
    images: np.ndarray,
    parent_logits: np.ndarray,
    labels: np.ndarray | None,
    *,
    limits: Limits | Mapping[str, Limits] | None = None,
    check_hash: bool = True,
    timeout_s: float = 300.0,
    memory_bytes: int = MEMORY_BYTES,
) -> GateReport:
    """Judge the file at `path` on validation images.

    `images` uint8 `(n, height, width, channels)`, `parent_logits` `(n, classes)` of the model the file was made from,
    `labels` `(n,)` or None when there are none (the accuracy check is then left out). Limits: one for every format,
    or a mapping from format id; the table above where nothing is given.

    Raises:
        ValueError: images, logits and labels do not belong together.
    """
    path = Path(path).resolve()
    parent_logits = np.asarray(parent_logits, np.float32)
    _check_arguments(images, parent_logits, labels, contract)
    if contract.family == "bundle":
        return _gate_bundle(
            path, contract, images, parent_logits, labels, limits=limits, check_hash=check_hash,
            timeout_s=timeout_s, memory_bytes=memory_bytes,
        )
    limit = limits if isinstance(limits, Limits) else {**LIMITS, **(limits or {})}[contract.format]
    checks = [check for check in (_hash(path, contract) if check_hash else None, _input_range(images)) if check]
    if not path.is_file() or not checks[-1].passed:
        return _report([*checks, *([] if path.is_file() else [Check("file", False, f"{path.name} does not exist")])])
    examiner = _Examiner(path, contract, images, timeout_s, memory_bytes)
    ended, answers = examiner.run()
    stages = {report["stage"]: report for report in ended.reports}
    if contract.family == "tflite":
        if "read" not in stages:
            cause = stages.get("unreadable", {}).get("cause") or ended.cause or "no reason given"
            return _report([*checks, Check("readable", False, f"the file cannot be read as TFLite ({cause})")])
        facts = _facts(stages["read"]["facts"])
        checks += [_matches_contract(facts, contract), _operators(facts, contract)]
    checks.append(_runs(stages, ended, contract))
    if not checks[-1].passed:
        return _report(checks)
    logits = answers["logits"]
    checks.append(_finite(logits, answers))
    if not checks[-1].passed:
        return _report(checks)
    checks.append(_selftest(answers, path, contract))
    judged = _agreement(logits, parent_logits, limit)
    if labels is not None:
        judged.append(_accuracy(logits, parent_logits, np.asarray(labels), limit))
    if not all(check.passed for check in judged):
        cause = _name_cause(logits, parent_logits, limit, examiner, contract)
        judged = [check if check.passed else replace(check, message=f"{check.message}; {cause}") for check in judged]
    return _report([*checks, *judged])


def _report(checks: list[Check]) -> GateReport:
    return GateReport(all(check.passed for check in checks), tuple(checks))


def _check_arguments(
    images: np.ndarray, parent_logits: np.ndarray, labels: np.ndarray | None, contract: Contract
) -> None:
    if len(images) == 0:
        raise ValueError("the gate needs validation images; got none")
    if parent_logits.shape != (len(images), contract.output.classes):
        raise ValueError(
            f"parent logits have shape {parent_logits.shape}; expected ({len(images)}, {contract.output.classes})"
        )
    if not np.isfinite(parent_logits).all():
        raise ValueError("the parent model itself gives infinite or undefined logits; nothing can be compared with it")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"{len(images)} images came with {len(labels)} labels; give one label per image")


class _Examiner:
    """Runs the child that opens the file; kept to ask it a second question when an answer is wrong."""

    def __init__(self, path: Path, contract: Contract, images: np.ndarray, timeout_s: float, memory: int) -> None:
        self._path, self._contract, self._images = path, contract, images
        self._timeout_s, self._memory = timeout_s, memory

    def run(self, *, probe: bool = False) -> tuple[Ended, dict[str, np.ndarray]]:
        """The way the child ended, and the arrays it left."""
        with tempfile.TemporaryDirectory(prefix="litesmith-gate-") as scratch:
            folder = Path(scratch)
            np.save(folder / "images.npy", self._images)
            self._contract.save(folder / "contract.json")
            job = {"action": "examine", "path": str(self._path), "contract": str(folder / "contract.json"),
                   "images": str(folder / "images.npy"), "answers": str(folder / "answers.npz"), "probe": probe}
            if selftest_path(self._path).is_file():
                job["selftest"] = str(selftest_path(self._path))
            ended = run_isolated(job, timeout_s=self._timeout_s, memory_bytes=self._memory)
            if not (folder / "answers.npz").is_file():
                return ended, {}
            with np.load(folder / "answers.npz") as stored:
                return ended, dict(stored)


def _hash(path: Path, contract: Contract) -> Check:
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
    same = found == contract.sha256
    message = "the bytes are those the contract was written for" if same else (
        f"the bytes changed since the contract was written: SHA-256 {found[:12]}… instead of {contract.sha256[:12]}…"
    )
    return Check("hash", same, message)


def _input_range(images: np.ndarray) -> Check:
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


def _facts(values: dict[str, Any]) -> TfliteFacts:
    ends = {end: tuple(TensorFacts(**{**one, "shape": tuple(one["shape"])}) for one in values[end])
            for end in ("inputs", "outputs")}
    return TfliteFacts(**{**values, **ends, "custom": tuple(values["custom"])})


def _matches_contract(facts: TfliteFacts, contract: Contract) -> Check:
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
    low, high = ((end - (image.zero_point or 0)) * image.scale / image.pixel_scale for end in (limits.min, limits.max))
    if low <= 1.0 and 250.0 <= high <= 1024.0:
        return []
    return [
        f"wrong input range: the {image.dtype} input covers pixels {low:.4g}..{high:.4g} instead of 0..255 "
        f"(input scale {image.scale:.4g}, pixel scale {image.pixel_scale:.4g})"
    ]


def _rounded(scale: float | None) -> float | None:
    # JSON keeps every digit, the file holds a float32.
    return None if scale is None else float(np.float32(scale))


def _operators(facts: TfliteFacts, contract: Contract) -> Check:
    refused = refused_operators(facts, edgetpu=contract.format == "edgetpu")
    if refused:
        return Check("operators", False, "the file holds " + ", ".join(refused), float(len(refused)), 0.0)
    if FORMATS[contract.format].integer and facts.float_tensors:
        return Check("operators", False, f"{facts.float_tensors} tensors of this integer file are float",
                     float(facts.float_tensors), 0.0)
    return Check("operators", True, f"{sum(facts.operators.values())} operators, all built in", 0.0, 0.0)


def _runs(stages: dict[str, Any], ended: Ended, contract: Contract) -> Check:
    if "ran" in stages and ended.cause is None:
        return Check("runs", True, f"the file ran on every image ({contract.family})")
    if "broken" in stages:
        return Check("runs", False, f"the runtime refused the file: {stages['broken']['cause']}")
    place = "running" if "loaded" in stages else "loading"
    return Check("runs", False, f"{place} the file failed: {ended.cause or 'the child stopped without a word'}")


def _finite(logits: np.ndarray, answers: dict[str, np.ndarray]) -> Check:
    bad = int((~np.isfinite(logits)).any(axis=1).sum())
    extra = answers.get("selftest")
    if not bad and extra is not None and np.issubdtype(extra.dtype, np.floating) and not np.isfinite(extra).all():
        return Check("finite outputs", False, "the self-test image gives NaN or infinite logits", 1.0, 0.0)
    message = "every logit is a finite number"
    if bad:
        message = f"{bad} of {len(logits)} images give NaN or infinite logits; weights are damaged or were not frozen"
    return Check("finite outputs", not bad, message, float(bad), 0.0)


def _selftest(answers: dict[str, np.ndarray], path: Path, contract: Contract) -> Check:
    """The recorded answers again: one step of tolerance for the same kernels, eight between XNNPACK and reference."""
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
    limit, limit_fast = (1.0, 8.0) if contract.output.dtype in {"int8", "uint8"} else (
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


def _agreement(logits: np.ndarray, parent: np.ndarray, limit: Limits) -> list[Check]:
    n = len(parent)
    same = int((logits.argmax(axis=1) == parent.argmax(axis=1)).sum())
    # On few images one differing answer alone may fall below the limit; one is always allowed.
    allowed = min(limit.agreement, (n - 1) / n) if n > 1 else limit.agreement
    error = np.abs(logits.astype(np.float64) - parent) / _spread(parent)
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


def _accuracy(logits: np.ndarray, parent: np.ndarray, labels: np.ndarray, limit: Limits) -> Check:
    ours, theirs = (float((one.argmax(axis=1) == labels).mean()) for one in (logits, parent))
    drop = theirs - ours
    allowed = max(limit.accuracy_drop, 1.5 / len(labels))
    return Check("accuracy", drop <= allowed,
                 f"validation accuracy {ours:.1%}, parent {theirs:.1%} (a drop of {drop:.1%})", drop, allowed)


def _spread(parent: np.ndarray) -> float:
    return max(float(parent.max() - parent.min()), 1e-6)


CAUSES = {
    "unit": "the input range is wrong: the file agrees when pixels are given as 0..1 instead of 0..255",
    "bytes": "the input range is wrong: the file agrees when pixels are given as 0..255 instead of 0..1",
    "inverted": "the images are inverted: the file agrees on 255 - pixel",
    "reversed": "the channel order is wrong: the file agrees on BGR images",
}


def _name_cause(
    logits: np.ndarray, parent: np.ndarray, limit: Limits, examiner: _Examiner, contract: Contract
) -> str:
    """The most likely cause of a disagreement, found by feeding the same images another way."""
    _, answers = examiner.run(probe=True)
    for name, sentence in CAUSES.items():
        probe = answers.get(f"probe_{name}")
        if probe is None or not np.isfinite(probe).all():
            continue
        some = parent[: len(probe)]
        mean = float(np.abs(probe.astype(np.float64) - some).mean()) / _spread(parent)
        if (probe.argmax(axis=1) == some.argmax(axis=1)).mean() >= limit.agreement and mean <= limit.mean_error:
            return sentence
    given = np.unique(logits.argmax(axis=1))
    if len(given) == 1 and len(np.unique(parent.argmax(axis=1))) > 1:
        return f"every image is called {contract.labels[int(given[0])]}: weights are damaged or ranges collapsed"
    return "no other reading of the input agrees either: weights are damaged or the conversion went wrong"


def _gate_bundle(
    path: Path, contract: Contract, images: np.ndarray, parent: np.ndarray, labels: np.ndarray | None, *,
    check_hash: bool, **rest: Any,
) -> GateReport:
    """Unpack the bundle and put every file in it through the gate with the contract that lies beside it there."""
    checks = [_hash(path, contract)] if check_hash else []
    with tempfile.TemporaryDirectory(prefix="litesmith-bundle-") as scratch:
        try:
            listing = _unpack(path, Path(scratch))
        except (zipfile.BadZipFile, KeyError, json.JSONDecodeError, ValueError, OSError) as error:
            return _report([*checks, Check("readable", False, f"the bundle cannot be unpacked ({error})")])
        for entry in listing:
            member = Path(scratch) / entry["file"]
            if not contract_path(member).is_file():
                checks.append(Check(f"{member.name}: contract", False, "it is not in the bundle"))
                continue
            report = gate(member, Contract.load(contract_path(member)), images, parent, labels,
                          check_hash=check_hash, **rest)
            checks += [replace(check, name=f"{member.name}: {check.name}") for check in report.checks]
    return _report(checks)


def _unpack(path: Path, folder: Path) -> list[dict[str, str]]:
    with zipfile.ZipFile(path) as bundle:
        if sum(entry.file_size for entry in bundle.infolist()) > BUNDLE_BYTES:
            raise ValueError(f"it unpacks to more than {BUNDLE_BYTES} bytes")
        for entry in bundle.infolist():
            if Path(entry.filename).name != entry.filename:
                raise ValueError(f"it holds a path, {entry.filename!r}, where plain file names belong")
            (folder / entry.filename).write_bytes(bundle.read(entry))
    return json.loads((folder / "bundle.json").read_text("utf-8"))["files"]
