"""Our evaluation of a file against the naive loop over single images, on the same file in the same process.

The two ways take turns, and the order turns every round; the ratio is the naive time divided by ours, taken within each
round. Both give the same numbers, which is checked.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np

from exports import Artifact, predict, save_model, write_many
from exports.run_file import open_runner
from exports.statistics import median_interval

FORMATS = ("tflite_float32", "tflite_int8", "onnx_float32")

# (name, architecture, width, resolution, channels, images): a tiny net, where Python is the cost, and a medium one.
NETWORKS = (
    ("tiny", "mobilenet_v1", 0.25, 16, 1, 4000),
    ("medium", "mobilenet_v2", 0.35, 96, 3, 400),
)


@dataclass(frozen=True)
class Comparison:
    """One file: microseconds per image of either way (medians), and how many times faster ours is, 95 % interval."""

    network: str
    format: str
    images: int
    naive_us: float
    ours_us: float
    speed_up: float
    interval: str


def naive(artifact: Artifact, images: np.ndarray) -> np.ndarray:
    """One runner, one image per call, the way a first script does it."""
    runner = open_runner(artifact.path, artifact.contract)
    contract = artifact.contract
    return np.concatenate(
        [contract.logits_from_raw(runner(contract.raw_from_pixels(images[at : at + 1]))) for at in range(len(images))]
    )


def compare(network: str, artifact: Artifact, images: np.ndarray, rounds: int) -> Comparison:
    """Alternate both ways over `images` for `rounds` rounds.

    Raises:
        RuntimeError: the two ways gave different numbers.
    """

    def ours(one: Artifact, some: np.ndarray) -> np.ndarray:
        return predict(one.path, one.contract, some)

    if not np.array_equal(naive(artifact, images), ours(artifact, images)):
        raise RuntimeError(f"the fast way gives other numbers than the naive loop on {artifact.path.name}")
    slow: list[float] = []
    fast: list[float] = []
    for number in range(rounds):
        turns: list[tuple[Callable[[Artifact, np.ndarray], np.ndarray], list[float]]] = [(naive, slow), (ours, fast)]
        for way, times in turns if number % 2 else reversed(turns):
            before = time.perf_counter()
            way(artifact, images)
            times.append(time.perf_counter() - before)
    ratios = [theirs / our for theirs, our in zip(slow, fast, strict=True)]
    per_image = 1e6 / len(images)
    low, high = median_interval(ratios)
    return Comparison(
        network=network,
        format=artifact.format,
        images=len(images),
        naive_us=round(median(slow) * per_image, 1),
        ours_us=round(median(fast) * per_image, 1),
        speed_up=round(median(ratios), 2),
        interval=f"{low:.2f} to {high:.2f}",
    )


def run(rounds: int = 9) -> dict[str, object]:
    """All comparisons, ready for JSON."""
    import zoo

    rows: list[Comparison] = []
    with tempfile.TemporaryDirectory(prefix="litesmith-bench-") as scratch:
        for name, architecture, width, resolution, channels, count in NETWORKS:
            folder = Path(scratch) / name
            folder.mkdir()
            model = zoo.build(architecture, width=width, resolution=resolution, classes=10, channels=channels)
            save_model(model, folder / "model.keras")
            shape = (count, resolution, resolution, channels)
            images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
            written = write_many(
                folder / "model.keras",
                FORMATS,
                folder,
                name=name,
                labels=[str(one) for one in range(10)],
                calibration=images[:20],
            )
            for failure in written.failures:
                raise RuntimeError(f"{failure.format}: {failure.cause}")
            for artifact in written.artifacts:
                print(f"{name} {artifact.format}", file=sys.stderr)
                rows.append(compare(name, artifact, images, rounds))
    measured = [asdict(row) for row in rows]
    what = "our evaluation of a file against a loop over single images (speed-up: naive time / ours)"
    return {"what": what, "rounds": rounds, "rows": measured}
