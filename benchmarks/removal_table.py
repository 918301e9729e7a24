"""Every method that removes channels, beside random channels and the same small network from scratch, over three seeds.

12,000 training images of Fashion-MNIST, all 10,000 test images, half of the multiply-adds. The command goes on where it
was stopped: each cell is a file in build/removal_table, named by what decides it, and a training inside a cell goes on
from its checkpoint. All rows but the dense network and `scratch_b` are trained for equally many epochs in all: what a
method spends before its cut it has less for the fine-tuning. Nobody is called better than random channels unless the
95 % interval of the difference over the seeds says so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.cells import Cell, command
from benchmarks.fashion import IMAGES, few_images
from exports.statistics import mean_interval

FOLDER = Path("build/removal_table")
SEEDS = (0, 1, 2)
NETWORK: dict[str, Any] = {"name": "resnet", "variant": "cifar20", "resolution": 16}
DENSE_EPOCHS, MORE_EPOCHS, BEFORE_CUT = 8, 8, 4  # the dense network; all that comes after; of which before a cut
REMOVE = {"remove": 0.5, "target": "macs", "multiple": 4, "least": 4, "epochs": MORE_EPOCHS, "compare_files": False}
AUGMENTATION = {"flip": True, "shift": 0.06}
# Methods that train towards their cut divide what the others spend on the fine-tuning; all else are their defaults.
LATER = {"epochs": MORE_EPOCHS - BEFORE_CUT}
OF_METHOD: dict[str, dict[str, Any]] = {
    "network_slimming": {"sparse_epochs": BEFORE_CUT, **LATER},
    # So soon no scale is zero yet. Within each layer, because its costs pull so unequally that one threshold for all
    # layers all but closes the last stage: 0.60 of top-1.
    "ista_gamma": {"sparse_epochs": BEFORE_CUT, "amount": "target", "scope": "layer", **LATER},
    "adversarial": {"mask_epochs": BEFORE_CUT, **LATER},
    "geometric_median_soft": {"when": "every_epoch", "soft_epochs": BEFORE_CUT, **LATER},
}
OTHER_FORMS = {"geometric_median_soft": "geometric_median"}  # rows that are a method with other settings
SCRATCH = ("scratch_e", "scratch_b")


def names() -> list[str]:
    """Rows of the table: the dense network, the methods, the controls."""
    from pipelines.methods import METHODS
    from pipelines.removal.settings import RemovalSettings

    methods = [name for name, one in METHODS.items() if issubclass(one.settings, RemovalSettings) and name != "random"]
    return ["dense", *methods, *OTHER_FORMS, "random", *SCRATCH]


def run(seeds: tuple[int, ...] = SEEDS, only: list[str] | None = None) -> dict[str, Any]:
    """Computes what is missing and gives the table of all that is there."""
    for seed in seeds:
        for name in names():
            if only is None or name in only or name == "dense":
                _value(name, seed)
    return summary(seeds)


def summary(seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """The table of the cells that exist."""
    cells = {(name, seed): _cell(name, seed).stored() for name in names() for seed in seeds}
    rows = []
    for name in names():
        found = [cell for seed in seeds if (cell := cells[name, seed])]
        if not found:
            continue
        differences = [
            cells[name, seed]["top1"] - cells["random", seed]["top1"]  # type: ignore[index]
            for seed in seeds
            if cells[name, seed] and cells["random", seed]
        ]
        rows.append(
            {
                "network": name,
                "seeds": len(found),
                "top-1 mean": f"{100 * fmean(cell['top1'] for cell in found):.2f}",
                "spread": _spread([100 * cell["top1"] for cell in found]),
                "before fine-tuning": _mean(found, "recalibrated"),
                "macs left": f"{fmean(cell['macs_left'] for cell in found):.3f}",
                "params left": f"{fmean(cell['params_left'] for cell in found):.3f}",
                "epochs": f"{fmean(cell['epochs'] for cell in found):g}",
                "minutes": f"{fmean(cell['minutes'] for cell in found):.1f}",
                "against random, points": _judged(name, differences),
            }
        )
    network = f"{NETWORK['name']} {NETWORK['variant']} at {NETWORK['resolution']} px"
    what = f"channels removed on {IMAGES:,} images of Fashion-MNIST, {network}, 10,000 test images"
    return {"what": what, "rows": rows}


def _judged(name: str, differences: list[float]) -> str:
    if name in ("dense", "random") or len(differences) < 2:
        return "–"
    low, high = mean_interval(differences)
    shown = f"{100 * fmean(differences):+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"
    return f"{shown} {'not distinguishable' if low <= 0 <= high else 'better' if low > 0 else 'worse'}"


def _spread(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def _mean(found: list[dict[str, Any]], key: str) -> str:
    values = [cell[key] for cell in found if cell.get(key) is not None]
    return f"{100 * fmean(values):.2f}" if values else "–"


def _value(name: str, seed: int) -> dict[str, Any]:
    make: Callable[[str, int, Path], dict[str, Any]] = (
        _dense if name == "dense" else _scratch if name in SCRATCH else _method
    )
    return _cell(name, seed).value(lambda folder: make(name, seed, folder), keep=name == "dense")


def _dense(name: str, seed: int, folder: Path) -> dict[str, Any]:
    import zoo
    from exports import save_model
    from pipelines.training import session
    from pipelines.training.loop import fit

    session.open_session(seed)
    data = _data()
    model = zoo.build(**NETWORK, classes=10, channels=1)
    fit(model, data, _fitting(DENSE_EPOCHS), _watch(folder), seed=seed)
    save_model(model, folder / "model.keras")
    return {"top1": _judge(model, data), "macs_left": 1.0, "params_left": 1.0, "epochs": DENSE_EPOCHS}


def _method(name: str, seed: int, folder: Path) -> dict[str, Any]:
    from pipelines.methods import METHODS, Context
    from pipelines.training import session

    dense = _dense_model(seed)
    session.open_session(seed)
    data, model = _data(), dense()
    method = METHODS[OTHER_FORMS.get(name, name)]
    settings: Any = method.settings(**{**REMOVE, **AUGMENTATION, **OF_METHOD.get(name, {})})
    outcome = method.apply(model, settings, Context(data, seed, _watch(folder)))
    report = outcome.report
    return {
        "top1": _judge(outcome.model, data),
        "recalibrated": report.get("validation_top1_after_recalibration"),
        "macs_left": report["macs_after"] / report["macs_before"],
        "params_left": report["params_after"] / report["params_before"],
        "epochs": DENSE_EPOCHS + settings.epochs + settings.epochs_before,
        "warnings": list(outcome.warnings),
    }


def _scratch(name: str, seed: int, folder: Path) -> dict[str, Any]:
    """The network that `channel_norm` leaves, from random weights: all layers give up the same share there."""
    import zoo
    from pipelines.removal.choose import choose, groups_of
    from pipelines.training import session
    from pipelines.training.loop import fit
    from zoo.channel_graph import ChannelGraph
    from zoo.cut import cut
    from zoo.keras import keras

    session.open_session(seed)
    data, model = _data(), _dense_model(seed)()
    graph = ChannelGraph.of(model)
    groups = groups_of(graph, {int(unit): 1.0 for unit in graph.free}, least=4, multiple=4)
    chosen = choose(graph, groups, share=0.5, target="macs", scope="layer")
    keras.utils.set_random_seed(seed)
    small = keras.models.clone_model(cut(graph, chosen.units))
    epochs = DENSE_EPOCHS + MORE_EPOCHS
    if name == "scratch_b":
        epochs = int(epochs * chosen.macs_before / chosen.macs)
    fit(small, data, _fitting(epochs), _watch(folder), seed=seed)
    cost = zoo.cost_of(zoo.sketch_of(small))
    return {
        "top1": _judge(small, data),
        "macs_left": cost.macs / chosen.macs_before,
        "params_left": cost.params / chosen.params_before,
        "epochs": epochs,
    }


def _dense_model(seed: int) -> Callable[[], Any]:
    from exports import load_model

    _value("dense", seed)
    return lambda: load_model(_cell("dense", seed).work / "model.keras")


def _fitting(epochs: int) -> Any:
    from pipelines.training.settings import Fitting

    return Fitting(epochs=epochs, **AUGMENTATION)  # type: ignore[arg-type]


def _watch(folder: Path) -> Any:
    from pipelines.training.watch import QuietWatch

    return QuietWatch(folder)


def _data() -> Any:
    return few_images(NETWORK["resolution"])


def _judge(model: Any, data: Any) -> float:
    from pipelines.training.loop import scorer

    return float(scorer(model)(data.splits["test"])[1])


def _cell(name: str, seed: int) -> Cell:
    decided = [name, seed, IMAGES, NETWORK, DENSE_EPOCHS, MORE_EPOCHS, REMOVE, AUGMENTATION, OF_METHOD.get(name)]
    return Cell(FOLDER, f"{name}-{seed}", decided)


def main() -> int:
    """Computes what is missing of the table and prints it."""
    return command("removal_table", __doc__, FOLDER, run=run, summary=summary, seeds=SEEDS, rows=names)


if __name__ == "__main__":
    sys.exit(main())
