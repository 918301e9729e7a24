"""How far the predicted time of a network is from the measured one, for families the prediction has not seen.

Kernels are timed first (no network is looked at), then float32 files of designs of many families; factors for whole
networks are learnt from all families but one and judged on that one, in turn. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path("build/latency_prediction")
ROUNDS = 10
LEAST_MACS, MOST_MACS = 1e6, 3e8
Design = tuple[str, float, int, dict[str, Any]]
DESIGNS: tuple[Design, ...] = (
    *(("mobilenet_v1", width, side, {}) for width, side in ((0.25, 96), (0.5, 128), (0.5, 224), (1.0, 128))),
    *(("mobilenet_v2", width, side, {}) for width, side in ((0.35, 96), (0.5, 160), (1.0, 96), (1.0, 192))),
    *(("mobilenet_v3", width, side, {}) for width, side in ((0.5, 128), (1.0, 128), (1.0, 224))),
    ("mobilenet_v3", 0.75, 160, {"variant": "large"}),
    *(("shufflenet_v1", width, side, {}) for width, side in ((0.5, 128), (0.5, 224), (1.0, 128))),
    *(("shufflenet_v2", width, side, {}) for width, side in ((0.5, 128), (1.0, 128), (1.0, 224), (1.5, 128))),
    *(("squeezenet", width, side, {}) for width, side in ((0.5, 128), (1.0, 96), (0.5, 224))),
    *(("mnasnet", width, side, {}) for width, side in ((0.5, 128), (1.0, 128), (0.75, 192))),
    *(("efficientnet", width, side, {}) for width, side in ((0.5, 128), (1.0, 96), (1.0, 128))),
    *(("ghostnet", width, side, {}) for width, side in ((0.5, 128), (1.0, 128), (1.0, 224))),
    *(("resnet", width, 32, {"variant": "cifar20"}) for width in (0.5, 1.0, 1.5)),
    *(("resnet", width, side, {"variant": "18"}) for width, side in ((0.25, 128), (0.5, 96))),
    *(("proxylessnas", width, side, {}) for width, side in ((0.5, 128), (1.0, 128), (1.0, 192))),
    *(("densenet", width, 32, {"variant": "cifar40"}) for width in (0.5, 1.0)),
)


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """Gives per family the errors of predictions that have not seen it, and all of them together."""
    from exports.latency_model import learn, sample_kernels, time_kernels, with_factors
    from exports.sketch_kernels import kernels_of

    begun = time.perf_counter()
    kernels = sample_kernels()
    model = learn(list(zip(kernels, time_kernels(kernels), strict=True)))
    calibrated = time.perf_counter() - begun
    found = [(one, kernels_of(_sketch(one)), _measured(one, rounds)) for one in DESIGNS]
    whole = {at: ([kernel for _, kernel in kernels], ms) for at, (_, kernels, ms) in enumerate(found)}
    rows, errors, took = [], [], []
    for family in dict.fromkeys(one[0] for one in DESIGNS):
        own = [at for at, (one, _, _) in enumerate(found) if one[0] == family]
        seen = with_factors(model, [pair for at, pair in whole.items() if at not in own])
        predicted, measured = [], []
        for at in own:
            before = time.perf_counter()
            predicted.append(seen.predict([kernel for _, kernel in kernels_of(_sketch(found[at][0]))]))
            took.append(time.perf_counter() - before)
            measured.append(whole[at][1])
        error = np.array(predicted) / np.array(measured) - 1
        bare = np.array([model.predict(whole[at][0]) for at in own]) / np.array(measured) - 1
        errors += error.tolist()
        rows.append(
            {
                "family": family,
                "designs": len(own),
                "ms measured": f"{min(measured):.2f} to {max(measured):.2f}",
                "median error": f"{100 * np.median(np.abs(error)):.1f} %",
                "errors": ", ".join(f"{100 * one:+.0f}" for one in error),
                "rank correlation": f"{_ranks(predicted, measured):.2f}",
                "without factors": f"{100 * np.median(np.abs(bare)):.1f} %",
            }
        )
    middle, most = (100 * float(np.quantile(np.abs(errors), share)) for share in (0.5, 0.9))
    told = (
        f"{len(found)} designs, {len(rows)} families: median error {middle:.1f} %, nine of ten within {most:.1f} %; "
        f"{1e3 * np.median(took):.1f} ms a prediction with its sketch; {len(kernels):,} kernels timed in "
        f"{calibrated:.0f} s"
    )
    return {"what": told, "rows": rows}


def _ranks(one: list[float], other: list[float]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)


def _sketch(one: Design) -> Any:
    import zoo

    name, width, side, options = one
    return zoo.sketch(
        name, width=width, resolution=side, classes=_classes(side), channels=3, form="deploy",
        **zoo.architecture(name).settle(options),
    )  # fmt: skip


def _classes(side: int) -> int:
    return 10 if side <= 32 else 1000


def _measured(one: Design, rounds: int) -> float:
    """Milliseconds of the float32 file; written once, timed now."""
    import zoo
    from exports import Contract, measure, save_model, write
    from zoo.keras import keras

    name, width, side, options = one
    folder = FOLDER / f"{name}-{width:g}-{side}-{'-'.join(map(str, options.values()))}"
    path = folder / "network_tflite_float32.tflite"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        model = zoo.build(
            name, width=width, resolution=side, classes=_classes(side), channels=3, form="deploy", **options
        )
        save_model(model, folder / "model.keras")
        labels = [str(label) for label in range(_classes(side))]
        write(folder / "model.keras", "tflite_float32", folder, name="network", labels=labels)
        (folder / "model.keras").unlink()
        keras.backend.clear_session()
        gc.collect()
    return measure([(path, Contract.beside(path))], rounds=rounds).rows[0].median_ms


def main() -> int:
    """Prints the table and writes build/latency_prediction.json."""
    from pipelines.commands.command import table

    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency_prediction", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    found = run(parser.parse_args().rounds)
    Path("build/latency_prediction.json").write_text(json.dumps(found, indent=2))
    print(found["what"])
    print(table(found["rows"], {key: key for key in found["rows"][0]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
