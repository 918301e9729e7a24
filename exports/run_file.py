"""Running written files: raw numbers in, logits out, as fast as this machine allows and never different for it.

A whole split goes through one runner per core, each taking several images per call where that is exact and faster: a
call costs microseconds of Python, so small images gain from batches (2.4 times at 16x16 pixels) and large ones lose
them again to the caches; two threads gain on both, except with single calls of a few microseconds. Before it starts,
the first images are run both ways. Batching is given up when a single bit differs (some float kernels round by batch),
when it takes more processor time, or when the file cannot be resized. Measured in benchmarks/file_evaluation.py.

An uploaded or freshly written file may crash the process that runs it: `exports.gate` does this in a child.
"""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from exports.contract import Contract
from exports.onnx_constants import give_each_its_own

KERNELS = ("xnnpack", "builtin", "reference")
ONNX_KERNELS = "onnxruntime"
KERAS_KERNELS = "keras"

# Numbers per call beyond which larger batches stopped to help (96x96x3 was best at 8, 16x16x1 at 32 and more).
NUMBERS_PER_CALL = 2**18
LARGEST_BATCH = 64

# Parts of the images for each thread: enough that the last one is short, few enough that taking one costs nothing.
PARTS_PER_WORKER = 16

# Calls shorter than this spend more time waiting for Python's lock than they gain (0.7 times at 3 us, 1.8 at 200 us).
WORTH_A_THREAD_S = 20e-6

log = logging.getLogger(__name__)


class Runner(Protocol):
    """One loaded file, ready for calls with exactly `batch` images."""

    batch: int

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """Raw input `(batch, height, width, channels)` in the file's dtype -> raw output `(batch, classes)`."""


class LiteRtRunner:
    """A .tflite file in LiteRT, resized to the batch it is asked for."""

    def __init__(self, path: Path, *, batch: int = 1, kernels: str = "xnnpack", threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolvers = {
            "xnnpack": OpResolverType.BUILTIN,
            "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            "reference": OpResolverType.BUILTIN_REF,
        }
        self.batch = batch
        self._interpreter = Interpreter(
            model_path=str(path), num_threads=threads, experimental_op_resolver_type=resolvers[_known(kernels)]
        )
        image = self._interpreter.get_input_details()[0]
        if batch != int(image["shape"][0]):
            self._interpreter.resize_tensor_input(image["index"], [batch, *image["shape"][1:].tolist()])
        self._interpreter.allocate_tensors()
        self._image: int = image["index"]
        self._answer: int = self._interpreter.get_output_details()[0]["index"]

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._image, raw)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._answer)


class OnnxRunner:
    """An .onnx file in ONNX Runtime's CPU provider."""

    def __init__(self, path: Path, *, batch: int = 1, threads: int = 1) -> None:
        self.batch = batch
        self._session = onnx_session(path, threads)
        image = self._session.get_inputs()[0]
        if isinstance(image.shape[0], int) and image.shape[0] != batch:
            raise ValueError(f"{path.name} takes {image.shape[0]} image per call, not {batch}")
        self._image = image.name

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self._image: raw})[0]


def onnx_session(path: Path, threads: int = 1) -> Any:
    """The ONNX Runtime session of an .onnx file, in which sums of int8 do not overflow on any processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # Otherwise x86 without VNNI adds pairs of int8 products in 16 bits.
    options.add_session_config_entry("session.x64quantprecision", "1")
    providers = ["CPUExecutionProvider"]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except onnxruntime.capi.onnxruntime_pybind11_state.Fail:
        # Refused where layers share constants, as in files from elsewhere: a copy in memory shares none.
        import onnx

        model = onnx.load(str(path), load_external_data=False)
        give_each_its_own(model.graph)
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)


class KerasRunner:
    """A Keras file; needs TensorFlow, so only child processes and tests use it."""

    def __init__(self, path: Path, *, batch: int = 1) -> None:
        from exports.model_file import load_model

        self.batch = batch
        self._model = load_model(path)

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        return np.asarray(self._model(raw, training=False))


def open_runner(
    path: Path | str, contract: Contract, *, batch: int = 1, kernels: str = "xnnpack", threads: int = 1
) -> Runner:
    """A runner for the file at `path`, made for `batch` images per call.

    Raises:
        ValueError: the kernel set is unknown, or files of this family are not run (a bundle).
    """
    if contract.family == "tflite":
        return LiteRtRunner(Path(path), batch=batch, kernels=kernels, threads=threads)
    if contract.family == "onnx":
        return OnnxRunner(Path(path), batch=batch, threads=threads)
    if contract.family == "keras":
        return KerasRunner(Path(path), batch=batch)
    raise ValueError(f"a file of the family {contract.family!r} is not run itself; choose a tflite, onnx or keras file")


def kernel_set(contract: Contract, kernels: str) -> str:
    """The name of the kernels that really compute a file of this family when `kernels` is asked for."""
    return {"onnx": ONNX_KERNELS, "keras": KERAS_KERNELS}.get(contract.family, _known(kernels))


def predict(
    path: Path | str,
    contract: Contract,
    images: np.ndarray,
    *,
    kernels: str = "xnnpack",
    workers: int | None = None,
) -> np.ndarray:
    """The logits `(n, classes)` float32 the file at `path` gives for uint8 `images` `(n, height, width, channels)`.

    The numbers equal those of a loop over single images bit for bit. `workers` threads run side by side, by default
    one per core this process may use. (Keras files are run in batches, equal only up to float rounding.)

    Raises:
        ValueError: the images are not uint8 or do not fit the contract.
    """
    raw = run_raw(path, contract, lambda part: contract.raw_from_pixels(part), images, kernels=kernels, workers=workers)
    return contract.logits_from_raw(raw)


def run_raw(
    path: Path | str,
    contract: Contract,
    feed: Any,
    images: np.ndarray,
    *,
    kernels: str = "xnnpack",
    workers: int | None = None,
) -> np.ndarray:
    """The raw outputs `(n, classes)` for images turned into raw inputs by `feed`, a block at a time."""
    if len(images) == 0:
        raise ValueError("there are no images to run; give at least one")
    feed(images[:1])
    workers = 1 if contract.family == "keras" else max(1, workers or len(os.sched_getaffinity(0)))
    single = open_runner(path, contract, kernels=kernels)
    batch = _exact_batch(path, contract, feed, images, kernels, single)
    if batch == 1 and workers > 1 and _seconds_per_call(single, feed(images[:1])) < WORTH_A_THREAD_S:
        workers = 1
    blocks = len(images) // batch
    step = max(1, blocks // (workers * PARTS_PER_WORKER)) * batch
    starts = range(0, blocks * batch, step)
    workers = min(workers, max(1, len(starts)))
    runners: list[Runner] = [single] * workers
    if batch > 1 or workers > 1:
        runners = [open_runner(path, contract, batch=batch, kernels=kernels) for _ in range(workers)]
    waiting = iter(starts)  # shared: whoever is free takes the next part, so a core that others use delays nobody
    answers: dict[int, np.ndarray] = {}

    def work(runner: Runner) -> None:
        for start in waiting:
            part = images[start : min(start + step, blocks * batch)]
            given = [runner(feed(part[at : at + batch])) for at in range(0, len(part), batch)]
            answers[start] = np.concatenate(given)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, runners))
    parts = [answers[start] for start in starts]
    tail = images[blocks * batch :]
    parts += [single(feed(tail[at : at + 1])) for at in range(len(tail))]
    return np.concatenate(parts)


def _exact_batch(
    path: Path | str, contract: Contract, feed: Any, images: np.ndarray, kernels: str, single: Runner
) -> int:
    """The batch to use: by the size of an image; 1 when batches are refused, change a single bit or are slower."""
    batch = LARGEST_BATCH
    if contract.family == "keras":
        # Kept out of the promise: TensorFlow spends milliseconds per call, and its rounding is not what is shipped.
        return min(batch, len(images))
    while batch > 1 and (batch * images[0].size > NUMBERS_PER_CALL or batch > len(images)):
        batch //= 2
    if batch == 1:
        return 1
    raw = feed(images[:batch])
    try:
        many = open_runner(path, contract, batch=batch, kernels=kernels)
        many(raw)
    except (RuntimeError, ValueError) as error:
        log.info("%s takes one image at a time: %s", Path(path).name, error)
        return 1
    single(raw[:1])
    # Processor time of this thread, so that other work on the machine does not sway the choice.
    begun = time.thread_time()
    together = many(raw)
    between = time.thread_time()
    alone = np.concatenate([single(raw[at : at + 1]) for at in range(batch)])
    ended = time.thread_time()
    if together.shape != alone.shape or together.tobytes() != alone.tobytes():
        log.info("%s answers differently in batches of %d; running one image at a time", Path(path).name, batch)
        return 1
    return batch if between - begun < ended - between else 1


def _seconds_per_call(runner: Runner, raw: np.ndarray) -> float:
    times = []
    for _ in range(5):
        before = time.perf_counter()
        runner(raw)
        times.append(time.perf_counter() - before)
    return min(times)


def _known(kernels: str) -> str:
    if kernels not in KERNELS:
        raise ValueError(f"kernel set {kernels!r} is not known; choose one of {', '.join(KERNELS)}")
    return kernels
