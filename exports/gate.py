"""The gate: every artifact is run and compared with its parent model before anyone is offered it.

A check that fails says why in words. The file is opened and run in a child process, so a file that crashes is a
refused file. Images and labels come from the validation split; the test split has no say here.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from exports import checks as checks_of
from exports.checks import LIMITS, Check, Limits
from exports.contract import Contract, contract_path, selftest_path
from exports.isolated import MEMORY_BYTES, Ended, run_isolated
from exports.writers.c_array import bytes_of

BUNDLE_BYTES = 2**30


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
    examiner = _Examiner(path, contract, images, timeout_s, memory_bytes)
    checks, answers = _run(path, contract, images, examiner, check_hash=check_hash)
    if answers is None:
        return _report(checks)
    limit = limits if isinstance(limits, Limits) else {**LIMITS, **(limits or {})}[contract.format]
    logits = answers["logits"]
    checks.append(checks_of.selftest(answers, path, contract))
    judged = checks_of.agreement(logits, parent_logits, limit)
    if labels is not None:
        judged.append(checks_of.accuracy(logits, parent_logits, np.asarray(labels), limit))
    failed = next((number for number, check in enumerate(judged) if not check.passed), None)
    if failed is not None:
        cause = _name_cause(logits, parent_logits, limit, examiner, contract)
        judged[failed] = replace(judged[failed], message=f"{judged[failed].message}; {cause}")
    return _report([*checks, *judged])


def opens(
    path: Path | str, contract: Contract, images: np.ndarray, *, selftest: bool = False, timeout_s: float = 120.0,
    memory_bytes: int = MEMORY_BYTES,
) -> GateReport:
    """Whether the file is the one its contract was written for, and gives finite answers to uint8 `images`.

    What a file from anywhere must pass before a process of ours opens it: until then only a child does. Says nothing
    about how right the answers are; with `selftest` they must be those recorded beside the file.
    """
    path = Path(path).resolve()
    examiner = _Examiner(path, contract, images, timeout_s, memory_bytes)
    checks, answers = _run(path, contract, images, examiner, check_hash=True)
    return _report([*checks, checks_of.selftest(answers, path, contract)] if selftest and answers else checks)


def _run(
    path: Path, contract: Contract, images: np.ndarray, examiner: _Examiner, *, check_hash: bool
) -> tuple[list[Check], dict[str, np.ndarray] | None]:
    """The checks of everything but the answers' worth, and the answers; None for them when a check failed early."""
    if faults := contract.faults():
        return [Check("contract", False, "; ".join(faults))], None
    checks = [checks_of.same_bytes(path, contract)] if check_hash else []
    checks.append(checks_of.input_range(images))
    if not path.is_file() or not checks[-1].passed:
        return [*checks, *([] if path.is_file() else [Check("file", False, f"{path.name} does not exist")])], None
    ended, answers = examiner.run()
    stages = {report["stage"]: report for report in ended.reports}
    if contract.family == "tflite":
        if "read" not in stages:
            cause = stages.get("unreadable", {}).get("cause") or ended.cause or "no reason given"
            return [*checks, Check("readable", False, f"the file cannot be read as TFLite ({cause})")], None
        facts = checks_of.facts_of(stages["read"]["facts"])
        checks += [checks_of.matches_contract(facts, contract), checks_of.operators(facts, contract)]
    checks.append(checks_of.runs(stages, ended, contract))
    if not checks[-1].passed:
        return checks, None
    checks.append(checks_of.finite(answers["logits"], answers))
    return checks, answers if checks[-1].passed else None


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
        mean = float(np.abs(probe.astype(np.float64) - some).mean()) / checks_of.spread(parent)
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
    checks = [checks_of.same_bytes(path, contract)] if check_hash else []
    with tempfile.TemporaryDirectory(prefix="litesmith-bundle-") as scratch:
        try:
            listing = unpacked(path, Path(scratch))
        except (zipfile.BadZipFile, KeyError, json.JSONDecodeError, ValueError, OSError) as error:
            return _report([*checks, Check("readable", False, f"the bundle cannot be unpacked ({error})")])
        missing = [name for name in ("labels.txt", "classify.py") if not (Path(scratch) / name).is_file()]
        checks += [Check(name, False, "it is not in the bundle") for name in missing]
        if contract.format == "c_array":
            checks.append(_array(Path(scratch), listing[0]))
        for name in listing:
            member = Path(scratch) / name
            if not contract_path(member).is_file():
                checks.append(Check(f"{name}: contract", False, "it is not in the bundle"))
                continue
            try:
                promised = Contract.load(contract_path(member))
            except ValueError as error:
                checks.append(Check(f"{name}: contract", False, str(error)))
                continue
            if "labels.txt" not in missing:
                checks.append(_labels(Path(scratch) / "labels.txt", promised, name))
            report = gate(member, promised, images, parent, labels, check_hash=check_hash, **rest)
            checks += [replace(check, name=f"{name}: {check.name}") for check in report.checks]
    return _report(checks)


def _array(folder: Path, member: str) -> Check:
    """Whether the C++ array holds the bytes of the file beside it."""
    try:
        same = bytes_of((folder / "model_data.cc").read_bytes()) == (folder / member).read_bytes()
    except (OSError, ValueError) as error:
        return Check("array", False, f"the array cannot be read ({error})")
    told = f"the array holds the bytes of {member}" if same else f"the array holds other bytes than {member}"
    return Check("array", same, told)


def _labels(path: Path, contract: Contract, member: str) -> Check:
    listed = path.read_text("utf-8", "replace").splitlines()
    same = listed == list(contract.labels)
    told = "the labels are those of the contract" if same else (
        f"labels.txt lists {len(listed)} labels that are not the {len(contract.labels)} of the contract"
    )
    return Check(f"{member}: labels", same, told)


def unpacked(path: Path, folder: Path) -> list[str]:
    """Unpacks the bundle and gives the names of the artifacts it lists. Raises: ValueError when it lists none."""
    with zipfile.ZipFile(path) as bundle:
        if sum(entry.file_size for entry in bundle.infolist()) > BUNDLE_BYTES:
            raise ValueError(f"it unpacks to more than {BUNDLE_BYTES} bytes")
        for entry in bundle.infolist():
            if Path(entry.filename).name != entry.filename:
                raise ValueError(f"it holds a path, {entry.filename!r}, where plain file names belong")
            (folder / entry.filename).write_bytes(bundle.read(entry))
    listing = json.loads((folder / "bundle.json").read_text("utf-8"))
    files = listing.get("files") if isinstance(listing, dict) else None
    rows = files if isinstance(files, list) else []
    names = [row.get("file") if isinstance(row, dict) else None for row in rows]
    if not names or not all(isinstance(name, str) and name and Path(name).name == name for name in names):
        raise ValueError("bundle.json does not list the files of the bundle by their names")
    return [str(name) for name in names]
