"""Time and memory of a recipe before it starts: from comparable earlier runs, else from a short probe. Predicted."""

from __future__ import annotations

from typing import Any

import zoo
from pipelines.probe import probe
from pipelines.recipes import DataSettings, Recipe
from pipelines.runs import Registry
from pipelines.runs.estimate import estimate as from_earlier_runs
from pipelines.settings import make


def estimate(registry: Registry, recipe: Recipe, *, may_probe: bool) -> dict[str, Any] | None:
    """Gives predicted seconds (with a range) and peak memory of all runs of the recipe; None when nothing is known.

    A probe takes about ten seconds of this machine, so it is only made when `may_probe`.
    """
    plans = recipe.expand()
    found = [from_earlier_runs(registry, plan.as_dict(), macs_of=_macs) for plan in plans]
    known = [item for item in found if item is not None]
    if len(known) == len(plans):
        return {
            "seconds": sum(item.seconds for item in known),
            "low_s": sum(item.low_s for item in known),
            "high_s": sum(item.high_s for item in known),
            "memory_bytes": max((item.memory_bytes or 0 for item in known), default=0) or None,
            "how": f"earlier runs {', '.join(sorted({run for item in known for run in item.based_on})[-5:])}",
            "runs": len(plans),
        }
    if not may_probe:
        return None
    heaviest = max(plans, key=lambda plan: _macs(plan.as_dict()))
    probed = probe(heaviest)
    factor = sum(_macs(plan.as_dict()) for plan in plans) / _macs(heaviest.as_dict())
    return {**probed, **{key: probed[key] * factor for key in ("seconds", "low_s", "high_s")}, "runs": len(plans)}


def _macs(recipe: Any) -> float:
    if str(recipe.get("start") or "").startswith("file:"):
        return 1.0  # only runs of the same file are compared with it
    data, model = recipe["data"], recipe["model"]
    side = make(DataSettings, data, "data").likely_resolution
    sketch = zoo.sketch(
        model["name"], width=model["width"], resolution=side, classes=10, channels=data.get("channels") or 3,
        **(model.get("options") or {}),
    )  # fmt: skip
    return float(zoo.cost_of(sketch).macs)
