"""How far the predicted time of a network is from the measured one, for families the prediction has not seen.

The machine is calibrated in a fresh home, which times kernels and networks; every network is then predicted with its
family left out. Files of the converter are timed in turn with ours of the same networks: what is timed before a network
is built must be what it takes once it is exported. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.cells import tell

FOLDER = Path("build/latency_prediction")
CONVERTED = (
    ("mobilenet_v2", 0.35, 96), ("shufflenet_v2", 0.5, 128), ("efficientnet", 0.5, 128), ("ghostnet", 0.5, 128),
)  # fmt: skip


def run(passes: int) -> dict[str, Any]:
    """Gives per family the errors of predictions that have not seen it, and all of them together."""
    from pipelines.machine_latency import DTYPES, NETWORKS, calibrate, kept
    from pipelines.runs import Home

    with tempfile.TemporaryDirectory() as folder:
        home = Home.open(folder)
        found = calibrate(home, passes=passes, progress=lambda done, total, what: None)
        model = kept(home.folder)
        assert model is not None
        home.close()
    took = [_seconds(partial(model.predict, one.sketch())) for one in NETWORKS]
    rows = []
    for dtype, family in product(DTYPES, dict.fromkeys(one.name for one in NETWORKS)):
        own = [row for row in found["left_out"] if row["name"] == family and row["dtype"] == dtype]
        errors = [row["error"] for row in own]
        ms = [row["ms"] for row in own]
        rows.append(
            {
                "family": family,
                "numbers": dtype,
                "designs": len(own),
                "ms measured": f"{min(ms):.2f} to {max(ms):.2f}",
                "median error": f"{100 * np.median(np.abs(errors)):.1f} %",
                "errors": ", ".join(f"{100 * one:+.0f}" for one in errors),
                "rank correlation": f"{_ranks([row['predicted_ms'] for row in own], ms):.2f}",
            }
        )
    errors_told = "; ".join(
        f"{dtype} median error {100 * one['median']:.1f} %, nine of ten within {100 * one['nine_in_ten']:.1f} %"
        for dtype, one in found["errors"].items()
    )
    told = (
        f"{found['networks']} designs, {found['machine']['cpu']}: {errors_told}; "
        f"{1e3 * np.median(took):.1f} ms a prediction, at most {1e3 * max(took):.1f}; {found['kernels']:,} kernels, "
        f"{found['seconds']:.0f} s in all. The converter's file against ours: {_converted()}"
    )
    return {"what": told, "rows": rows}


def _seconds(call: Callable[[], Any]) -> float:
    found = []
    for _ in range(5):
        before = time.perf_counter()
        call()
        found.append(time.perf_counter() - before)
    return median(found)


def _ranks(one: list[float], other: list[float]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)


def _converted() -> str:
    """The time of files that the converter wrote, that of ours of the same network being 1."""
    import zoo
    from exports import measure, save_model, write
    from exports.network_files import network_file

    ratios = []
    for name, width, side in CONVERTED:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            sizes: dict[str, Any] = {"width": width, "resolution": side, "classes": 1000, "channels": 3}
            save_model(zoo.build(name, form="deploy", **sizes), place / "model.keras")
            labels = [str(label) for label in range(1000)]
            theirs = write(place / "model.keras", "tflite_float32", place, name="network", labels=labels)
            ours = place / "ours.tflite"
            ours.write_bytes(network_file(zoo.sketch(name, form="deploy", **sizes)))
            report = measure([(ours, theirs.contract), (theirs.path, theirs.contract)], rounds=8)
            low, high = report.rows[1].ratio_interval
            ratios.append(f"{name} {report.rows[1].ratio:.2f} [{low:.2f}, {high:.2f}]")
    return ", ".join(ratios)


def main() -> int:
    """Prints the table, which is kept in build/latency_prediction."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency_prediction", description=__doc__)
    parser.add_argument("--passes", type=int, default=2)
    tell(run(parser.parse_args().passes), FOLDER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
