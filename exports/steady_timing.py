"""Times of many small files as they are inside a network, on a machine that changes its pace.

Whole minutes may go by in which everything takes twice as long (a neighbour on the same core, heat), and such times
must not be mixed. Before and after each file a small network is timed that never changes: what it takes says the pace,
and only times at one pace count. A file that never met it is timed again.

Processors lower their clock after wide vector instructions, for some hundred microseconds. Inside a network everything
runs behind convolutions; alone, a kernel without such instructions was 1.3 times as fast. So a convolution is called
before each sample.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np

from exports.kernel_files import Kernel, kernel_file

PACE = Kernel("depthwise", 56, (64,), 64, window=3)  # of the kernels tried, the one that slowed down as networks do
PACE_CALLS = 5
STEADY = 0.08  # of what the pace takes: times no further off are of one pace
MOST_PASSES = 4  # for files that never met the usual pace, as many times the passes asked for
LEAD = Kernel("conv", 14, (64,), 64, window=3)
SAMPLE_S, SAMPLES = 0.0003, 9


def time_files(
    files: Sequence[Callable[[], bytes]], *, passes: int = 3, progress: Callable[[int, int], None] | None = None
) -> list[float]:
    """Milliseconds of a call of each .tflite, one thread, XNNPACK: the least of several passes over all, at the pace
    that most of them met. Where a file never met it, its time is scaled by what the pace took then.

    `progress(done, total)` is called after each file; `total` grows when files must be timed again.
    """
    pace, lead = _ready(kernel_file(PACE)), _ready(kernel_file(LEAD))
    met: list[list[tuple[float, float]]] = [[] for _ in files]  # (milliseconds, pace) of each file
    waiting = list(range(len(files)))
    done, total = 0, passes * len(files)
    for turn in range(MOST_PASSES * passes if files else 0):
        for at in waiting:
            before = _pace(pace)
            ms = _time(files[at](), lead)
            met[at].append((ms, (before + _pace(pace)) / 2))
            done += 1
            if progress is not None:
                progress(done, total)
        if turn + 1 >= passes:
            usual = _usual(met)
            waiting = [at for at, times in enumerate(met) if not _steady(times, usual)]
            total += len(waiting)
            if not waiting:
                break
    usual = _usual(met) if met else 1.0
    return [
        min(_steady(times, usual)) if _steady(times, usual) else median(ms * usual / pace for ms, pace in times)
        for times in met
    ]


def _usual(met: list[list[tuple[float, float]]]) -> float:
    """The pace that most files met, the quickest of those."""
    paces = np.sort([pace for times in met for _, pace in times])
    candidates = np.unique(paces[np.linspace(0, len(paces) - 1, 41).astype(int)])
    return float(max(candidates, key=lambda one: sum(bool(_steady(times, one)) for times in met)))


def _steady(times: list[tuple[float, float]], usual: float) -> list[float]:
    return [ms for ms, pace in times if abs(pace / usual - 1) <= STEADY]


def _pace(call: Callable[[], Any]) -> float:
    found = []
    for _ in range(PACE_CALLS):
        before = time.perf_counter()
        call()
        found.append(time.perf_counter() - before)
    return median(found)


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


def _time(content: bytes, lead: Callable[[], Any]) -> float:
    call = _ready(content)
    before = time.perf_counter()
    call()
    repeats = max(1, int(SAMPLE_S / max(time.perf_counter() - before, 1e-7)))
    found = []
    for _ in range(SAMPLES):
        lead()
        before = time.perf_counter()
        for _ in range(repeats):
            call()
        found.append((time.perf_counter() - before) / repeats)
    return 1e3 * median(found)
