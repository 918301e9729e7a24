"""How a file's model came to be: every step that changed it, back through the runs it began from, with its controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.methods import METHODS
from pipelines.runs import Registry

MOST_RUNS = 50  # back through runs; a longer chain is a mistake
KEPT = (
    "params_before", "params_after", "macs_before", "macs_after", "validation_top1_before", "validation_top1_after",
    "sparsity_of_all_weights", "controls", "files",
)  # fmt: skip


def lineage(registry: Registry, run: str, step: int) -> list[dict[str, Any]]:
    """The steps that made the model before step `step` (from 0) of `run`, first one first.

    Each has run, step, method, title and what its report says of sizes, accuracies and controls.
    """
    found: list[dict[str, Any]] = []
    here = next((record for record in registry.steps(run) if record.index == step), None)
    if here is not None and here.name == "adopt":
        return [{"run": run, "step": step, "method": "adopted", "title": f"From elsewhere: {here.report.get('file')}"}]
    for _ in range(MOST_RUNS):
        records = [record for record in registry.steps(run) if record.index < step]
        found = [_row(record) for record in records if record.report.get("changed_model")] + found
        recipe = registry.get(run).recipe
        start = str(recipe.get("start") or "")
        if start.startswith("file:"):
            begun = [record.report["weights"] for record in records if record.report.get("weights")]
            first: dict[str, Any] = begun[0] if begun else {}
            return [{"run": run, "step": 0, "method": "imported", "title": f"Imported: {first.get('file')}"}, *found]
        if not start.startswith("run:"):
            return found
        run, _, named = start.removeprefix("run:").partition("/")
        step = int(named) if named else 1 + max((record.index for record in registry.steps(run)), default=0)
    return found


def zeros_only(made: list[dict[str, Any]]) -> bool:
    """Whether weights were set to zero on the way and nothing ever became smaller."""
    kinds = [METHODS[row["method"]] for row in made if row["method"] in METHODS]
    pruned = [method for method in kinds if method.kind == "prune"]
    return bool(pruned) and not any(method.removes_channels or method.kind == "factorise" for method in kinds)


def in_words(made: list[dict[str, Any]]) -> str:
    """The lineage in one line: Training, then Channels of small norm (49 % of the macs left)."""
    return ", then ".join(_words(row) for row in made) or "as it was built"


def _row(record: Any) -> dict[str, Any]:
    name = str(record.report.get("made_by", "")).partition(":")[2]
    title = METHODS[name].title if name in METHODS else name
    kept = {key: record.report[key] for key in KEPT if key in record.report}
    return {"run": record.run, "step": record.index, "method": name, "title": title, **kept}


def _words(row: Mapping[str, Any]) -> str:
    if row.get("macs_before"):
        return f"{row['title']} ({100 * row['macs_after'] / row['macs_before']:.0f} % of the macs left)"
    return str(row["title"])
