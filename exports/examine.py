"""The child's part of the gate: read the file, run it on images, and keep its answers for the parent to judge.

Stages are reported in order (`read`, `loaded`, `selftest`, `ran`), so a crash tells how far the file came.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from exports.contract import Contract
from exports.run_file import open_runner, predict
from exports.tflite_file import read_facts

PROBE_IMAGES = 64


def examine_here(job: dict[str, Any], report: Any) -> None:
    """Examine the file `job["path"]` and write answers to `job["answers"]` (.npz).

    Answers: `logits` `(n, classes)`; `selftest` raw outputs; with `job["probe"]` also `probe_<hypothesis>` logits of
    the first images under another reading of the input.
    """
    path, contract = Path(job["path"]), Contract.load(job["contract"])
    answers: dict[str, np.ndarray] = {}
    if contract.family == "tflite":
        try:
            facts = read_facts(path.read_bytes())
        except Exception as error:
            # The flatbuffer reader fails in any way on damaged bytes; the file is then unreadable, which is the answer.
            report("unreadable", cause=f"{type(error).__name__}: {error}")
            return
        report("read", facts=facts.as_dict())
    images = np.load(job["images"], mmap_mode="r")
    if job.get("probe"):
        for name, (other, feed) in hypotheses(contract, images[:PROBE_IMAGES]).items():
            answers[f"probe_{name}"] = predict(path, other, feed, workers=1)
        np.savez(job["answers"], allow_pickle=False, **answers)
        report("probed")
        return
    try:
        runner = open_runner(path, contract)
        report("loaded")
        if job.get("selftest"):
            stored = np.load(job["selftest"], allow_pickle=False)
            reference = open_runner(path, contract, kernels="reference")
            raw = stored["input"]
            answers["selftest"] = np.concatenate([reference(raw[at : at + 1]) for at in range(len(raw))])
            answers["selftest_fast"] = np.concatenate([runner(raw[at : at + 1]) for at in range(len(raw))])
            report("selftest")
        answers["logits"] = predict(path, contract, images)
    except Exception as error:
        # Runtimes raise whatever they like for a file they cannot run; each is a refusal with the runtime's own words.
        report("broken", cause=f"{type(error).__name__}: {error}"[:800])
        return
    np.savez(job["answers"], allow_pickle=False, **answers)
    report("ran")


def hypotheses(contract: Contract, images: np.ndarray) -> dict[str, tuple[Contract, np.ndarray]]:
    """Other ways the same images could be meant: name -> (contract, images). Used only to name a cause."""
    found: dict[str, tuple[Contract, np.ndarray]] = {}
    if contract.input.scale is None:
        for name, factor in (("unit", 1 / 255), ("bytes", 255.0)):
            image = replace(contract.input, pixel_scale=contract.input.pixel_scale * factor, pixel_offset=0.0)
            found[name] = (replace(contract, input=image), images)
    found["inverted"] = (contract, 255 - images)
    if contract.input.channels == 3:
        found["reversed"] = (contract, np.ascontiguousarray(images[..., ::-1]))
    return found
