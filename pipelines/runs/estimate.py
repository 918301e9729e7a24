"""How long a recipe will take and how much memory it wants, judged by earlier runs of this home.

Comparable is a finished step of the same name and method, on the same data source and architecture. Training time is
taken to grow with epochs x training images x macs; macs with the squares of width and resolution (arXiv:1704.04861,
equation 7) unless the caller counts them. Other steps are mostly overhead and are taken as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from sqlalchemy import select

from pipelines.runs import states
from pipelines.runs.lineage import model_name
from pipelines.runs.registry import Registry
from pipelines.runs.tables import RunRow, StepRow

LATEST = 200  # steps looked at; older ones say little about today's machine

Recipe = Mapping[str, Any]
Macs = Callable[[Recipe], float]


@dataclass(frozen=True)
class Estimate:
    """Predicted, not measured: seconds with the range the earlier runs span, and peak memory."""

    seconds: float
    low_s: float
    high_s: float
    memory_bytes: int | None
    based_on: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "based_on": list(self.based_on)}


def estimate(registry: Registry, recipe: Recipe, *, macs_of: Macs | None = None) -> Estimate | None:
    """Returns what the recipe is likely to take; None when one of its steps was never done in a comparable run."""
    data = recipe.get("data") or {}
    comparable = (
        select(StepRow, RunRow.recipe)
        .join(RunRow, RunRow.id == StepRow.run_id)
        .where(
            RunRow.model_name == model_name(recipe),
            RunRow.data_source == data.get("source"),
            StepRow.state == states.DONE,
        )
        .order_by(RunRow.number.desc())
        .limit(LATEST)
    )
    with registry.home.database.read() as session:
        done = [(row, earlier) for row, earlier in session.execute(comparable)]
    if macs_of is None:
        # "The set's own" resolution is a number only for whoever opens the set.
        named = data.get("resolution") is not None
        done = [pair for pair in done if ((pair[1].get("data") or {}).get("resolution") is not None) == named]

    seconds, low, high, memory, used = 0.0, 0.0, 0.0, [], []
    for name, settings in map(_step, recipe.get("steps") or []):
        alike = [
            (row, earlier)
            for row, earlier in done
            if row.name == name and row.settings.get("method") == settings.get("method", row.settings.get("method"))
        ]
        if not alike:
            return None
        times = [row.seconds * _growth(settings, recipe, row.settings, earlier, macs_of) for row, earlier in alike]
        seconds, low, high = seconds + median(times), low + min(times), high + max(times)
        memory += [row.memory_bytes for row, _ in alike if row.memory_bytes]
        used += [row.run_id for row, _ in alike]
    if not used:
        return None
    return Estimate(seconds, low, high, max(memory, default=None), tuple(sorted(set(used))))


def _growth(
    settings: Mapping[str, Any],
    recipe: Recipe,
    earlier_settings: Mapping[str, Any],
    earlier: Recipe,
    macs_of: Macs | None,
) -> float:
    """Returns how much more work the step is than the earlier one."""
    epochs_before = earlier_settings.get("epochs")
    if not epochs_before:
        return 1.0
    epochs = settings.get("epochs", epochs_before)
    macs = macs_of or _relative_macs
    return epochs / epochs_before * macs(recipe) / macs(earlier) * _train_share(recipe) / _train_share(earlier)


def _relative_macs(recipe: Recipe) -> float:
    resolution = (recipe.get("data") or {}).get("resolution")
    height, width = resolution if isinstance(resolution, list | tuple) else (resolution or 1, resolution or 1)
    return float((recipe.get("model") or {}).get("width", 1.0)) ** 2 * height * width


def _train_share(recipe: Recipe) -> float:
    """The share of the images that is trained on; None, as in a recipe that leaves it out, is the usual share."""
    data = recipe.get("data") or {}
    test, validation = data.get("test"), data.get("validation")
    return (1.0 - (0.2 if test is None else test)) * (1.0 - (0.15 if validation is None else validation))


def _step(entry: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Reads one entry of a recipe's steps, `{name: settings}`."""
    ((name, settings),) = entry.items()
    return name, settings or {}
