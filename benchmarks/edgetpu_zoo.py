"""What format edgetpu changes in every family: the verdict before and after, and whether trained networks keep answers.

The networks are those of `int8_zoo`, trained there. Both files are int8, of the same weights and calibration images;
they are compared on the 10,000 test images of Fashion-MNIST. No chip and no compiler: verdicts are the explainer's.
The command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import int8_zoo
from benchmarks.cells import Cell, named, tell

FOLDER = Path("build/edgetpu_zoo")
FORMATS = ("tflite_int8", "edgetpu")


def run(only: list[str] | None = None) -> dict[str, Any]:
    """Computes what is missing and gives the table of all that is there."""
    for label in only or int8_zoo.NETWORKS:
        int8_zoo.trained(label)
        _compare(label)
    return summary()


def summary() -> dict[str, Any]:
    """The table of the cells that exist."""
    rows = []
    for label in int8_zoo.NETWORKS:
        found = cell(label).stored()
        if found is not None:
            rows.append(
                {
                    "network": label,
                    **{f"{one}: verdict": found[one]["verdict"] for one in FORMATS},
                    "off the chip before": ", ".join(f"{n} {kind}" for kind, n in found["tflite_int8"]["off"].items()),
                    **{f"{one}: top-1": f"{100 * found[one]['top1']:.2f}" for one in FORMATS},
                    "same answer": f"{100 * found['agreement']:.2f} %",
                }
            )
    return {"what": "int8 files, plain and in the form for the Edge TPU; 10,000 test images", "rows": rows}


def cell(label: str) -> Cell:
    """The cell of both files of a network."""
    return Cell(FOLDER, label.replace(" ", "_"), [int8_zoo.float_cell(label).decided, int8_zoo.CALIBRATION])


def _compare(label: str) -> None:
    cell(label).value(lambda _: _compared(label))


def _compared(label: str) -> dict[str, Any]:
    from exports import evaluate, explain_edgetpu

    data, model = int8_zoo.data_of(label), int8_zoo.float_cell(label).work / "model.keras"
    test = data.splits["test"]
    found: dict[str, Any] = {}
    answers = []
    for form in FORMATS:
        file = int8_zoo.written(model, form, data)
        told = explain_edgetpu(file[0])
        scored = evaluate(*file, test.images, test.labels)
        answers.append(scored.predictions)
        off = Counter(one["kind"] for one in told["ops"] if one["placement"] != "edgetpu")
        top1 = float(np.mean(scored.predictions == test.labels))
        found[form] = {"verdict": told["verdict"], "off": dict(off), "top1": top1}
    return {**found, "agreement": float(np.mean(answers[0] == answers[1]))}


def main() -> int:
    """Computes what is missing of the table and prints it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edgetpu_zoo", description=__doc__)
    asked = named(parser, list(int8_zoo.NETWORKS))
    tell(summary() if asked.show else run(asked.names), FOLDER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
