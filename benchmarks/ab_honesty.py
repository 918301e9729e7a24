"""How often the timing claims a difference that is none, and misses one that is: every repeat in a fresh process.

A file is held against itself, which should be called different in at most 2 of 100. Then files of known distance:
chains of equal layers, so that two more of them make a tenth more work; what their ratio is in the long run is measured
first, with many rounds over several processes, and only pairs of 1.08 to 1.12 are kept. The slower file should be found
in at least 95 of 100. Run it on an otherwise idle machine; it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cells import tell

FOLDER = Path("build/ab_honesty")
REPEATS, ROUNDS = 100, 10
LONG_ROUNDS, LONG_REPEATS = 40, 5
BASE = 20
LADDER = (21, 22, 23)  # layers of the slower files
WANTED = (1.08, 1.12)


def run(repeats: int = REPEATS) -> dict[str, Any]:
    """Gives per pair its ratio in the long run and how often each verdict fell."""
    files = {layers: _chain(layers) for layers in (BASE, *LADDER)}
    rows = [_row("the same file", 1.0, _verdicts(files[BASE], files[BASE], repeats))]
    long_run = {layers: _long_run(files[BASE], files[layers]) for layers in LADDER}
    kept = [layers for layers in LADDER if WANTED[0] <= long_run[layers] <= WANTED[1]]
    if not kept:
        raise ValueError(f"no pair lies within {WANTED}; the ratios are {long_run}: lengthen LADDER")
    for layers in kept:
        share = repeats // len(kept) + (layers == kept[0]) * (repeats % len(kept))
        told = f"{layers} layers against {BASE}"
        rows.append(_row(told, long_run[layers], _verdicts(files[BASE], files[layers], share)))
    return {"what": f"verdicts of {ROUNDS} rounds, each in a process of its own", "rows": rows}


def _chain(layers: int) -> Path:
    """An int8 file of equal convolutions, some tenths of a millisecond long; written once."""
    import numpy as np

    from exports import save_model, write
    from zoo import layers as words
    from zoo.keras import keras

    folder = FOLDER / f"chain{layers}"
    path = folder / "chain_tflite_int8.tflite"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    image = keras.Input((24, 24, 1), name="image")
    x = words.conv(image, 32, 3, name="stem_conv")
    for number in range(layers):
        x = words.relu(words.conv(x, 32, 3, name=f"stage1_{number}_conv", bias=True), name=f"stage1_{number}_relu")
    model = keras.Model(image, words.dense(words.global_pool(x, name="head_pool"), 10, name="logits"))
    save_model(model, folder / "model.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 24, 1), np.uint8)
    labels = [str(number) for number in range(10)]
    return write(folder / "model.keras", "tflite_int8", folder, name="chain", labels=labels, calibration=pixels).path


def _timed(first: Path, second: Path, rounds: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "pipelines", "measure", str(first), str(second), "--rounds", str(rounds), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)["rows"][1]
    return found


def _remembered(name: str, count: int, first: Path, second: Path, rounds: int) -> list[dict[str, Any]]:
    place = FOLDER / f"{name}.json"
    found: list[dict[str, Any]] = json.loads(place.read_text()) if place.is_file() else []
    while len(found) < count:
        row = _timed(first, second, rounds)
        found.append({"ratio": row["ratio"], "interval": row["ratio_interval"], "verdict": row["verdict"]})
        place.write_text(json.dumps(found))
    return found[:count]


def _long_run(first: Path, second: Path) -> float:
    found = _remembered(f"long_{second.parent.name}", LONG_REPEATS, first, second, LONG_ROUNDS)
    return median(one["ratio"] for one in found)


def _verdicts(first: Path, second: Path, count: int) -> list[dict[str, Any]]:
    return _remembered(f"pair_{second.parent.name}", count, first, second, ROUNDS)


def _row(told: str, ratio: float, found: list[dict[str, Any]]) -> dict[str, Any]:
    verdicts = [one["verdict"] for one in found]
    return {
        "pair": told,
        "ratio in the long run": f"{ratio:.3f}",
        "repeats": len(found),
        "slower": verdicts.count("slower"),
        "faster": verdicts.count("faster"),
        "not distinguishable": verdicts.count("not distinguishable"),
        "unstable": verdicts.count("unstable"),
        "least and greatest ratio": "{:.3f} to {:.3f}".format(
            min(one["ratio"] for one in found), max(one["ratio"] for one in found)
        ),
    }


def main() -> int:
    """Prints the table, which is kept in build/ab_honesty."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ab_honesty", description=__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    tell(run(parser.parse_args().repeats), FOLDER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
