"""Exports: any Keras model in, judged files and measurements out. Plain arguments, plain results.

Importing this room imports neither TensorFlow nor a runtime; converting and judging happen in child processes.
"""

from __future__ import annotations

from exports.adopted import Finished, adopt, read_finished
from exports.calibrations import Trial, try_calibrations
from exports.checks import LIMITS, Check, Limits
from exports.contract import Contract, InputSpec, OutputSpec, contract_path, selftest_path
from exports.edgetpu_explain import explain_edgetpu
from exports.evaluate import ClassScore, Evaluation, evaluate, score
from exports.formats import FORMATS, Format, format_named
from exports.gate import GateReport, gate, opens
from exports.int8_faults import Calibration
from exports.keras_import import Imported, import_model
from exports.latency import LatencyReport, LatencyRow, latency_row, machine, measure
from exports.localise import localise
from exports.mcu_boards import BOARDS
from exports.mcu_fit import fit_mcu
from exports.model_file import is_int8_aware, load_model, save_model
from exports.precisions import try_precisions
from exports.rounding import Rounding
from exports.run_file import KERNELS, predict
from exports.skew import FEEDS, Feed, fed
from exports.statistics import McNemar, holm, mcnemar, paired_difference, wilson
from exports.tflite_file import WeightFacts, weight_facts
from exports.verify import opened_bundle, verify_files
from exports.writing import Artifact, ExportFailed, Failure, Written, write, write_many

__all__ = [
    "BOARDS",
    "FEEDS",
    "FORMATS",
    "KERNELS",
    "LIMITS",
    "Artifact",
    "Calibration",
    "Check",
    "ClassScore",
    "Contract",
    "Evaluation",
    "ExportFailed",
    "Failure",
    "Feed",
    "Finished",
    "Format",
    "GateReport",
    "Imported",
    "InputSpec",
    "LatencyReport",
    "LatencyRow",
    "Limits",
    "McNemar",
    "OutputSpec",
    "Rounding",
    "Trial",
    "WeightFacts",
    "Written",
    "adopt",
    "contract_path",
    "evaluate",
    "explain_edgetpu",
    "fed",
    "fit_mcu",
    "format_named",
    "gate",
    "holm",
    "import_model",
    "is_int8_aware",
    "latency_row",
    "load_model",
    "localise",
    "machine",
    "mcnemar",
    "measure",
    "opened_bundle",
    "opens",
    "paired_difference",
    "predict",
    "read_finished",
    "save_model",
    "score",
    "selftest_path",
    "try_calibrations",
    "try_precisions",
    "verify_files",
    "weight_facts",
    "wilson",
    "write",
    "write_many",
]
