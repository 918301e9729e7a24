"""What removing channels will leave, before anything runs: a child process counts cuts of growing size.

Run as `python -m pipelines.removal.forecast` with `{"recipe", "settings"}` as JSON on stdin; gives JSON on stdout. The
counts are those of the network that would be built, where every layer gives up the same share; with one ranking for all
layers it depends on the weights which layer gives how much, so they are a prediction there. Bytes are predicted always.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.methods import METHODS
from pipelines.recipes import Recipe
from pipelines.removal.settings import RemovalSettings

LEVELS = 32
TIMEOUT_S = 180


def forecast(recipe: Recipe, settings: RemovalSettings) -> dict[str, Any]:
    """Counts of the model a recipe begins with, cut by more and more: see `predicted`.

    Raises: ValueError that passes the child's message on.
    """
    job = {"recipe": recipe.as_dict(), "settings": settings.model_dump(mode="json", include=_KEYS)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.removal.forecast"],
            input=json.dumps(job), capture_output=True, text=True, timeout=TIMEOUT_S, cwd=Path(__file__).parents[2],
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ValueError(f"the prediction did not finish within {TIMEOUT_S} s") from None
    if done.returncode == 2:
        raise ValueError(done.stderr.strip().splitlines()[-1])
    if done.returncode:
        raise RuntimeError(f"the prediction ended with code {done.returncode}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


_KEYS = {"multiple", "least", "skip"}


def predicted(model: Any, settings: RemovalSettings) -> dict[str, Any]:
    """Rows of level, params, macs, channels and int8_bytes from nothing removed to all that may go; what is locked."""
    from pipelines.removal.choose import Ladder, groups_of
    from zoo.channel_graph import ChannelGraph

    graph = ChannelGraph.of(model)
    worth = {int(unit): 1.0 for unit in graph.free}
    groups = groups_of(graph, worth, least=settings.least, multiple=settings.multiple, skip=settings.skipped)
    ladder = Ladder(graph, groups, "layer")
    rows: list[dict[str, Any]] = []
    for level in np.linspace(0.0, 1.0, LEVELS + 1).tolist():
        row = {"level": level, **ladder.amounts(level), "int8_bytes": ladder.int8_bytes(level)}
        if not rows or row["macs"] != rows[-1]["macs"] or row["params"] != rows[-1]["params"]:
            rows.append(row)
    return {
        "rows": rows,
        "layers": [{"layers": list(group.layers), "channels": len(group.units) * group.channels} for group in groups],
        "locked": graph.barriers(),
    }


def _model(recipe: Recipe) -> Any:
    from pipelines.execute import fresh_model, imported_model, load_run_model, open_data
    from pipelines.runs import Home, Registry
    from zoo.deploy import without_learning

    home = Home.open()
    if recipe.start_run is not None:
        return without_learning(load_run_model(Registry(home), str(recipe.start).removeprefix("run:")))
    data = open_data(recipe, home)
    if recipe.start_file is None:
        return without_learning(fresh_model(recipe, data, recipe.seed))
    with tempfile.TemporaryDirectory(prefix="litesmith-forecast-") as folder:
        return imported_model(recipe, recipe.start_file, data, Path(folder) / "imported.keras")[0]


def main() -> int:
    """Reads recipe and settings from stdin and prints what cuts would leave."""
    job = json.load(sys.stdin)
    try:
        settings = METHODS["random"].settings(**job["settings"])
        found = predicted(_model(Recipe.of(job["recipe"])), settings)  # type: ignore[arg-type]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
