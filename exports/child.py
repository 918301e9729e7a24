"""The child process: `python -m exports.child job.json` does one job and reports each stage as a line of JSON.

A job names one of the actions below. Reports: {"stage": ..., ...}; the parent sees from the last one how far the
child came when it is killed or aborts.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Report = Callable[..., None]


def main(job_path: str) -> None:
    """Do the job described in the file at `job_path`."""
    job = json.loads(Path(job_path).read_text("utf-8"))
    _die_with_parent()
    # The parent watches resident memory; this stops a single huge allocation between two looks at it.
    limit = int(job["memory_bytes"] * 1.5)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open(job["reports"], "a", encoding="utf-8") as sink:

        def report(stage: str, **values: Any) -> None:
            sink.write(json.dumps({"stage": stage, **values}) + "\n")
            sink.flush()

        ACTIONS[job["action"]](job, report)


def _write(job: dict[str, Any], report: Report) -> None:
    from exports.writing import write_here

    write_here(job, report)


def _examine(job: dict[str, Any], report: Report) -> None:
    from exports.examine import examine_here

    examine_here(job, report)


def _sketch(job: dict[str, Any], report: Report) -> None:
    from exports.file_sketch import sketch_here

    sketch_here(job, report)


def _weights(job: dict[str, Any], report: Report) -> None:
    from exports.keras_weights import read_here

    read_here(job, report)


def _import(job: dict[str, Any], report: Report) -> None:
    from exports.keras_import import import_here

    import_here(job, report)


def _localise(job: dict[str, Any], report: Report) -> None:
    from exports.localise import localise_here

    localise_here(job, report)


def _calibrations(job: dict[str, Any], report: Report) -> None:
    from exports.calibrations import calibrations_here

    calibrations_here(job, report)


def _precisions(job: dict[str, Any], report: Report) -> None:
    from exports.precisions import precisions_here

    precisions_here(job, report)


def _edgetpu(job: dict[str, Any], report: Report) -> None:
    from exports.edgetpu_explain import explain_here

    explain_here(job, report)


def _mcu(job: dict[str, Any], report: Report) -> None:
    from exports.mcu_fit import fit_here

    fit_here(job, report)


def _mcu_runtime(job: dict[str, Any], report: Report) -> None:
    from exports.mcu_runtime import allocate_here

    allocate_here(job, report)


def _finished(job: dict[str, Any], report: Report) -> None:
    from exports.adopted import read_here

    read_here(job, report)


def _adopt(job: dict[str, Any], report: Report) -> None:
    from exports.adopted import adopt_here

    adopt_here(job, report)


ACTIONS: dict[str, Callable[[dict[str, Any], Report], None]] = {
    "write": _write,
    "examine": _examine,
    "sketch": _sketch,
    "weights": _weights,
    "import": _import,
    "localise": _localise,
    "calibrations": _calibrations,
    "precisions": _precisions,
    "edgetpu": _edgetpu,
    "mcu": _mcu,
    "mcu_runtime": _mcu_runtime,
    "finished": _finished,
    "adopt": _adopt,
}


def _die_with_parent() -> None:
    """Ask Linux to end this process when its parent ends; elsewhere the parent's own clean-up has to do."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() == 1:
            sys.exit("the parent ended before the work began")


if __name__ == "__main__":
    main(sys.argv[1])
