"""What other bits would cost a model, layer by layer, measured on real files in one child process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exports.isolated import MEMORY_BYTES, Told, run_isolated
from exports.mixed_bits import BITS, FLOAT, INT8
from exports.rounding import PLAIN, Rounding

TIMEOUT_S = 3600.0


def try_precisions(
    model_path: Path | str,
    calibration: np.ndarray,
    images: np.ndarray,
    choices: Sequence[str],
    *,
    rounding: Rounding = PLAIN,
    keep: Path | None = None,
    timeout_s: float = TIMEOUT_S,
    memory_bytes: int = MEMORY_BYTES,
    told: Told | None = None,
) -> dict[str, Any]:
    """`int8_bytes`, `int8_noise`, and per layer its counts and `noise` and `bytes` for each of `choices` it can have.

    The noise is that of the logits on `images` when this layer alone has those bits and all others are float, as a
    share of the logits' own variance; the bytes are those by which the int8 file grows when this layer alone changes.
    All images are uint8 `(n, height, width, channels)`; `calibration` sets the ranges. With `keep` those files of int8
    with one change stay in that folder, and `file` names each. `told` gets the reports so far: one with `layers`, how
    many there are, then one of the stage `layer` for each.

    Raises:
        ValueError: unknown bits, or the child could not do it; the message says why.
    """
    if unknown := [one for one in choices if one not in BITS]:
        raise ValueError(f"bits {', '.join(unknown)} are not known; choose from {', '.join(BITS)}")
    with tempfile.TemporaryDirectory(prefix="litesmith-precisions-") as scratch:
        folder = Path(scratch)
        np.save(folder / "calibration.npy", calibration)
        np.save(folder / "images.npy", images)
        job = {
            "action": "precisions", "model_path": str(Path(model_path).resolve()), "folder": str(folder),
            "choices": list(dict.fromkeys((INT8, *choices))), "rounding": rounding.as_dict(),
            "keep": str(keep.resolve()) if keep is not None else None,
        }  # fmt: skip
        ended = run_isolated(job, timeout_s=timeout_s, memory_bytes=memory_bytes, told=told)
    found = {one["stage"]: one for one in ended.reports}
    if "done" not in found:
        cause = found.get("failed", {}).get("cause") or ended.cause or "the process ended without a word"
        raise ValueError(f"the precisions could not be tried: {cause}")
    layers = [{key: one[key] for key in one if key != "stage"} for one in ended.reports if one["stage"] == "layer"]
    return {key: value for key, value in found["int8"].items() if key != "stage"} | {"layers": layers}


def precisions_here(job: dict[str, Any], report: Callable[..., None]) -> None:
    """The child's part."""
    from exports.calibrations import logits_of
    from exports.int8_noise import noise_of
    from exports.mixed_bits import MixedBits
    from exports.writers import tflite
    from exports.writers.source import Source

    folder = Path(job["folder"])
    images = np.load(folder / "images.npy")
    rounding = Rounding.from_dict(job["rounding"])
    source = Source(Path(job["model_path"]), np.load(folder / "calibration.npy"), rounding)
    try:
        mixed = MixedBits(tflite.convert(source, "tflite_float32"), source.calibration_batches(), rounding)
        wanted = logits_of(mixed.plain, images)
        whole = mixed.file({})
        report(
            "int8", int8_bytes=len(whole), int8_noise=noise_of(logits_of(whole, images), wanted),
            layers=len(mixed.layers),
        )  # fmt: skip
        for number, layer in enumerate(mixed.layers):
            able = [bits for bits in job["choices"] if bits in layer.bits]
            alone = {bits: mixed.file({layer.name: bits}, others=FLOAT) for bits in able if bits != FLOAT}
            noise = {bits: noise_of(logits_of(content, images), wanted) for bits, content in alone.items()}
            rows: dict[str, dict[str, Any]] = {}
            for bits in able:
                changed = whole if bits == INT8 else mixed.file({layer.name: bits})
                rows[bits] = {"noise": noise.get(bits, 0.0), "bytes": len(changed) - len(whole)}
                if job["keep"] and bits != INT8:
                    rows[bits]["file"] = f"layer{number}_{bits}.tflite"
                    (Path(job["keep"]) / rows[bits]["file"]).write_bytes(changed)
            report("layer", **{**layer.as_dict(), "bits": rows})
    except Exception as error:
        # Converter, rewriter and runtime fail in any way they like; their own words are the answer.
        report("failed", cause=f"{type(error).__name__}: {error}"[:800])
        return
    report("done")
