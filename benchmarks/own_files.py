"""A Keras model from elsewhere, written by us, beside the files that its makers publish: answers, bytes, time.

    python -m benchmarks.own_files MODEL.h5 OFFICIAL.tflite [OFFICIAL.tflite ...]

The images are crops of scikit-learn's two photographs, each shrunk to what the network takes; calibration and
comparison see different ones. Labels are not needed: what counts is how often a file answers as the Keras model does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cells import tell

FOLDER = Path("build/own_files")
CALIBRATION, COMPARED, SIDES, ROUNDS = 200, 1000, (32, 160), 12


def run(model: Path, officials: list[Path], rounds: int = ROUNDS) -> dict[str, Any]:
    """Gives per file the share of answers equal to the Keras model's, bytes, and its time over the official file's."""
    from exports import adopt, import_model, load_model, measure, predict, write_many

    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        import_model(model, folder / "model.keras", input_range="0..255")
        network = load_model(folder / "model.keras")
        _, height, width, channels = network.input_shape
        if channels != 3:
            raise ValueError(f"{model.name} takes {channels} channels; the photographs have 3")
        images = crops(height, width, CALIBRATION + COMPARED)
        compared = images[CALIBRATION:]
        wanted = network.predict(compared.astype(np.float32) / 255.0, verbose=0).argmax(1)
        labels = [str(number) for number in range(network.output_shape[-1])]
        written = write_many(
            folder / "model.keras", ["tflite_float32", "tflite_int8"], folder, name="own", labels=labels,
            calibration=images[:CALIBRATION],
        )  # fmt: skip
        own = {item.format: item for item in written.artifacts}
        for number, path in enumerate(officials):
            official = adopt(path, folder, name=f"official{number}", labels=tuple(labels), input_range="0..255")
            if official.format not in own:
                raise ValueError(f"{path.name} is {official.format}; what is compared is {', '.join(own)}")
            ours = own[official.format]
            pair = (official, ours)
            timed = measure([(one.path, one.contract) for one in pair], rounds=rounds).rows[1]
            low, high = timed.ratio_interval
            for whose, one in zip(("official", "ours"), pair, strict=True):
                right = predict(one.path, one.contract, compared).argmax(1) == wanted
                rows.append(
                    {
                        "file": f"{whose}, {one.contract.input.dtype}",
                        "bytes": f"{one.bytes:,}",
                        "answers as Keras": f"{100 * right.mean():.1f} %",
                        "time ratio": "1" if whose == "official" else f"{timed.ratio:.3f} ({low:.3f} to {high:.3f})",
                        "verdict": "" if whose == "official" else timed.verdict,
                    }
                )
    return {"what": f"{model.name}, {COMPARED:,} crops of photographs", "rows": rows}


def crops(height: int, width: int, count: int) -> np.ndarray:
    """Squares of 32 to 160 pixels out of the photographs, shrunk to the size asked for."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photographs = [Image.fromarray(one) for one in load_sample_images().images]
    draw = np.random.default_rng(0)
    found = []
    for number in range(count):
        photograph, side = photographs[number % len(photographs)], int(draw.integers(*SIDES))
        left, top = (int(draw.integers(0, most - side)) for most in photograph.size)
        crop = photograph.crop((left, top, left + side, top + side))
        found.append(np.asarray(crop.resize((width, height), Image.Resampling.BILINEAR)))
    return np.stack(found)


def main() -> int:
    """Prints the table, which is kept in build/own_files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.own_files", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("official", type=Path, nargs="+")
    asked = parser.parse_args()
    tell(run(asked.model, asked.official), FOLDER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
