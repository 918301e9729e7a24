"""Writing artifacts: a stored model in, files with contract, labels and self-test vector out.

Everything native happens in a child process. One child writes several formats, so that TensorFlow and the model are
loaded once; when it dies, the format it was busy with has failed and another child goes on with the rest.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exports.contract import (
    CHANNEL_ORDERS,
    RESIZE_KERNELS,
    Contract,
    InputSpec,
    OutputSpec,
    contract_path,
    selftest_path,
)
from exports.formats import FORMATS, format_named
from exports.isolated import MEMORY_BYTES, TIMEOUT_S, run_isolated
from exports.labels_inside import LABELLED, with_labels
from exports.model_file import is_int8_aware
from exports.rounding import PLAIN, Rounding
from exports.run_file import KERAS_KERNELS, ONNX_KERNELS, open_runner
from exports.tflite_file import TensorFacts, TfliteFacts, read_facts
from exports.writers import WRITERS, c_array, onnx_int8
from exports.writers.bundle import write_bundle
from exports.writers.edgetpu import compiled_path
from exports.writers.source import PIXEL, Source

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
SELFTEST_IMAGES = 2
VERSIONS = ("tensorflow", "tf_keras", "tensorflow-model-optimization", "ai-edge-litert", "ai-edge-quantizer", "tf2onnx",
            "onnx", "onnxruntime", "numpy")


class ExportFailed(RuntimeError):
    """A format could not be written; the message names the format and the cause."""


@dataclass(frozen=True)
class Artifact:
    """A written file with everything beside it. `notes` are sentences for the person."""

    format: str
    path: Path
    contract_path: Path
    contract: Contract
    bytes: int
    gzip_bytes: int
    sha256: str
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> dict[str, Path]:
        """Role -> file, everything that belongs to this artifact (a bundle and a Keras file have fewer)."""
        beside = {
            "artifact": self.path,
            "contract": self.contract_path,
            "selftest": selftest_path(self.path),
            "labels": self.path.with_name("labels.txt"),
            "compiled": compiled_path(self.path),
        }
        return {role: path for role, path in beside.items() if path.is_file()}

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values; paths as text."""
        return {
            "format": self.format,
            "path": str(self.path),
            "contract_path": str(self.contract_path),
            "contract": self.contract.as_dict(),
            "bytes": self.bytes,
            "gzip_bytes": self.gzip_bytes,
            "sha256": self.sha256,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Failure:
    """A format that could not be written and why. `by_person`: the cause is something the person can change."""

    format: str
    cause: str
    by_person: bool

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {"format": self.format, "cause": self.cause, "by_person": self.by_person}


@dataclass(frozen=True)
class Written:
    """The outcome of `write_many`, both parts in the order asked for."""

    artifacts: tuple[Artifact, ...]
    failures: tuple[Failure, ...]


def write(
    model_path: Path | str, format_id: str, out_dir: Path | str, *, name: str, labels: Sequence[str],
    calibration: np.ndarray | None = None, rounding: Rounding = PLAIN, resize: str = "bilinear antialias",
    channel_order: str | None = None, int8_aware: bool | None = None, timeout_s: float = TIMEOUT_S,
    memory_bytes: int = MEMORY_BYTES,
) -> Artifact:
    """Write one format; see `write_many`.

    Raises:
        ValueError: something the person can change.
        ExportFailed: the conversion failed, crashed or ran into a limit.
    """
    written = write_many(
        model_path, [format_id], out_dir, name=name, labels=labels, calibration=calibration, rounding=rounding,
        resize=resize, channel_order=channel_order, int8_aware=int8_aware, timeout_s=timeout_s,
        memory_bytes=memory_bytes,
    )
    for failure in written.failures:
        raise (ValueError if failure.by_person else ExportFailed)(f"{failure.format}: {failure.cause}")
    return next(artifact for artifact in written.artifacts if artifact.format == format_id)


def write_many(
    model_path: Path | str, format_ids: Sequence[str], out_dir: Path | str, *, name: str, labels: Sequence[str],
    calibration: np.ndarray | None = None, rounding: Rounding = PLAIN, resize: str = "bilinear antialias",
    channel_order: str | None = None, int8_aware: bool | None = None, timeout_s: float = TIMEOUT_S,
    memory_bytes: int = MEMORY_BYTES,
) -> Written:
    """Write the model stored at `model_path` as `<name>_<format>.<suffix>` into `out_dir`, one file per format.

    `calibration` are uint8 images `(n, height, width, channels)` from training or validation images, never test ones;
    `rounding` says how `tflite_int8`, `tflite_uint8` and `edgetpu` follow from them.
    A `bundle` holds the other TFLite and ONNX files asked for, or the int8 file when there is no other; a `c_array`
    holds the int8 file.
    `int8_aware` is known from the file's suffix; a contradicting value is an error. `timeout_s` is per child.

    Raises:
        ValueError: unknown format, unusable name, labels, resize kernel or channel order.
    """
    model_path, out_dir = Path(model_path).resolve(), Path(out_dir).resolve()
    _check(model_path, name, labels, resize, channel_order, int8_aware)
    wanted = [format_named(format_id).id for format_id in dict.fromkeys(format_ids)]
    if not wanted:
        raise ValueError(f"no format was asked for; choose from {', '.join(FORMATS)}")
    singles = [format_id for format_id in wanted if FORMATS[format_id].family != "bundle"]
    lonely = "bundle" in wanted and not any(FORMATS[one].family in {"tflite", "onnx"} for one in singles)
    extra = (lonely or "c_array" in wanted) and "tflite_int8" not in singles
    if extra:
        singles.append("tflite_int8")
    out_dir.mkdir(parents=True, exist_ok=True)
    _write_text(out_dir / "labels.txt", "".join(f"{label}\n" for label in labels))
    done: dict[str, Artifact] = {}
    failed: dict[str, Failure] = {}
    job = {"action": "write", "model_path": str(model_path), "out_dir": str(out_dir), "name": name,
           "labels": list(labels), "resize": resize, "channel_order": channel_order, "rounding": rounding.as_dict()}
    with tempfile.TemporaryDirectory(prefix=".calibration-", dir=out_dir) as scratch:
        if calibration is not None:
            np.save(Path(scratch) / "images.npy", calibration)
            job["calibration"] = str(Path(scratch) / "images.npy")
        while rest := [one for one in singles if one not in done and one not in failed]:
            _one_child({**job, "formats": rest}, rest, done, failed, timeout_s, memory_bytes)
    if "bundle" in wanted:
        members = [done[one] for one in singles if one in done and FORMATS[one].family in {"tflite", "onnx"}]
        _pack("bundle", members, out_dir, name, done, failed)
    if "c_array" in wanted:
        members = [done["tflite_int8"]] if "tflite_int8" in done else []
        _pack("c_array", members, out_dir, name, done, failed)
    order = [*wanted, "tflite_int8"] if extra else wanted
    return Written(
        artifacts=tuple(done[one] for one in order if one in done),
        failures=tuple(failed[one] for one in order if one in failed),
    )


def _one_child(
    job: dict[str, Any], rest: list[str], done: dict[str, Artifact], failed: dict[str, Failure],
    timeout_s: float, memory_bytes: int,
) -> None:
    """Let one child write what it can of `rest`; at least one format ends up in `done` or `failed`."""
    ended = run_isolated(job, timeout_s=timeout_s, memory_bytes=memory_bytes)
    busy = None
    for report in ended.reports:
        format_id = report["format"]
        busy = format_id if report["stage"] == "started" else None
        if report["stage"] == "written":
            path = Path(report["path"])
            done[format_id] = artifact_of(path, Contract.beside(path), tuple(report["notes"]))
        elif report["stage"] == "failed":
            failed[format_id] = Failure(format_id, report["cause"], report["by_person"])
    if all(one in done or one in failed for one in rest):
        return
    for left in Path(job["out_dir"]).glob(f"{job['name']}_*.partial*"):
        left.unlink()
    cause = ended.cause or "the process ended without a word"
    if busy is not None:
        failed[busy] = Failure(busy, f"{cause} (while writing or first running the file)", by_person=False)
    elif not any(report["stage"] in {"written", "failed"} for report in ended.reports):
        # It never came as far as the first format: another child would fare no better.
        for one in rest:
            failed[one] = Failure(one, f"{cause} (before any format was begun)", by_person=False)


def _pack(
    format_id: str, members: list[Artifact], out_dir: Path, name: str, done: dict[str, Artifact],
    failed: dict[str, Failure],
) -> None:
    """A zip of files that were written, or why there is none, among `done` or `failed`."""
    if not members:
        causes = "; ".join(failure.cause for failure in failed.values())
        failed[format_id] = Failure(format_id, f"no file could be written to put in ({causes})", by_person=False)
        return
    path = out_dir / f"{name}_{format_id}.zip"
    partial = path.with_name(path.name + ".partial")
    further = c_array.sources(members[0].path, members[0].contract) if format_id == "c_array" else {}
    write_bundle([(one.path, one.contract) for one in members], partial, further)
    os.replace(partial, path)
    first = members[0].contract
    contract = Contract(
        format=format_id, family="bundle", input=first.input, output=first.output, labels=first.labels,
        int8_aware=first.int8_aware, versions=first.versions, operators={}, **sizes(path),
    )
    save_contract(contract, path)
    done[format_id] = artifact_of(path, contract, tuple(f"holds {one.path.name}" for one in members))


def artifact_of(path: Path, contract: Contract, notes: tuple[str, ...]) -> Artifact:
    return Artifact(
        format=contract.format, path=path, contract_path=contract_path(path), contract=contract,
        bytes=contract.bytes, gzip_bytes=contract.gzip_bytes, sha256=contract.sha256, notes=notes,
    )


def write_here(job: dict[str, Any], report: Any) -> None:
    """The child's part: write each format, run it once, describe it, and report."""
    calibration = np.load(job["calibration"]) if "calibration" in job else None
    source = Source(Path(job["model_path"]), calibration, Rounding.from_dict(job.get("rounding", {})))
    for format_id in job["formats"]:
        report("started", format=format_id)
        suffix = source.model_path.suffix if format_id == "keras" else FORMATS[format_id].suffix
        path = Path(job["out_dir"]) / f"{job['name']}_{format_id}{suffix}"
        partial = path.with_name(f"{path.stem}.partial{suffix}")
        try:
            notes = WRITERS[format_id](source, format_id, partial)
            if format_id in LABELLED:
                notes += _label(partial, source, job)
            contract = _describe(partial, format_id, source, job)
            first_run(partial, selftest_path(path), contract, source.calibration)
            os.replace(partial, path)
            if compiled_path(partial).is_file():
                os.replace(compiled_path(partial), compiled_path(path))
            save_contract(contract, path)
        except ValueError as error:
            report("failed", format=format_id, cause=str(error), by_person=True)
        except Exception as error:
            # Conversion errors come as many types; the cause is reported, and the trace stays in the child's log.
            import traceback

            traceback.print_exc()
            report("failed", format=format_id, cause=f"{type(error).__name__}: {error}"[:1500], by_person=False)
        else:
            report("written", format=format_id, path=str(path), notes=notes)
        finally:
            partial.unlink(missing_ok=True)


def _label(path: Path, source: Source, job: dict[str, Any]) -> list[str]:
    """Puts the labels into the file; says why where they cannot be."""
    channels, divisor = int(source.model.input_shape[-1]), 1 / PIXEL if source.int8_aware else 1.0
    try:
        content = with_labels(
            path.read_bytes(), job["labels"], name=job["name"], channels=channels, divisor=divisor
        )
    except ValueError as error:
        return [f"no labels inside: {error}"]
    path.write_bytes(content)
    return []


def _describe(path: Path, format_id: str, source: Source, job: dict[str, Any]) -> Contract:
    """The contract of the file at `path`, read from the file itself where it says so."""
    family = FORMATS[format_id].family
    height, width, channels = (int(side) for side in source.model.input_shape[1:])
    classes = int(source.model.output_shape[-1])
    labels = tuple(job["labels"])
    if len(labels) != classes:
        raise ValueError(f"{len(labels)} labels were given for a model with {classes} classes; give one per class")
    order = job["channel_order"] or {1: "grey", 3: "RGB"}.get(channels)
    if order is None or CHANNEL_ORDERS[order] != channels:
        raise ValueError(f"channel order {order!r} does not fit {channels} channels; use grey for 1 and RGB for 3")
    facts = None
    image = TensorFacts("image", (1, height, width, channels), "float32", None, None)
    answer = TensorFacts("logits", (1, classes), "float32", None, None)
    if family == "tflite":
        facts = read_facts(path.read_bytes())
        image, answer = facts.inputs[0], facts.outputs[0]
    elif format_id == "onnx_int8":
        image, answer = onnx_int8.ends_of(path)
    unit = family == "keras" or source.int8_aware
    return Contract(
        format=format_id,
        family=family,
        input=InputSpec(
            name=image.name, height=height, width=width, channels=channels, dtype=image.dtype, range=(0.0, 255.0),
            pixel_scale=PIXEL if unit else 1.0, order=order, resize=job["resize"],
            scale=image.scale, zero_point=image.zero_point,
        ),
        output=OutputSpec(
            name=answer.name, kind="logits", classes=classes, dtype=answer.dtype,
            scale=answer.scale, zero_point=answer.zero_point,
        ),
        labels=labels,
        int8_aware=source.int8_aware,
        kernel_set={"onnx": ONNX_KERNELS, "keras": KERAS_KERNELS}.get(family, "reference"),
        min_runtime=facts.min_runtime if facts else None,
        operators=facts.operators if facts else operators_of(path, family),
        float_tensors=_strict_float_tensors(facts, format_id),
        versions=_versions(),
        **sizes(path),
    )


def _strict_float_tensors(facts: TfliteFacts | None, format_id: str) -> int | None:
    """The count of float tensors; a file that calls itself integer may not hold one."""
    if facts is None:
        return None
    if FORMATS[format_id].integer and facts.float_tensors:
        raise RuntimeError(f"{facts.float_tensors} tensors of the {format_id} file are still float")
    return facts.float_tensors


def operators_of(path: Path, family: str) -> dict[str, int]:
    if family != "onnx":
        return {}
    import onnx

    names = [node.op_type for node in onnx.load(str(path)).graph.node]
    return {name: names.count(name) for name in sorted(set(names))}


def first_run(path: Path, selftest: Path, contract: Contract, calibration: np.ndarray | None) -> None:
    """Run the file on a few images with every kernel set that will be used, and keep the answers beside it.

    Without `calibration` images it is noise.

    A crash here ends this child, which the parent reports as a failed export.
    """
    shape = (contract.input.height, contract.input.width, contract.input.channels)
    if calibration is not None and len(calibration):
        images = calibration[:SELFTEST_IMAGES]
    else:
        images = np.random.default_rng(0).integers(0, 256, (SELFTEST_IMAGES, *shape), np.uint8)
    raw = contract.raw_from_pixels(images)
    runner = open_runner(path, contract, kernels="reference")
    answers = np.concatenate([runner(raw[at : at + 1]) for at in range(len(raw))])
    if contract.family == "tflite":
        open_runner(path, contract)(raw[:1])
    partial = selftest.with_name(selftest.stem + ".partial.npz")
    np.savez(partial, pixels=images, input=raw, output=answers)
    os.replace(partial, selftest)


def sizes(path: Path) -> dict[str, Any]:
    """Bytes, bytes after `gzip -9`, and SHA-256 of the file at `path`."""
    data = path.read_bytes()
    return {
        "bytes": len(data),
        "gzip_bytes": len(gzip.compress(data, 9, mtime=0)),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def save_contract(contract: Contract, path: Path) -> None:
    partial = path.with_name(path.stem + ".contract.partial")
    contract.save(partial)
    os.replace(partial, contract_path(path))


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, "utf-8")
    os.replace(partial, path)


def _versions() -> dict[str, str]:
    installed = {}
    for package in VERSIONS:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            installed[package] = "missing"
    return installed


def _check(
    model_path: Path, name: str, labels: Sequence[str], resize: str, channel_order: str | None, int8_aware: bool | None
) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(f"name {name!r} cannot be a file name; use letters, digits, dot, dash and underscore")
    if not model_path.is_file():
        raise ValueError(f"there is no model file at {model_path}")
    if model_path.suffix not in {".keras", ".h5"}:
        raise ValueError(f"{model_path.name} has suffix {model_path.suffix!r}; give a .keras or an int8-aware .h5 file")
    if int8_aware is not None and int8_aware != is_int8_aware(model_path):
        kind = "an int8-aware model is stored as .h5" if int8_aware else "a .h5 file holds an int8-aware model"
        raise ValueError(f"int8_aware={int8_aware} contradicts {model_path.name}: {kind}")
    if any("\n" in label or not label.strip() for label in labels):
        raise ValueError("a label is empty or holds a line break; labels are one line of text each")
    if resize not in RESIZE_KERNELS:
        raise ValueError(f"resize kernel {resize!r} is not known; choose one of {', '.join(RESIZE_KERNELS)}")
    if channel_order is not None and channel_order not in CHANNEL_ORDERS:
        raise ValueError(f"channel order {channel_order!r} is not known; choose one of {', '.join(CHANNEL_ORDERS)}")
