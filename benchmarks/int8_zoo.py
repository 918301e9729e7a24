"""What int8 costs in every family: one network of each, as its float file, its int8 file and its int8-aware one.

At most 20 million multiply-adds, 20 px, 12,000 training images of Fashion-MNIST. A network is trained in rounds until
it is good enough on the validation images; both int8 files are judged beside the float file on all 10,000 test images.
The command goes on where it was stopped: each cell is a file in build/int8_zoo, named by what decides it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cells import Cell, tell
from benchmarks.fashion import IMAGES, few_images
from pipelines.judge import File, against_float, points_against_float

FOLDER = Path("build/int8_zoo")
SEED = 0
RESOLUTION = 20
# Label -> what is built; widths that come to 2 to 16 million multiply-adds.
NETWORKS: dict[str, dict[str, Any]] = {
    "mobilenet_v1": {"width": 0.25},
    "mobilenet_v2": {"width": 0.25},
    "mobilenet_v3 large": {"width": 0.25},
    "mobilenet_v3 small": {"variant": "small", "width": 0.5},
    "shufflenet_v1": {"width": 0.5},
    "shufflenet_v2": {"width": 0.75},
    "squeezenet": {"variant": "1.1", "width": 0.5, "dropout": 0.0},
    "xception": {"width": 0.125},
    "condensenet": {"variant": "cifar50", "width": 0.5},
    "mnasnet": {"width": 0.5},
    "ghostnet": {"width": 0.5},
    "espnet_v2": {"width": 1.0},
    "nasnet": {"cells": 1, "width": 0.25},
    "efficientnet b0": {"width": 0.25},
    "proxylessnas": {"width": 0.25},
    "igc": {"width": 0.25},
    "flgc": {"width": 0.5},
    "snet": {"width": 0.5},
    "resnet cifar20": {"variant": "cifar20", "width": 0.5},
    "resnext": {"width": 0.1},
    "densenet": {"variant": "cifar40", "width": 0.25, "resolution": 24},
    "vgg": {"width": 0.25, "dropout": 0.2},
    "alexnet": {"width": 0.25, "dropout": 0.2},
}
MOST_MACS = 20_000_000
# Top-1 on validation images; the table promises 0.88 on the test images, where it is up to 0.015 less.
ENOUGH = 0.893
ENOUGH_OF = {"resnext": 0.9, "shufflenet_v2": 0.897}
ROUNDS = 4
AUGMENTATION = {"flip": True, "shift": 0.06}
FITTING: dict[str, Any] = {"epochs": 10, "optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 5e-4, **AUGMENTATION}
# Without norms so high a rate does not learn.
WITHOUT_NORMS = {"optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.0}
OF_NETWORK = {"squeezenet": WITHOUT_NORMS | {"batch": 32}, "vgg": WITHOUT_NORMS, "alexnet": WITHOUT_NORMS}
LATER = 0.5  # the rate of every later round, as a share of the one before
AWARE = {"epochs": 2, "optimizer": "sgd", "learning_rate": 2e-3, **AUGMENTATION}
CALIBRATION, NOISE_IMAGES = 400, 64
POINT = 0.01


def run(only: list[str] | None = None, *, aware: bool = True) -> dict[str, Any]:
    """Computes what is missing and gives the table of all that is there."""
    for label in only or NETWORKS:
        _int8(label)
        if aware:
            _aware(label)
    return summary()


def summary() -> dict[str, Any]:
    """The table of the cells that exist."""
    rows = []
    for label in NETWORKS:
        plain, rounded, aware = (cell(label).stored() for cell in (float_cell, int8_cell, _aware_cell))
        if plain is None or rounded is None:
            continue
        row = {
            "network": label,
            "M macs": f"{plain['macs'] / 1e6:.1f}",
            "epochs": plain["epochs"],
            "float top-1": f"{100 * plain['top1']:.2f}",
            "int8, points [95 %]": points_against_float(rounded),
            "within a point": "yes" if rounded["against_float_low"] >= -POINT else "no",
            "named": named(rounded["faults"]),
        }
        if aware is not None:
            row["int8-aware, points [95 %]"] = points_against_float(aware)
            row["agrees"] = f"{100 * aware['agreement']:.2f} %"
        rows.append(row)
    what = f"int8 after {IMAGES:,} images of Fashion-MNIST at {RESOLUTION} px, 10,000 test images"
    return {"what": what, "rows": rows}


def named(faults: Sequence[Mapping[str, Any]]) -> str:
    """The two worst causes and the two worst layers of each."""
    return "; ".join(f"{one['title']} ({', '.join(one['layers'][:2])})" for one in faults[:2])


def float_cell(label: str) -> Cell:
    """The cell of the trained network; its `decided` is part of every other."""
    reached = _enough(label)
    decided = [label, NETWORKS[label], IMAGES, RESOLUTION, reached, ROUNDS, FITTING, OF_NETWORK.get(label), LATER]
    return Cell(FOLDER, f"{label.replace(' ', '_')}-float", decided)


def int8_cell(label: str) -> Cell:
    return Cell(FOLDER, f"{label.replace(' ', '_')}-int8", [float_cell(label).decided, CALIBRATION, NOISE_IMAGES])


def _aware_cell(label: str) -> Cell:
    return Cell(FOLDER, f"{label.replace(' ', '_')}-aware", [float_cell(label).decided, AWARE])


def _enough(label: str) -> float:
    return ENOUGH_OF.get(label, ENOUGH)


def trained(label: str) -> Path:
    """The folder with the trained network, `model.keras`; trains it when it is not there."""
    float_cell(label).value(lambda folder: _float(label, folder), keep=True)
    return float_cell(label).work


def _float(label: str, folder: Path) -> dict[str, Any]:
    import zoo
    from exports import save_model
    from pipelines.training import session
    from pipelines.training.loop import fit, scorer
    from pipelines.training.settings import Fitting
    from pipelines.training.watch import QuietWatch

    session.open_session(SEED)
    data = data_of(label)
    asked = {**NETWORKS[label], "resolution": resolution(label), "classes": 10, "channels": 1}
    macs = zoo.cost(label.split()[0], **asked).macs
    if macs > MOST_MACS:
        raise ValueError(f"{label} has {macs:,} multiply-adds; make it narrower, {MOST_MACS:,} are allowed")
    model = zoo.build(label.split()[0], **asked)
    chosen = {**FITTING, **OF_NETWORK.get(label, {})}
    epochs = 0
    for number in range(ROUNDS):
        settings = Fitting(**{**chosen, "learning_rate": chosen["learning_rate"] * LATER**number})
        fit(model, data, settings, QuietWatch(folder / f"round{number}"), seed=SEED + number)
        epochs += settings.epochs
        reached = float(scorer(model)(data.splits["validation"])[1])
        if reached >= _enough(label):
            break
    save_model(model, folder / "model.keras")
    right = _right(_written(folder / "model.keras", "tflite_float32", data), data)
    np.save(folder / "right.npy", right)
    return {"top1": float(right.mean()), "validation": reached, "epochs": epochs, "macs": macs}


def _int8(label: str) -> dict[str, Any]:
    trained(label)
    return int8_cell(label).value(lambda _: _rounded(label))


def _rounded(label: str) -> dict[str, Any]:
    from exports import Calibration, localise

    data, source = data_of(label), float_cell(label).work
    plain = _written(source / "model.keras", "tflite_float32", data)
    rounded = _written(source / "model.keras", "tflite_int8", data)
    images = np.asarray(data.splits["validation"].images[:NOISE_IMAGES])
    found = localise(*plain, *rounded, images, calibration=Calibration(CALIBRATION, 1 / len(data.classes)))
    return {**_beside(label, _right(rounded, data)), "faults": found["faults"]}


def _aware(label: str) -> dict[str, Any]:
    trained(label)
    return _aware_cell(label).value(lambda folder: _int8_aware(label, folder))


def _int8_aware(label: str, folder: Path) -> dict[str, Any]:
    from exports import evaluate, load_model, save_model
    from pipelines.methods import METHODS, Context
    from pipelines.training import session
    from pipelines.training.loop import predictor
    from pipelines.training.watch import QuietWatch

    session.open_session(SEED)
    data = data_of(label)
    model = load_model(float_cell(label).work / "model.keras")
    method = METHODS["int8_aware"]
    outcome = method.apply(model, method.settings(**AWARE), Context(data, SEED, QuietWatch(folder)))
    save_model(outcome.model, folder / "model.h5")
    test = data.splits["test"]
    known = predictor(outcome.model)(test.images).argmax(axis=1)
    scored = evaluate(*_written(folder / "model.h5", "tflite_int8", data), test.images, test.labels)
    found = _beside(label, scored.predictions == test.labels)
    return {**found, "agreement": float(np.mean(known == scored.predictions))}


def resolution(label: str) -> int:
    """The side of the images that the network takes, in pixels."""
    return int(NETWORKS[label].get("resolution", RESOLUTION))


def data_of(label: str) -> Any:
    """The images as the network takes them."""
    return few_images(resolution(label))


def _written(model: Path, form: str, data: Any) -> File:
    from exports import write
    from pipelines.steps.export import calibration_images

    calibration = calibration_images(data, CALIBRATION, SEED)
    one = write(model, form, model.parent / form, name=form, labels=data.classes, calibration=calibration)
    return one.path, one.contract


def _right(file: File, data: Any) -> np.ndarray:
    from exports import evaluate

    test = data.splits["test"]
    return np.asarray(evaluate(*file, test.images, test.labels).predictions == test.labels)


def _beside(label: str, right: np.ndarray) -> dict[str, Any]:
    """The accuracy, and its paired difference to the float file."""
    return {"top1": float(right.mean()), **against_float(np.load(float_cell(label).work / "right.npy"), right)}


def main() -> int:
    """Computes what is missing of the table and prints it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.int8_zoo", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these networks")
    parser.add_argument("--plain", action="store_true", help="without int8-aware training")
    parser.add_argument("--show", action="store_true", help="compute nothing, print what is there")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.names) - set(NETWORKS)):
        parser.error(f"no network is called {', '.join(unknown)}; networks: {', '.join(NETWORKS)}")
    found = summary() if asked.show else run(asked.names, aware=not asked.plain)
    tell(found, FOLDER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
