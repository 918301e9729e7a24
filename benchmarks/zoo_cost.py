"""How fast designs are counted: one design, the whole default grid, and the answer to what fits.

Everything runs in a fresh process without TensorFlow, with nothing counted before; the slider and the chart of the
studio wait for nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
HEAVY = ("tensorflow", "tf_keras", "keras")


def measure(rounds: int) -> dict[str, Any]:
    """The figures of this process, in which nothing may have been counted yet."""
    import time
    from statistics import median

    import zoo
    from zoo.fitting import largest
    from zoo.grid import grid
    from zoo.limits import Limits

    begun = time.perf_counter()
    designs = grid()
    whole = time.perf_counter() - begun
    begun = time.perf_counter()
    again = grid()
    kept = time.perf_counter() - begun
    assert again == designs
    singles: list[float] = []
    for one in designs:
        seconds = []
        for _ in range(rounds):
            begun = time.perf_counter()
            zoo.cost(one.name, width=one.width, resolution=one.resolution, **one.options)
            seconds.append(time.perf_counter() - begun)
        singles.append(median(seconds))
    begun = time.perf_counter()
    largest("mobilenet_v2", Limits(20_000_000, 500_000, 256_000), classes=10)
    fit = time.perf_counter() - begun
    loaded = [name for name in HEAVY if name in sys.modules]
    if loaded:
        raise RuntimeError(f"counting imported {loaded}")
    slowest = max(range(len(designs)), key=lambda place: singles[place])
    return {
        "designs": len(designs),
        "one_design_median_ms": round(1000 * median(singles), 2),
        "slowest_ms": round(1000 * singles[slowest], 1),
        "slowest": designs[slowest].label,
        "whole_grid_seconds": round(whole, 2),
        "whole_grid_again_ms": round(1000 * kept, 1),
        "what_fits_ms": round(1000 * fit, 1),
        "rounds": rounds,
    }


def run(rounds: int = 3) -> dict[str, Any]:
    """Gives median milliseconds of one design, seconds and number of designs of the default grid."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.zoo_cost", str(rounds)],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {"what": "counting designs without TensorFlow", "rows": [json.loads(done.stdout)]}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
