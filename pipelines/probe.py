"""A short probe: a child process trains a few batches of the recipe's model, and time and memory are carried on.

Run as `python -m pipelines.probe` with the recipe as JSON on stdin; gives JSON on stdout.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pipelines.recipes import Recipe
from pipelines.steps import STEPS

PROBE_BATCHES = 8
TIMEOUT_S = 300
FILE_SECONDS = 4.0  # to convert and check one small file; a rough guess
OVERHEAD = {"train": 1.0, "distil": 1.5, "prune": 1.3, "factorise": 1.3, "quantise": 2.0}
"""Work of an update relative to plain training: teacher's forward pass, masks, simulated rounding. Rough guesses,
which is why an estimate has a range and is called predicted."""


def probe(recipe: Recipe) -> dict[str, Any]:
    """Gives predicted seconds and memory of a recipe. ValueError passes the child's message on."""
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.probe"],
        input=json.dumps(recipe.as_dict()),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    if done.returncode == 2:
        raise ValueError(done.stderr.strip().splitlines()[-1])
    if done.returncode:
        raise RuntimeError(f"the probe ended with code {done.returncode}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _measure(recipe: Recipe) -> dict[str, Any]:
    import psutil

    from pipelines.execute import LEARNING_STEPS, fresh_model, imported_model, open_data
    from pipelines.runs import Home
    from pipelines.training import session
    from pipelines.training.loop import fit
    from pipelines.training.settings import Fitting
    from pipelines.training.watch import QuietWatch
    from pipelines.weights import freeze

    data = open_data(recipe, Home.open())
    session.open_session(recipe.seed)
    if recipe.start_file is None:
        model = fresh_model(recipe, data, recipe.seed)
    else:
        with tempfile.TemporaryDirectory(prefix="litesmith-probe-") as folder:
            model, _ = imported_model(recipe, recipe.start_file, data, Path(folder) / "imported.keras")
    if recipe.steps and recipe.steps[0].step in LEARNING_STEPS:
        freeze(model, recipe.model.frozen)  # a frozen backbone trains faster
    fitting: Any = next((spec.settings for spec in recipe.steps if STEPS[spec.step].methods), Fitting())
    train = data.splits["train"]
    count = min(len(train), fitting.batch * PROBE_BATCHES)
    small = dataclasses.replace(train, images=train.images[:count], labels=train.labels[:count], ids=train.ids[:count])
    little = dataclasses.replace(data, splits={**data.splits, "train": small, "validation": small})
    # Two epochs: the first pays for tracing the graph, the second one is what training costs.
    marks: list[float] = []

    class Clock(QuietWatch):
        def metrics(self, rows: list[tuple[str, float, float]]) -> None:
            marks.append(time.perf_counter())

    begun = time.perf_counter()
    values = {key: value for key, value in fitting.model_dump().items() if key in Fitting.model_fields}
    fit(model, little, Fitting(**{**values, "epochs": 2, "patience": None}), Clock(), seed=recipe.seed)
    per_image = (marks[1] - marks[0]) / count
    seconds, parts = marks[0] - begun, []
    for spec in recipe.steps:
        settings: Any = spec.settings
        if STEPS[spec.step].methods:
            # A method that trains several networks says how long all of them take.
            more = sum(getattr(settings, name, 0) for name in ("teacher_epochs", "epochs_before"))
            epochs = getattr(settings, "all_epochs", settings.epochs + more)
            part = epochs * len(train) * per_image * OVERHEAD[spec.step] + (marks[0] - begun)
        else:
            part = FILE_SECONDS * len(getattr(settings, "formats", ("",)))
        parts.append({"step": spec.step, "seconds": round(part, 1)})
        seconds += part
    return {
        "seconds": round(seconds, 1),
        "low_s": round(seconds * 0.6, 1),
        "high_s": round(seconds * 1.8, 1),
        "memory_bytes": psutil.Process().memory_info().rss,
        "steps": parts,
        "seconds_per_image": per_image,
        "how": f"a probe of {PROBE_BATCHES} batches on this machine",
    }


def main() -> int:
    """Reads a recipe from stdin and prints what it will cost."""
    try:
        found = _measure(Recipe.of(json.load(sys.stdin)))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
