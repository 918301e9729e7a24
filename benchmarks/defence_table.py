"""Whether defensive training defends: plain and defended networks and their int8 files under attack, over five seeds.

12,000 training images of Fashion-MNIST; the attacks are tried on 300 of the test images. A defence counts when its
network has lost at most a point, when the 95 % interval of the difference over the seeds says so, and when the checks
for hidden gradients hold. The command goes on where it was stopped: each seed is a file in build/defence_table.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.cells import Cell, command
from benchmarks.fashion import IMAGES, few_images
from exports.statistics import mean_interval

FOLDER = Path("build/defence_table")
SEEDS = (0, 1, 2, 3, 4)
NETWORK: dict[str, Any] = {"name": "resnet", "variant": "cifar20", "width": 0.5, "resolution": 16}
FITTING: dict[str, Any] = {"epochs": 6, "optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 5e-4, "flip": True}
PENALTIES = (6e-4, 6e-3, 6e-2)  # the published one, and more of it
EPSILONS = (2, 4, 8, 16)
ATTACKS: dict[str, Any] = {"epsilons": EPSILONS, "steps": 40, "restarts": 2, "images": 300}
WHAT = {"model": "float", "tflite_int8": "int8"}


def run(seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """Computes what is missing and gives the table of all that is there."""
    for seed in seeds:
        _cell(seed).value(lambda folder, seed=seed: _attacked(seed, folder))  # type: ignore[misc]
    return summary(seeds)


def summary(seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """The table of the seeds that exist: a row for each network and file, and what defence changes."""
    found = [cell for seed in seeds if (cell := _cell(seed).stored())]
    rows = []
    for name in ("plain", *map(_name, PENALTIES)):
        for what, title in WHAT.items():
            row = {"training": name, "file": title, "seeds": len(found)}
            for attack, epsilon in [("none", 0), *(("pgd", one) for one in EPSILONS)]:
                own = [_top1(cell, name, what, attack, epsilon) for cell in found]
                shown = f"{100 * fmean(own):.1f}" if own else "–"
                if name != "plain" and len(found) > 1:
                    before = [_top1(cell, "plain", what, attack, epsilon) for cell in found]
                    low, high = mean_interval([b - a for a, b in zip(before, own, strict=True)])
                    shown += f" [{100 * low:+.1f}, {100 * high:+.1f}]"
                row["as they are" if attack == "none" else f"{epsilon} of 255"] = shown
            failed = Counter(one["check"] for cell in found for one in cell["checks"][name] if not one["holds"])
            row["checks that failed"] = "; ".join(
                f"{check} ({count} of {len(found)})" for check, count in failed.items()
            )
            rows.append(row)
    network = f"{NETWORK['name']} {NETWORK['variant']} x {NETWORK['width']} at {NETWORK['resolution']} px"
    what = f"top-1 under pgd, {network}, {IMAGES:,} images of Fashion-MNIST; brackets: points to plain over the seeds"
    return {"what": what, "rows": rows}


def _top1(cell: dict[str, Any], name: str, what: str, attack: str, epsilon: int) -> float:
    on = "-" if attack == "none" else name
    return next(
        float(row["top1"])
        for row in cell["rows"]
        if (row["name"], row["what"], row["made_on"], row["attack"], row["epsilon"])
        == (name, what, on, attack, epsilon)
    )


def _name(penalty: float) -> str:
    return f"penalty {penalty:g}"


def _cell(seed: int) -> Cell:
    return Cell(FOLDER, f"seed{seed}", [seed, IMAGES, NETWORK, FITTING, PENALTIES, ATTACKS])


def _attacked(seed: int, folder: Path) -> dict[str, Any]:
    import numpy as np

    import zoo
    from pipelines.methods import METHODS, Context
    from pipelines.robustness import RobustnessSettings, robustness
    from pipelines.training import session
    from pipelines.training.loop import fit
    from pipelines.training.settings import Fitting
    from pipelines.training.watch import QuietWatch

    session.open_session(seed)
    data = few_images(NETWORK["resolution"])

    def fresh() -> Any:
        from zoo.keras import keras

        keras.utils.set_random_seed(seed)
        return zoo.build(**NETWORK, classes=10, channels=1)

    plain = fresh()
    fit(plain, data, Fitting(**FITTING), QuietWatch(folder / "plain"), seed=seed)
    models = {"plain": plain}
    method = METHODS["defensive"]
    for penalty in PENALTIES:
        settings = method.settings(**{**FITTING, "penalty": penalty})
        watch = QuietWatch(folder / f"penalty{penalty:g}")
        models[_name(penalty)] = method.apply(fresh(), settings, Context(data, seed, watch)).model
    victims = [_victim(name, model, data, seed, folder) for name, model in models.items()]
    test, asked = data.splits["test"], RobustnessSettings(**ATTACKS)
    picked = np.sort(np.random.default_rng(0).permutation(len(test.labels))[: asked.images])
    found = robustness(victims, test.images[picked], test.labels[picked], asked, seed=seed)
    return {"top1": _top1(found, "plain", "model", "none", 0), **found}


def _victim(name: str, model: Any, data: Any, seed: int, folder: Path) -> Any:
    from exports import predict, save_model, write
    from pipelines.robustness import Victim
    from pipelines.steps.export import calibration_images
    from pipelines.training.loop import predictor

    stem = name.replace(" ", "_")
    save_model(model, folder / f"{stem}.keras")
    written = write(
        folder / f"{stem}.keras", "tflite_int8", folder / stem, name=stem, labels=data.classes,
        calibration=calibration_images(data, 400, seed),
    )  # fmt: skip
    ours = predictor(model)
    return Victim(
        name,
        model,
        {
            "model": lambda images: ours(images).argmax(1),
            "tflite_int8": lambda images: predict(written.path, written.contract, images).argmax(1),
        },
    )


def main() -> int:
    """Computes what is missing of the table and prints it."""
    return command("defence_table", __doc__, FOLDER, run=run, summary=summary, seeds=SEEDS)


if __name__ == "__main__":
    sys.exit(main())
