"""Where an int8 file loses what its float twin knows: noise by layer and causes in words, found in a child process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from exports.contract import Contract
from exports.int8_faults import WORTH_SAYING, Calibration, int8_faults
from exports.int8_noise import MOST_OPERATORS, int8_noise
from exports.isolated import run_isolated

TIMEOUT_S = 900.0
INTEGER = ("int8", "uint8")


def localise(
    float_path: Path | str,
    float_contract: Contract,
    int8_path: Path | str,
    int8_contract: Contract,
    images: np.ndarray,
    *,
    calibration: Calibration | None = None,
    most: int = MOST_OPERATORS,
    timeout_s: float = TIMEOUT_S,
) -> dict[str, Any]:
    """What `exports.int8_noise.Noise` holds, and `faults`; `images` are uint8 `(n, height, width, channels)`.

    Raises:
        ValueError: the files are of other kinds, were not made from one model, or could not be run.
    """
    _check(float_contract, int8_contract)
    raw = float_contract.raw_from_pixels(images)
    with tempfile.TemporaryDirectory(prefix="litesmith-localise-") as scratch:
        np.save(Path(scratch) / "images.npy", raw)
        job = {
            "action": "localise", "float": str(Path(float_path).resolve()), "int8": str(Path(int8_path).resolve()),
            "images": str(Path(scratch) / "images.npy"), "most": most,
            "calibration": asdict(calibration) if calibration else None,
        }  # fmt: skip
        ended = run_isolated(job, timeout_s=timeout_s)
    last = ended.reports[-1] if ended.reports else {}
    if last.get("stage") != "localised":
        raise ValueError(f"the int8 noise cannot be found: {last.get('cause') or ended.cause}")
    return {key: value for key, value in last.items() if key != "stage"}


def _check(plain: Contract, rounded: Contract) -> None:
    if rounded.family != "tflite" or rounded.input.dtype not in INTEGER:
        raise ValueError(f"{rounded.format} has no int8 ranges to look at; give a tflite_int8 or tflite_uint8 file")
    if rounded.int8_aware:
        raise ValueError(
            "this file comes from int8-aware training, which learned around its rounding: no float file has the same "
            "weights; look at the int8 file of the model before the quantise step"
        )
    if plain.format != "tflite_float32":
        raise ValueError(f"the twin must be a tflite_float32 file of the same model; this one is {plain.format}")


def localise_here(job: dict[str, Any], report: Callable[..., None]) -> None:
    """The child's part: run both files and report noise and faults."""
    images = np.load(job["images"])
    known = Calibration(**job["calibration"]) if job["calibration"] else None
    try:
        found = int8_noise(Path(job["float"]).read_bytes(), Path(job["int8"]).read_bytes(), images, most=job["most"])
    except Exception as error:
        # Runtime and reader fail in any way on files they do not like; their own words are the answer.
        report("failed", cause=f"{type(error).__name__}: {error}"[:800])
        return
    faults = [one.as_dict() for one in int8_faults(found, known)]
    report("localised", **found.as_dict(), faults=faults, worth_saying=WORTH_SAYING)
