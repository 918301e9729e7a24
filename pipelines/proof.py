"""A comparison to hand over: all its figures with what they rest on, and the very files, in one bundle.

Whoever gets it can check the files anywhere, and with the same images the accuracies too; times are measured anew,
because they belong to a machine.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from exports import (
    FORMATS,
    Check,
    Contract,
    contract_path,
    evaluate,
    mcnemar,
    measure,
    paired_difference,
    selftest_path,
)
from exports.writers.bundle import write_bundle
from pipelines.class_changes import changes_between
from pipelines.compare import answers, newest, rows
from pipelines.data import Dataset
from pipelines.proof_page import page
from pipelines.runs import Registry

REPORT, PAGE, ANSWERS = "report.json", "report.html", "answers.npz"
VERSION = 1
# Kernels round differently from one processor to the next; more than this is another file or other images.
SAME_ANSWERS = 0.97


def proof(registry: Registry, references: Sequence[str], baseline: str | None = None) -> dict[str, Any]:
    """The report of the files that `references` name: rows as Compare shows them, classes, runs, machine, hashes.

    Raises: ValueError when a reference names nothing, or no file has passed its gate and was run on test images.
    """
    found = [row for row in rows(registry, references, baseline) if row["passed"] and row["top1"] is not None]
    if not found:
        raise ValueError("no file of these passed its gate and was run on test images; there is nothing to prove")
    first = next((row for row in found if row["baseline"]), None)
    latencies = newest(registry.latencies([row["id"] for row in found]))
    return {
        "version": VERSION,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "baseline": first["id"] if first else None,
        "rows": [{**row, "file": _file_name(row)} for row in found],
        "class_changes": [
            _brief(changes_between(registry, first["id"], row["id"]))
            for row in found
            if first is not None and row is not first and row["diff"] is not None
        ],
        "timed_on": list({json.dumps(one.report.get("machine"), sort_keys=True): one.report.get("machine")
                          for one in latencies.values()}.values()),
        "runs": [_run(registry, run) for run in dict.fromkeys(row["run"] for row in found)],
    }


def write_proof(
    registry: Registry, references: Sequence[str], path: Path, baseline: str | None = None
) -> dict[str, Any]:
    """Writes the bundle with the report as JSON and as a page, and gives the report."""
    document = proof(registry, references, baseline)
    store = registry.home.store
    with TemporaryDirectory(prefix="litesmith-proof-") as scratch:
        members = []
        given: dict[str, Any] = {}
        judged = newest(registry.evaluations([row["id"] for row in document["rows"]], split="test"))
        for row in document["rows"]:
            item = registry.artifacts(id=row["id"])[0]
            file = Path(scratch) / row["file"]
            file.write_bytes(store.path_of(item.sha256).read_bytes())
            for role, beside in (("contract", contract_path(file)), ("selftest", selftest_path(file))):
                if role in item.files:
                    beside.write_bytes(store.path_of(item.files[role]).read_bytes())
            members.append((file, Contract.from_dict(item.contract or {})))
            given[row["id"]] = answers(registry, judged[row["id"]])[0].astype(np.int32)
        content = io.BytesIO()
        np.savez_compressed(content, allow_pickle=False, **given)
        further = {
            REPORT: (json.dumps(document, indent=2, sort_keys=True) + "\n").encode(),
            PAGE: page(document).encode(),
            ANSWERS: content.getvalue(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bundle(members, path, further)
    return document


def read_report(folder: Path) -> dict[str, Any] | None:
    """The report of an unpacked bundle; None for a bundle without one. Raises: ValueError when it cannot be read."""
    place = folder / REPORT
    if not place.is_file():
        return None
    try:
        document = json.loads(place.read_text("utf-8"))
        if document["version"] != VERSION:
            raise ValueError(f"its version is {document['version']!r}, this program reads {VERSION}")
        runs = {run["id"]: run["recipe"]["data"] for run in document["runs"]}
        for row in document["rows"]:
            _ = row["id"], row["file"], row["sha256"], float(row["top1"]), row["dataset_sha256"], runs[row["run"]]
            _ = row["format"], row["ratio"], document["baseline"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{REPORT} of the bundle cannot be read ({error})") from None
    return dict(document)


def check_claims(folder: Path, document: dict[str, Any], names: Sequence[str]) -> list[Check]:
    """Whether the report speaks of the files that are in the bundle."""
    checks = []
    for row in document["rows"]:
        name = row["file"]
        if name not in names:
            checks.append(Check(f"{name}: report", False, "the report speaks of it, but it is not in the bundle"))
            continue
        try:
            promised = Contract.beside(folder / name).sha256
        except ValueError as error:
            checks.append(Check(f"{name}: report", False, str(error)))
            continue
        same = promised == row["sha256"]
        told = "the report speaks of these bytes" if same else "the report speaks of other bytes"
        checks.append(Check(f"{name}: report", same, told))
    return checks


def check_accuracy(
    folder: Path, document: dict[str, Any], open_as: Callable[[dict[str, Any]], Dataset]
) -> list[Check]:
    """Runs every file on the test images again and holds its answers against those in the bundle.

    `open_as` opens the images of a recipe's data section, with the size that the recipe gave them.
    """
    recipes = {run["id"]: run["recipe"] for run in document["runs"]}
    try:
        # Opened here, for numpy leaves a file open that turns out to be no archive.
        with (folder / ANSWERS).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            given = {row["id"]: stored[row["id"]] for row in document["rows"]}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        return [Check(ANSWERS, False, f"the answers of the files cannot be read ({error})")]
    checks = []
    for row in document["rows"]:
        name = row["file"]
        data = open_as(recipes[row["run"]]["data"])
        if data.manifest_sha256 != row["dataset_sha256"]:
            checks.append(Check(f"{name}: images", False, "these are not the images that the report was made with"))
            continue
        test = data.splits["test"]
        path = folder / name
        found = evaluate(path, Contract.beside(path), test.images, test.labels)
        checks.append(_held_against(name, row, given[row["id"]], found.predictions, test.labels))
    return checks


def _held_against(name: str, row: dict[str, Any], then: np.ndarray, now: np.ndarray, labels: np.ndarray) -> Check:
    if then.shape != now.shape:
        return Check(f"{name}: accuracy", False, f"the bundle holds {len(then)} answers to {len(now)} images")
    claimed, right = then == labels, now == labels
    if abs(float(claimed.mean()) - row["top1"]) > 1e-9:
        told = f"the report claims {row['top1']:.4f}, its own answers are right on {claimed.mean():.4f}"
        return Check(f"{name}: accuracy", False, told)
    same = float((then == now).mean())
    difference, low, high = paired_difference(claimed, right)
    alike = same >= SAME_ANSWERS and mcnemar(claimed, right).p_value > 0.01
    told = (
        f"top-1 {right.mean():.4f} here, {row['top1']:.4f} there ({100 * difference:+.2f} points, "
        f"[{100 * low:+.2f}, {100 * high:+.2f}]); {100 * same:.2f} % of {len(now):,} answers are the same"
    )
    return Check(f"{name}: accuracy", alike, told, same, SAME_ANSWERS)


def time_again(folder: Path, document: dict[str, Any], rounds: int) -> list[dict[str, Any]]:
    """The files timed in turn on this machine, each beside the ratio that the report gives for its own."""
    timed = [row for row in document["rows"] if FORMATS[row["format"]].family in ("tflite", "onnx")]
    timed.sort(key=lambda row: row["id"] != document["baseline"])
    report = measure([(folder / row["file"], Contract.beside(folder / row["file"])) for row in timed], rounds=rounds)
    return [
        {
            "file": row["file"], "median_ms": here.median_ms, "ratio": here.ratio,
            "interval": list(here.ratio_interval), "stable": here.stable, "ratio_there": row["ratio"],
        }
        for row, here in zip(timed, report.rows, strict=True)
    ]  # fmt: skip


def _file_name(row: dict[str, Any]) -> str:
    return row["id"].replace("/", "_") + FORMATS[row["format"]].suffix


def _brief(found: dict[str, Any]) -> dict[str, Any]:
    """Class changes without the single images."""
    return {key: value for key, value in found.items() if key not in ("lost", "gained")}


def _run(registry: Registry, run_id: str) -> dict[str, Any]:
    run = registry.get(run_id)
    return {
        "id": run.id,
        "name": run.name,
        "seed": run.seed,
        "recipe": run.recipe,
        "recipe_sha256": run.recipe_sha256,
        "environment": {key: value for key, value in (run.environment or {}).items() if key != "host"},
        "steps": [
            {"index": one.index, "name": one.name, "settings": one.settings, "metrics": one.metrics,
             "model_sha256": one.model_sha256, "seconds": one.seconds}
            for one in registry.steps(run_id)
        ],
    }  # fmt: skip
