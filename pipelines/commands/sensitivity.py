"""`sensitivity RUN`: which layers of a run's model bear the loss of channels, and which do not."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.commands.command import Command, table
from pipelines.commands.lines import Lines
from pipelines.further import last_float_model
from pipelines.removal.sensitivity import SensitivitySettings, sensitivity
from pipelines.runs import Home, Registry
from pipelines.settings import make
from pipelines.settings_arguments import settings_arguments, settings_given


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="id of a run with a trained model; its last float model is taken")
    settings_arguments(parser, SensitivitySettings)


def run(asked: argparse.Namespace) -> dict[str, Any]:
    settings = make(SensitivitySettings, settings_given(asked, SensitivitySettings), "sensitivity")
    registry = Registry(Home.open())
    origin = registry.get(asked.run)
    step = last_float_model(registry, asked.run)
    from pipelines.execute import load_stored_model, open_data
    from pipelines.recipes import Recipe
    from pipelines.training import session

    data = open_data(Recipe.of(origin.recipe), registry.home)
    session.open_session(origin.seed)
    model = load_stored_model(registry.home, str(step.model_sha256))
    found = sensitivity(model, data, settings, seed=origin.seed, progress=Lines())
    return {"run": asked.run, "step": step.index + 1, **found}


def show(document: dict[str, Any]) -> str:
    curves: dict[str, dict[str, Any]] = {}
    for row in document["rows"]:
        line = curves.setdefault(" ".join(row["layers"]), {"channels": row["channels"]})
        line[str(row["share"])] = f"{row['validation_top1']:.3f}"
    lines = [{"layers": _short(layers), **line} for layers, line in curves.items()]
    shares = {key: key for key in lines[0] if key not in ("layers", "channels")}
    head = (
        f"{document['run']}, model after step {document['step']}: top-1 {document['validation_top1']:.4f} on "
        f"{document['validation_images']:,} validation images\n"
        f"top-1 when a share of the channels of one group goes, those of least {document['score']} first"
    )
    return f"{head}\n{table(lines, {'layers': 'layers', 'channels': 'channels', **shares})}"


def _short(layers: str) -> str:
    first, *others = layers.split()
    return f"{first} and {len(others)} more" if others else first


COMMAND = Command("sensitivity", "which layers bear the loss of channels", arguments, run, show)
