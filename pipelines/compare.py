"""The side-by-side table: files of one or several runs, with accuracy, latency and size, and how sure each figure is.

Only what was measured goes in. A latency ratio is given within one interleaved measurement, an accuracy difference
only between files judged on the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from exports import FORMATS
from exports.statistics import mcnemar, median_interval, paired_difference
from pipelines.lineage import lineage, zeros_only
from pipelines.runs import Registry
from pipelines.runs.records import ArtifactRecord, EvaluationRecord, LatencyRecord


def rows(
    registry: Registry, references: Sequence[str], baseline: str | None = None, device: str | None = None
) -> list[dict[str, Any]]:
    """Gives one row per measured file of the runs, artifacts or hashes named in `references`.

    `baseline` is the artifact that differences refer to; without it the first float32 file, else the first row.
    `device`: with the times that were brought back from there. Raises ValueError for a reference that names nothing.
    """
    artifacts = find(registry, references)
    known = registry.devices([item.id for item in artifacts])
    if device is not None and device not in known:
        offer = f"there are those of {', '.join(known)}" if known else "bring some back with device-times"
        raise ValueError(f"no times of {device!r} for these files; {offer}")
    evaluations = newest(registry.evaluations([item.id for item in artifacts], split="test"))
    latencies = newest(registry.latencies([item.id for item in artifacts], device))
    made_by = {
        (record.run, record.index): "adopted" if record.name == "adopt" else str(record.report.get("made_by", ""))
        for run in {item.run for item in artifacts}
        for record in registry.steps(run)
    }
    names = {run: registry.get(run).name for run in {item.run for item in artifacts}}
    found = [
        _row(
            item,
            names[item.run],
            made_by.get((item.run, item.step), ""),
            evaluations.get(item.id),
            latencies.get(item.id),
        )
        for item in artifacts
    ]
    measured = [row for row in found if row["top1"] is not None]
    if baseline and baseline not in {row["id"] for row in found}:
        raise ValueError(
            f"baseline {baseline!r} is not among the compared files: {', '.join(row['id'] for row in found)}"
        )
    first = next(
        (row for row in found if row["id"] == baseline),
        next((row for row in measured if row["format"] == "tflite_float32"), measured[0] if measured else None),
    )
    made = {key: lineage(registry, *key) for key in {(item.run, item.step) for item in artifacts}}
    for row, item in zip(found, artifacts, strict=True):
        row["lineage"] = made[item.run, item.step]
        row["zeros_only"] = zeros_only(row["lineage"])
        row.update(_against(registry, row, first, evaluations, latencies))
    _mark_front(found)
    return found


def find(registry: Registry, references: Sequence[str]) -> list[ArtifactRecord]:
    """Gives the files that references (run ids, artifact ids, starts of SHA-256) name, without repeats."""
    found: dict[str, ArtifactRecord] = {}
    for reference in references:
        matches = registry.artifacts(id=reference) or registry.artifacts(reference)
        if not matches:
            registry.get(reference)  # raises for an unknown run
            raise ValueError(f"run {reference} has no files yet; export some first")
        found |= {item.id: item for item in matches if FORMATS[item.format].family in ("tflite", "onnx")}
    return list(found.values())


def newest(records: Sequence[Any]) -> dict[str, Any]:
    """Keeps the first record of each artifact; the registry gives the newest first."""
    found: dict[str, Any] = {}
    for record in records:
        found.setdefault(record.artifact, record)
    return found


def _row(
    item: ArtifactRecord, run_name: str, made_by: str, judged: EvaluationRecord | None, timed: LatencyRecord | None
) -> dict[str, Any]:
    details = judged.details if judged else {}
    clock = timed.report if timed else {}
    interval = clock.get("interval") or (None, None)
    return {
        "id": item.id,
        "run": item.run,
        "run_name": run_name,
        "label": f"{run_name} · {made_by.split(':')[-1] or 'model'} · {item.format}",
        "format": item.format,
        "made_by": made_by,
        "passed": bool(item.passed),
        "sha256": item.sha256,
        "bytes": item.bytes,
        "gzip_bytes": item.gzip_bytes,
        "top1": judged.top1 if judged else None,
        "low": judged.low if judged else None,
        "high": judged.high if judged else None,
        "n": judged.n if judged else None,
        "kernels": judged.kernels if judged else None,
        "dataset_sha256": judged.dataset_sha256 if judged else None,
        "confusion": details.get("confusion"),
        "per_class": details.get("per_class"),
        "against": details.get("against"),
        "classes": list((item.contract or {}).get("labels", ())),
        "latency_ms": clock.get("median_ms"),
        "latency_low": interval[0],
        "latency_high": interval[1],
        "stable": clock.get("stable"),
        "machine": clock.get("machine"),
    }


def _against(
    registry: Registry,
    row: dict[str, Any],
    first: dict[str, Any] | None,
    evaluations: dict[str, EvaluationRecord],
    latencies: dict[str, LatencyRecord],
) -> dict[str, Any]:
    """Differences to the baseline row; None where the two were not judged or timed together."""
    found: dict[str, Any] = dict.fromkeys(
        ("diff", "diff_low", "diff_high", "p_value", "ratio", "ratio_low", "ratio_high", "size_ratio")
    )
    found["baseline"] = first is not None and row["id"] == first["id"]
    if first is None:
        return found
    found["size_ratio"] = row["bytes"] / first["bytes"]
    mine, its = evaluations.get(row["id"]), evaluations.get(first["id"])
    if (
        mine
        and its
        and mine.dataset_sha256 == its.dataset_sha256
        and mine.predictions_sha256
        and its.predictions_sha256
    ):
        # Rightness per image is needed, and the true labels follow from no stored value but the evaluation's own.
        right, base = (np.equal(*answers(registry, one)) for one in (mine, its))
        found["diff"], found["diff_low"], found["diff_high"] = (
            float(value) for value in paired_difference(base, right)
        )
        found["p_value"] = mcnemar(base, right).p_value
    mine_timed, its_timed = latencies.get(row["id"]), latencies.get(first["id"])
    if mine_timed and its_timed and mine_timed.group == its_timed.group:
        rounds, base_rounds = mine_timed.report.get("round_ms"), its_timed.report.get("round_ms")
        if rounds and base_rounds and len(rounds) == len(base_rounds):
            ratios = np.asarray(rounds) / np.asarray(base_rounds)
            found["ratio"] = float(np.median(ratios))
            found["ratio_low"], found["ratio_high"] = (float(value) for value in median_interval(ratios.tolist()))
    return found


def answers(registry: Registry, record: EvaluationRecord) -> tuple[np.ndarray, np.ndarray]:
    """The classes a file gave and the true ones, int `(n,)` each, in the order of the split."""
    assert record.predictions_sha256 is not None
    given, true = np.load(registry.home.store.path_of(record.predictions_sha256), allow_pickle=False)
    return given, true


def _mark_front(found: list[dict[str, Any]]) -> None:
    """Marks the rows that no other row beats in accuracy, bytes and latency at once (the Pareto front)."""

    def better(one: dict[str, Any], other: dict[str, Any]) -> bool:
        pairs = [(one["top1"], other["top1"]), (-one["bytes"], -other["bytes"])]
        if one["latency_ms"] is not None and other["latency_ms"] is not None:
            pairs.append((-one["latency_ms"], -other["latency_ms"]))
        return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)

    candidates = [row for row in found if row["top1"] is not None and row["passed"]]
    for row in found:
        row["on_front"] = row in candidates and not any(better(other, row) for other in candidates)
