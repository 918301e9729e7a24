"""Files are timed as if nobody else used the machine, whatever others do meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from exports import steady_timing
from exports.kernel_files import Kernel, kernel_file
from exports.steady_timing import MOST_PASSES, PATIENCE_S, SAMPLES, time_files

FILES = [partial(bytes, 1), partial(bytes, 2), partial(bytes, 3)]  # a millisecond a byte
VISIT_S = 0.001 * (1 + SAMPLES) * 2  # of the file in the middle, undisturbed


class Machine:
    """One with a clock of its own, whose neighbour makes everything take `pace(seconds)` times as long."""

    def __init__(self, monkeypatch, pace: Callable[[float], float]) -> None:
        self.pace, self.seconds, self.visits = pace, 0.0, 0
        monkeypatch.setattr(steady_timing, "time", self)
        monkeypatch.setattr(steady_timing, "_ready", self.ready)
        monkeypatch.setattr(steady_timing, "_pace", lambda: self.work(5e-5))

    def perf_counter(self) -> float:
        return self.seconds

    def work(self, seconds: float) -> float:
        took = seconds * self.pace(self.seconds)
        self.seconds += took
        return took

    def ready(self, content: bytes) -> Callable[[], None]:
        if len(content) > 3:  # what is called before each sample
            return lambda: None
        self.visits += 1
        return lambda: self.work(1e-3 * len(content)) and None


def spells(*disturbed: tuple[float, float]) -> Callable[[float], float]:
    return lambda seconds: 2.0 if any(first <= seconds < last for first, last in disturbed) else 1.0


def test_an_undisturbed_machine_is_measured_as_it_is(monkeypatch):
    machine = Machine(monkeypatch, spells())
    assert time_files(FILES, passes=2) == pytest.approx([1, 2, 3])
    assert machine.visits == 6


def test_a_short_disturbance_is_waited_for(monkeypatch):
    machine = Machine(monkeypatch, spells((0.03, 0.05), (0.1, 0.12)))
    assert time_files(FILES, passes=2) == pytest.approx([1, 2, 3])
    assert machine.visits == 6


def test_a_long_disturbance_makes_a_file_wait_for_the_next_pass(monkeypatch):
    machine = Machine(monkeypatch, spells((VISIT_S, VISIT_S + 2 * PATIENCE_S)))
    assert time_files(FILES, passes=3) == pytest.approx([1, 2, 3])
    assert machine.visits == 9


def test_a_file_that_met_only_disturbances_is_timed_again(monkeypatch):
    machine = Machine(monkeypatch, spells((3 * VISIT_S / 2, 6 * PATIENCE_S)))
    told: list[tuple[int, int]] = []
    found = time_files(FILES, passes=2, progress=lambda done, total: told.append((done, total)))
    assert found == pytest.approx([1, 2, 3])
    assert machine.visits > 6
    assert told[0] == (1, 6)
    assert told[-1] == (machine.visits, machine.visits)


def test_a_disturbance_in_the_middle_of_a_call_does_not_count(monkeypatch):
    def pace(seconds: float) -> float:
        return 1.0 if seconds % 0.0047 < 0.0023 else 1.8

    machine = Machine(monkeypatch, pace)
    assert time_files(FILES, passes=3) == pytest.approx([1, 2, 3])
    assert machine.visits <= 9 * MOST_PASSES


def test_a_machine_that_stays_slow_is_measured_as_it_is(monkeypatch):
    machine = Machine(monkeypatch, lambda seconds: 2.0)
    assert time_files(FILES, passes=1) == pytest.approx([2, 4, 6])
    assert machine.visits == 3


def test_more_work_takes_longer_in_the_real_runtime():
    files = [partial(kernel_file, Kernel("conv", side, (64,), 64, window=3)) for side in (4, 32)]
    small, large = time_files(files, passes=2)
    assert 0 < 4 * small < large


def test_nothing_to_time_gives_nothing():
    assert time_files([], passes=1) == []
