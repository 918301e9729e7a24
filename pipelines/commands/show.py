"""`show RUN`: everything recorded of a run."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.commands.command import Command, table
from pipelines.runs import Home, Registry


def document_of(registry: Registry, run: str) -> dict[str, Any]:
    """Gives the JSON document of a run: state, steps, metrics of each, lineage, artifacts with hashes, bytes."""
    record = registry.get(run)
    steps = registry.steps(run)
    artifacts = registry.artifacts(run)
    judged: dict[str, Any] = {}
    for found in registry.evaluations([item.id for item in artifacts]):
        judged.setdefault(found.artifact, found)
    start = record.recipe.get("start")
    return {
        "run": record.id,
        "name": record.name,
        "state": record.state,
        "error": record.error,
        "error_kind": record.error_kind,
        "seed": record.seed,
        "group": record.group,
        "attempt": record.attempt,
        "progress": record.progress,
        "recipe": record.recipe,
        "recipe_sha256": record.recipe_sha256,
        "environment": record.environment,
        "lineage": {
            "parent": record.parent,
            "start": start,
            "teachers": sorted(
                str(step.settings["teacher"]) for step in steps if step.settings.get("teacher")
            ),
            "models": [
                {"step": step.index, "made_by": step.report.get("made_by"), "sha256": step.model_sha256}
                for step in steps if step.report.get("changed_model")
            ],
        },
        "steps": [step.as_dict() for step in steps],
        "artifacts": [
            {**item.as_dict(), "top1": judged[item.id].top1 if item.id in judged else None,
             "interval": [judged[item.id].low, judged[item.id].high] if item.id in judged else None}
            for item in artifacts
        ],
        "disk_bytes": registry.bytes_of(run),
    }  # fmt: skip


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="id of the run")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    return document_of(Registry(Home.open()), asked.run)


def show(document: dict[str, Any]) -> str:
    lines = [f"{document['run']}  {document['name']}  {document['state']}"]
    if document["error"]:
        lines.append(f"error: {document['error']}")
    for step in document["steps"]:
        metrics = "  ".join(
            f"{key} {value:.4g}" for key, value in step["metrics"].items() if isinstance(value, int | float)
        )
        lines.append(
            f"  {step['index'] + 1}. {step['name']:<9} {step['state']:<8} {step['seconds']:>7.1f} s  {metrics}"
        )
        lines += [f"     note: {warning}" for warning in step["report"].get("warnings", [])]
    if document["artifacts"]:
        columns = {"id": "file", "bytes": "bytes", "gzip_bytes": "gzip", "passed": "gate passed", "top1": "test top-1"}
        lines += ["", table(document["artifacts"], columns)]
    return "\n".join(lines)


COMMAND = Command("show", "everything recorded of a run", arguments, run, show)
