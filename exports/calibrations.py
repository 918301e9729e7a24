"""Many calibrations of one model tried in one child process: each int8 file is written, run and held to the float."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exports.isolated import MEMORY_BYTES, Told, run_isolated
from exports.rounding import Rounding

TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Trial:
    """One calibration: places among the images that were given, and how int8 follows from them."""

    places: tuple[int, ...]
    rounding: Rounding


def try_calibrations(
    model_path: Path | str,
    pool: np.ndarray,
    trials: Sequence[Trial],
    images: np.ndarray,
    labels: np.ndarray,
    *,
    timeout_s: float = TIMEOUT_S,
    memory_bytes: int = MEMORY_BYTES,
    told: Told | None = None,
) -> dict[str, Any]:
    """`float_top1`, and per trial `top1`, `agreement` with the float file and `noise` of the logits, or its `error`.

    `pool` are the images to calibrate with, `images` and `labels` validation images to judge on; uint8, as everywhere.
    `told` gets the reports so far; those of trials have the stage `trial`.

    Raises:
        ValueError: the child could not do it; the message says why.
    """
    if not trials:
        raise ValueError("no calibration was asked for; give at least one")
    with tempfile.TemporaryDirectory(prefix="litesmith-calibrations-") as scratch:
        folder = Path(scratch)
        for name, array in (("pool", pool), ("images", images), ("labels", labels)):
            np.save(folder / f"{name}.npy", array)
        job = {
            "action": "calibrations", "model_path": str(Path(model_path).resolve()), "folder": str(folder),
            "trials": [{"places": list(one.places), "rounding": one.rounding.as_dict()} for one in trials],
        }  # fmt: skip
        ended = run_isolated(job, timeout_s=timeout_s, memory_bytes=memory_bytes, told=told)
    stages = [one for one in ended.reports if one["stage"] == "float"]
    rows = [{key: one[key] for key in one if key != "stage"} for one in ended.reports if one["stage"] == "trial"]
    if not stages or len(rows) < len(trials):
        raise ValueError(f"the calibrations could not be tried: {ended.cause or 'the process ended without a word'}")
    return {"float_top1": stages[0]["top1"], "rows": rows}


def calibrations_here(job: dict[str, Any], report: Callable[..., None]) -> None:
    """The child's part."""
    from dataclasses import replace

    from exports.int8_noise import noise_of
    from exports.writers import tflite
    from exports.writers.source import Source

    folder = Path(job["folder"])
    pool, images, labels = (np.load(folder / f"{name}.npy") for name in ("pool", "images", "labels"))
    source = Source(Path(job["model_path"]), None)
    wanted = logits_of(tflite.convert(source, "tflite_float32"), images)
    report("float", top1=float((wanted.argmax(1) == labels).mean()))
    for trial in job["trials"]:
        tried = replace(source, calibration=pool[trial["places"]], rounding=Rounding.from_dict(trial["rounding"]))
        tried.__dict__["model"], tried.__dict__["deployed"] = source.model, source.deployed  # loaded once
        try:
            content = tflite.convert(tried, "tflite_int8")
            given = logits_of(content, images)
        except Exception as error:
            # Converters raise whatever they like; a trial that fails is a row that says so.
            report("trial", error=f"{type(error).__name__}: {error}"[:400])
            continue
        report(
            "trial",
            top1=float((given.argmax(1) == labels).mean()),
            agreement=float((given.argmax(1) == wanted.argmax(1)).mean()),
            noise=noise_of(given, wanted),
            bytes=len(content),
        )


def logits_of(content: bytes, images: np.ndarray) -> np.ndarray:
    """The logits of a TFLite file for uint8 images, without a contract: the file says how it wants them."""
    from exports.tflite_file import parse
    from exports.tflite_rounding import open_fast, range_of

    file, net = parse(content), open_fast(content)
    main = file.model.subgraphs[0]
    image, answer = int(main.inputs[0]), int(main.outputs[0])
    steps, steps_out = range_of(file, image), range_of(file, answer)
    raw = images.astype(np.float32)
    if steps is not None:
        raw = steps.of(raw).astype(net.get_input_details()[0]["dtype"])
    given = []
    for one in raw:
        net.set_tensor(image, one[None])
        net.invoke()
        given.append(net.get_tensor(answer)[0])
    logits = np.stack(given).astype(np.float64)
    return logits if steps_out is None else steps_out.back(logits)
