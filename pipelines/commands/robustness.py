"""`robustness RUN [RUN ...]`: what is left of a model's and its int8 file's accuracy under attack."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from pipelines.commands.command import Command, table
from pipelines.commands.lines import Lines
from pipelines.further import last_float_model
from pipelines.robustness import RobustnessSettings, Victim, failures, robustness
from pipelines.runs import Home, Registry
from pipelines.settings import make
from pipelines.settings_arguments import settings_arguments, settings_given


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="+", help="ids of runs on the same images; the others are compared with the first")
    settings_arguments(parser, RobustnessSettings)


def run(asked: argparse.Namespace) -> dict[str, Any]:
    settings = make(RobustnessSettings, settings_given(asked, RobustnessSettings), "robustness")
    names = list(dict.fromkeys(asked.run))
    registry = Registry(Home.open())
    for name in names:
        last_float_model(registry, name)
    from pipelines.execute import open_data
    from pipelines.recipes import Recipe
    from pipelines.training import session

    recipes = {name: Recipe.of(registry.get(name).recipe) for name in names}
    data = open_data(recipes[names[0]], registry.home)
    for name in names[1:]:
        other = open_data(recipes[name], registry.home)
        if (other.manifest_sha256, other.resolution) != (data.manifest_sha256, data.resolution):
            raise ValueError(f"{name} was made from other images or pixels than {names[0]}; give runs on the same ones")
    session.open_session(registry.get(names[0]).seed)
    test = data.splits["test"]
    count = min(settings.images, len(test.labels))
    picked = np.sort(np.random.default_rng(0).permutation(len(test.labels))[:count])
    victims = [_victim(registry, name) for name in names]
    found = robustness(victims, test.images[picked], test.labels[picked], settings, progress=Lines())
    return {"runs": names, **found}


def _victim(registry: Registry, run: str) -> Victim:
    """The last float model of a run, and its last int8 file, which a later int8-aware training may have moved on."""
    from exports import Contract, predict
    from pipelines.execute import load_stored_model
    from pipelines.training.loop import predictor

    step = last_float_model(registry, run)
    model = load_stored_model(registry.home, str(step.model_sha256))
    ours = predictor(model)
    answers = {"model": lambda images: ours(images).argmax(1)}
    files = [item for item in registry.artifacts(run) if item.format == "tflite_int8" and item.passed]
    if files:
        path, contract = registry.home.store.path_of(files[-1].sha256), Contract.from_dict(files[-1].contract or {})
        answers["tflite_int8"] = lambda images: predict(path, contract, images).argmax(1)
    return Victim(run, model, answers)


def show(document: dict[str, Any]) -> str:
    lines: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in document["rows"]:
        if row["made_on"] in ("-", row["name"]) and row["attack"] in ("none", "fgsm", "pgd"):
            line = lines.setdefault((row["name"], row["what"], row["attack"]), {
                "run": row["name"], "what": row["what"], "attack": row["attack"],
            })  # fmt: skip
            line[str(row["epsilon"])] = f"{row['top1']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    sizes = sorted({row["epsilon"] for row in document["rows"] if row["epsilon"]})
    columns = {"run": "run", "what": "what", "attack": "attack", "0": "as they are",
               **{str(size): f"{size} of 255" for size in sizes}}  # fmt: skip
    said = [f"top-1 on {document['images']:,} test images, each run attacked on the gradients of its own model"]
    said.append(table(list(lines.values()), columns))
    for row in document["differences"]:
        if row["attack"] == "pgd":
            points = f"{100 * row['difference']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}] points"
            said.append(f"{row['name']} {row['what']} against {row['against']}, pgd {row['epsilon']} of 255: {points}")
    for name, checks in document["checks"].items():
        failed = failures(checks)
        said.append(
            f"{name}: do not believe its figures, gradients are hidden or the attack is too weak: {'; '.join(failed)}"
            if failed else f"{name}: all {len(checks)} checks of the attack hold"
        )  # fmt: skip
    return "\n".join(said)


COMMAND = Command("robustness", "what attacks leave of a run's accuracy", arguments, run, show)
