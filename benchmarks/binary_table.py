"""Binary networks beside a linear model and their float twin, five that vote beside their best, over three seeds.

12,000 training images of Fashion-MNIST, all 10,000 test images. The linear model is scikit-learn's logistic regression
on the same pixels. The command goes on where it was stopped: each cell is a file in build/binary_table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.cells import Cell, command
from benchmarks.fashion import IMAGES, few_images
from exports.statistics import mean_interval, wilson

FOLDER = Path("build/binary_table")
SEEDS = (0, 1, 2)
NETWORK: dict[str, Any] = {"name": "resnet", "variant": "cifar20", "resolution": 16}
AUGMENTATION = {"flip": True, "shift": 0.06}
FLOAT = {"epochs": 8, "optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 5e-4, **AUGMENTATION}
# Row -> method and settings; each starts from the float network or from the row in `FROM`.
METHODS_OF: dict[str, tuple[str, dict[str, Any]]] = {
    "binary weights": ("binary_connect", {"epochs": 8}),
    "binary": ("binary", {"epochs": 12}),
    "five that vote, bagging": ("binary_ensemble", {"epochs": 6, "members": 5}),
    "five that vote, boosting": ("binary_ensemble", {"epochs": 6, "members": 5, "draw": "boosting"}),
    "filters removed": ("main_subsidiary", {}),
    "filters removed, 12 more": ("binary", {"epochs": 12}),
}
FROM = {"filters removed": "binary", "filters removed, 12 more": "filters removed"}
ROWS = ("linear", "float", *METHODS_OF)


def run(seeds: tuple[int, ...] = SEEDS, only: list[str] | None = None) -> dict[str, Any]:
    """Computes what is missing and gives the table of all that is there."""
    for seed in seeds:
        for name in only or ROWS:
            _value(name, seed)
    return summary(seeds)


def summary(seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """The table of the cells that exist."""
    rows = []
    for name in ROWS:
        found = [cell for seed in seeds if (cell := _cell(name, seed).stored())]
        if not found:
            continue
        low, high = wilson(round(found[0]["top1"] * found[0]["n"]), found[0]["n"])
        votes = [cell["top1"] - max(cell["members"]) for cell in found if "members" in cell]
        row = {
            "network": name,
            "seeds": len(found),
            "top-1 mean": f"{100 * fmean(cell['top1'] for cell in found):.2f}",
            "first seed [95 %]": f"{100 * found[0]['top1']:.2f} [{100 * low:.2f}, {100 * high:.2f}]",
            "against linear, points": _against(name, "linear", seeds),
            "against its best member": _gained(votes),
            "kB packed": _mean(found, "bytes_packed", 1 / 1000, ".0f"),
            "filters kept": _mean(found, "filters_kept", 1, ".2f"),
            "minutes": f"{fmean(cell['minutes'] for cell in found):.1f}",
        }  # fmt: skip
        rows.append(row)
    network = f"{NETWORK['name']} {NETWORK['variant']} at {NETWORK['resolution']} px"
    return {"what": f"{network}, {IMAGES:,} training images of Fashion-MNIST, 10,000 test images", "rows": rows}


def _against(name: str, other: str, seeds: tuple[int, ...]) -> str:
    if name == other:
        return "–"
    pairs = [(_cell(name, seed).stored(), _cell(other, seed).stored()) for seed in seeds]
    return _gained([a["top1"] - b["top1"] for a, b in pairs if a and b])


def _mean(found: list[dict[str, Any]], key: str, unit: float, form: str) -> str:
    return format(unit * fmean(cell[key] for cell in found), form) if key in found[0] else "–"


def _gained(differences: list[float]) -> str:
    if len(differences) < 2:
        return "–"
    low, high = mean_interval(differences)
    return f"{100 * fmean(differences):+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


def _cell(name: str, seed: int) -> Cell:
    seed = 0 if name == "linear" else seed  # it has one answer
    decided: list[Any] = [name, seed, IMAGES, NETWORK]
    if name != "linear":
        decided += [FLOAT, AUGMENTATION, METHODS_OF.get(name)]
    if name in FROM:
        decided.append(_cell(FROM[name], seed).decided)
    return Cell(FOLDER, f"{name.replace(' ', '_').replace(',', '')}-{seed}", decided)


def _value(name: str, seed: int) -> dict[str, Any]:
    make: Callable[[str, int, Path], dict[str, Any]] = {"linear": _linear, "float": _float}.get(name, _method)
    return _cell(name, seed).value(lambda folder: make(name, seed, folder), keep=name in ("float", *FROM.values()))


def _linear(name: str, seed: int, folder: Path) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression

    data = _data()
    train, test = (data.splits[part] for part in ("train", "test"))
    flat = [part.images.reshape(len(part.images), -1) / 255.0 for part in (train, test)]
    fitted = LogisticRegression(max_iter=500).fit(flat[0], train.labels)
    return {"top1": float(fitted.score(flat[1], test.labels)), "n": len(test.labels)}


def _float(name: str, seed: int, folder: Path) -> dict[str, Any]:
    import zoo
    from exports import save_model
    from pipelines.training import session
    from pipelines.training.loop import fit
    from pipelines.training.settings import Fitting
    from pipelines.training.watch import QuietWatch

    session.open_session(seed)
    data = _data()
    model = zoo.build(**NETWORK, classes=10, channels=1)
    fit(model, data, Fitting(**FLOAT), QuietWatch(folder), seed=seed)  # type: ignore[arg-type]
    save_model(model, folder / "model.keras")
    return _judged(model, data)


def _method(name: str, seed: int, folder: Path) -> dict[str, Any]:
    from exports import load_model, save_model
    from pipelines.methods import METHODS, Context
    from pipelines.training import session
    from pipelines.training.watch import QuietWatch

    before = FROM.get(name, "float")
    _value(before, seed)
    session.open_session(seed)
    data, model = _data(), load_model(_cell(before, seed).work / "model.keras")
    method, settings = METHODS_OF[name]
    chosen = METHODS[method].settings(**{**AUGMENTATION, **settings})
    outcome = METHODS[method].apply(model, chosen, Context(data, seed, QuietWatch(folder)))
    save_model(outcome.model, folder / "model.keras")
    found = _judged(outcome.model, data) | {
        key: outcome.report[key] for key in ("bytes_packed", "filters_kept") if key in outcome.report
    }
    if "members" in outcome.report:
        found["members"] = _members(outcome.model, data)
    return found


def _members(whole: Any, data: Any) -> list[float]:
    """The accuracy of each that votes, by itself."""
    from zoo.keras import keras

    ends = whole.get_layer("votes").input
    return [_judged(keras.Model(whole.input, end), data)["top1"] for end in ends]


def _judged(model: Any, data: Any) -> dict[str, Any]:
    from pipelines.training.loop import predictor

    test = data.splits["test"]
    right = predictor(model)(test.images).argmax(axis=1) == test.labels
    return {"top1": float(np.mean(right)), "n": len(right)}


def _data() -> Any:
    return few_images(NETWORK["resolution"])


def main() -> int:
    """Computes what is missing of the table and prints it."""
    return command("binary_table", __doc__, FOLDER, run=run, summary=summary, seeds=SEEDS, rows=lambda: ROWS)


if __name__ == "__main__":
    sys.exit(main())
