"""What remedies regain of what int8 costs, on networks of `benchmarks.int8_zoo`.

Two are taken as they were trained, since their int8 files lose more than chance explains. Of the others, if they lose
less than a point, channels of one layer are made `FACTOR` times as large and what reads them as much smaller, so that
the float network answers as before; the table says which it is. All remedies are tried as `remedies` tries them. What
is best on validation images becomes a run, and 10,000 test images say what it has regained. The command goes on where
it was stopped: each network is a file in build/remedies_table.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import int8_zoo
from benchmarks.cells import Cell, tell
from pipelines.judge import against_float, points_against_float

FOLDER = Path("build/remedies_table")
AS_TRAINED = ("shufflenet_v1", "densenet")  # they lose something by themselves
NETWORKS = ("mobilenet_v3 small", "efficientnet b0", "mobilenet_v2", "ghostnet", *AS_TRAINED)
FACTOR, SHARE = 1024.0, 0.25  # of the channels of the scaled layer
SETTINGS: dict[str, Any] = {"images": 6000, "calibration_images": 400, "keep": (1, 3)}


def run(only: list[str] | None = None) -> dict[str, Any]:
    """Computes what is missing and gives the table of all that is there."""
    for label in only or NETWORKS:
        int8_zoo.run([label], aware=False)
        _cell(label).value(lambda folder, label=label: _repaired(label, folder))  # type: ignore[misc]
    return summary()


def summary() -> dict[str, Any]:
    """The table of the cells that exist, a row for each remedy that was tried and one for what was taken."""
    rows = []
    for label in NETWORKS:
        found = _cell(label).stored()
        if found is None:
            continue
        for row in found["rows"]:
            rows.append(
                {
                    "network": f"{label}, {found['scaled']} scaled" if found["scaled"] else label,
                    "remedy": row["title"],
                    "validation, points": f"{100 * (row['top1'] - found['float']):+.2f}" if "top1" in row else "",
                    "bytes": f"{row['bytes']:,}" if "bytes" in row else row["error"],
                    "time, plain = 1": f"{row['ratio']:.2f}" if "ratio" in row else "",
                    **(_told(found, row["name"]) if row["name"] in found["test"] else {}),
                }
            )
    return {"what": f"points against float after remedies, {int8_zoo.IMAGES:,} training images", "rows": rows}


def _told(found: dict[str, Any], name: str) -> dict[str, str]:
    test = found["test"][name]
    told = {"test, points [95 %]": points_against_float(test)}
    if name == "none":
        return {**told, "named": int8_zoo.named(found["faults"])}
    lost = found["test"]["none"]["against_float"]
    return {**told, "regained": f"{100 * (1 - test['against_float'] / lost):.0f} %" if lost else ""}


def _cell(label: str) -> Cell:
    decided = [int8_zoo.float_cell(label).decided, FACTOR, SHARE, SETTINGS]
    return Cell(FOLDER, label.replace(" ", "_"), decided)


def _repaired(label: str, folder: Path) -> dict[str, Any]:
    from pipelines.further import recipe_of_row
    from pipelines.jobs import InlineExecutor
    from pipelines.recipes import Recipe
    from pipelines.remedies import RemedySettings, try_remedies
    from pipelines.runs import Home, Registry
    from pipelines.start import record

    plain = int8_zoo.int8_cell(label).stored()
    assert plain is not None
    enough = label in AS_TRAINED or plain["against_float_high"] < -int8_zoo.POINT
    scaled = "" if enough else _scale(label, folder / "scaled.keras")
    model = folder / "scaled.keras" if scaled else int8_zoo.trained(label) / "model.keras"
    home = Home.open(folder / "home")
    registry = Registry(home)

    def finished(recipe: dict[str, Any]) -> str:
        (run,) = record(registry, Recipe.of(recipe), queue=False).runs
        if InlineExecutor(home).submit(run) != "done":
            raise RuntimeError(f"{label}: {registry.get(run).error}")
        return run

    kept = folder / "tried.json"  # the long part; what comes after may be carried out again
    if not kept.is_file():
        begun = finished(
            {
                "name": label,
                "data": {"source": "fashion_mnist", "resolution": int8_zoo.resolution(label)},
                "start": f"file:{model.resolve()}",
                "steps": [{"export": {"formats": ["tflite_float32"]}}, {"measure": {}}],
            }
        )
        kept.write_text(json.dumps(try_remedies(registry, begun, RemedySettings(**SETTINGS))), "utf-8")
    found = json.loads(kept.read_text("utf-8"))
    best = max((row for row in found["rows"] if "top1" in row), key=lambda row: (row["top1"], -row["bytes"]))
    labels = np.asarray(int8_zoo.data_of(label).splits["test"].labels)
    whole = _predictions(registry, found["run"])
    answers = {"none": _plain(registry, found["run"], model, folder)}
    if best["name"] != "none":
        answers[best["name"]] = _predictions(registry, finished(recipe_of_row(registry, found, best["name"])))
    test = {name: against_float(whole == labels, given == labels) for name, given in answers.items()}
    home.close()
    return {
        "scaled": scaled, "float": found["float"]["top1"], "faults": found["faults"], "rows": found["rows"],
        "test_float": float((whole == labels).mean()), "test": test,
    }  # fmt: skip


def _plain(registry: Any, run: str, model: Path, folder: Path) -> np.ndarray:
    """What the plain int8 file answers; the gate refuses a file that has lost so much, so that no run can give it."""
    from exports import evaluate, write
    from pipelines.execute import open_data
    from pipelines.recipes import Recipe
    from pipelines.remedies import PLAIN_IMAGES
    from pipelines.steps.export import calibration_images

    begun = registry.get(run)
    data = open_data(Recipe.of(begun.recipe), registry.home)
    calibration = calibration_images(data, PLAIN_IMAGES, begun.seed)
    one = write(model, "tflite_int8", folder / "plain", name="plain", labels=data.classes, calibration=calibration)
    test = data.splits["test"]
    return np.asarray(evaluate(one.path, one.contract, test.images, test.labels).predictions)


def _predictions(registry: Any, run: str) -> np.ndarray:
    """What the run's file answers to the test images."""
    from pipelines.compare import answers

    (file,) = registry.artifacts(run)
    (judged,) = registry.evaluations(file.id, split="test")
    return answers(registry, judged)[0]


def _scale(label: str, path: Path) -> str:
    """Writes the network with channels of its first layer that lets factors through made larger; the layer's name."""
    from exports import load_model, save_model
    from pipelines.training import session
    from zoo.deploy import without_learning
    from zoo.equalise import equalise
    from zoo.plans import Plan

    session.open_session(int8_zoo.SEED)
    plan = Plan.of(without_learning(load_model(int8_zoo.trained(label) / "model.keras")))
    assert plan is not None
    for name, call in plan.calls.items():
        if call.kind != "BatchNormalization":
            continue
        # Equalisation believes these ranges, and makes large what they call small.
        ranges = np.where(np.arange(call.channels) < max(1, SHARE * call.channels), FACTOR**-2, 1.0)
        found = equalise(plan, {name: ranges})
        if found.factors[name].max() > FACTOR / 8:
            save_model(found.plan.build(), path)
            return name
    raise ValueError(f"{label} has no layer that lets a factor through")


def main() -> int:
    """Computes what is missing of the table and prints it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.remedies_table", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these networks")
    parser.add_argument("--show", action="store_true", help="compute nothing, print what is there")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.names) - set(NETWORKS)):
        parser.error(f"no network is called {', '.join(unknown)}; networks: {', '.join(NETWORKS)}")
    tell(summary() if asked.show else run(asked.names), FOLDER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
