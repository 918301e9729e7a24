"""Times of many small files as they are inside a network, on a machine that others use too.

A neighbour on the same core makes everything take 1.3 to 2 times as long, for milliseconds or for minutes, and times
with and without one must not be mixed. So samples wait, though not for ever, until a loop of the interpreter, which
feels a neighbour more than any kernel, runs as quickly as it does undisturbed; and of all samples the quick ones count,
for a long call may be disturbed after it began.

Processors lower their clock after wide vector instructions, for some hundred microseconds. Inside a network everything
runs behind convolutions; alone, a kernel without such instructions was 1.3 times as fast. So a convolution is called
before each sample.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from exports.kernel_files import Kernel, kernel_file

PACE_STEPS = 2000  # of the loop, some 50 microseconds
STEADY = 0.1  # of the pace: with a neighbour it was 1.6 to 2 times as much, without one it varied by so much
UNDISTURBED = 0.05  # of the visits began at a quicker pace than what is taken for undisturbed
LEAD = Kernel("conv", 14, (64,), 64, window=3)
SAMPLE_S, SAMPLES, ENOUGH = 0.0003, 9, 6
PATIENCE_S = 0.06  # that a visit lasts; a long call is called once at least
QUICK = 0.1  # of the samples are quicker than what is given
MOST_PASSES = 3  # for files that were disturbed, as many times the passes asked for


class Sample(NamedTuple):
    """Milliseconds of a call, and the seconds that the loop took before it."""

    ms: float
    pace: float


def time_files(
    files: Sequence[Callable[[], bytes]], *, passes: int = 3, progress: Callable[[int, int], None] | None = None
) -> list[float]:
    """Milliseconds of a call of each .tflite, one thread, XNNPACK: the quick ones of several visits to each.

    `progress(done, total)` is called after each visit; `total` grows when disturbed files must be timed again.
    """
    lead = _ready(kernel_file(LEAD))
    begun: list[float] = []  # the pace at which each visit began
    met: list[list[Sample]] = [[] for _ in files]
    waiting = list(range(len(files)))
    done, total = 0, passes * len(files)
    for turn in range(MOST_PASSES * passes if files else 0):
        for at in waiting:
            call = _ready(files[at]())
            begun.append(_pace())
            met[at] += _samples(call, lead, _undisturbed(begun))
            done += 1
            if progress is not None:
                progress(done, total)
        if turn + 1 >= passes:
            most = _undisturbed(begun)
            waiting = [at for at, own in enumerate(met) if sum(one.pace <= most for one in own) < ENOUGH]
            total += len(waiting)
            if not waiting:
                break
    return [float(np.quantile([one.ms for one in own], QUICK)) for own in met]


def _undisturbed(begun: list[float]) -> float:
    return (1 + STEADY) * float(np.quantile(begun, UNDISTURBED))


def _samples(call: Callable[[], Any], lead: Callable[[], Any], most: float) -> list[Sample]:
    """Samples at a pace of at most this; of any pace when patience ends."""
    before = time.perf_counter()
    call()
    repeats = max(1, int(SAMPLE_S / max(time.perf_counter() - before, 1e-7)))
    until = time.perf_counter() + PATIENCE_S
    found: list[Sample] = []
    while len(found) < SAMPLES and (not found or time.perf_counter() < until):
        pace = _pace()
        if pace > most and time.perf_counter() < until:
            continue
        lead()
        before = time.perf_counter()
        for _ in range(repeats):
            call()
        found.append(Sample(1e3 * (time.perf_counter() - before) / repeats, pace))
    return found


def _pace() -> float:
    before = time.perf_counter()
    for _ in range(PACE_STEPS):
        pass
    return time.perf_counter() - before


def _ready(content: bytes) -> Callable[[], Any]:
    """The call of a file that has its input. Noise, for some kernels take longer where numbers differ."""
    from ai_edge_litert.interpreter import Interpreter

    net = Interpreter(model_content=content, num_threads=1)
    net.allocate_tensors()
    draw = np.random.default_rng(0)
    for one in net.get_input_details():
        noise = draw.normal(0, 30 if one["dtype"] == np.int8 else 1, one["shape"])
        net.set_tensor(one["index"], noise.clip(-127, 127).astype(one["dtype"]))
    net.invoke()
    return net.invoke
