"""Files are timed at one pace of the machine, whatever it does meanwhile."""

from __future__ import annotations

from functools import partial

from exports import steady_timing
from exports.kernel_files import Kernel, kernel_file
from exports.steady_timing import MOST_PASSES, time_files


class Machine:
    """One whose pace is told for every visit to a file: what it multiplies the time with."""

    def __init__(self, monkeypatch, paces: list[float]) -> None:
        self.paces, self.asked = paces, 0
        monkeypatch.setattr(steady_timing, "_ready", lambda content: content)
        monkeypatch.setattr(steady_timing, "_pace", lambda call: self.pace())
        monkeypatch.setattr(steady_timing, "_time", lambda content, lead: len(content) * self.now())

    @property
    def visits(self) -> int:
        return self.asked // 2

    def now(self) -> float:
        return self.paces[min(self.visits, len(self.paces) - 1)]

    def pace(self) -> float:
        """Asked before a file and after it."""
        found = self.now()
        self.asked += 1
        return found


FILES = [partial(bytes, 10), partial(bytes, 20), partial(bytes, 30)]


def test_times_of_a_slow_spell_do_not_count(monkeypatch):
    machine = Machine(monkeypatch, [1, 1, 1, 2, 2, 2, 1])
    assert time_files(FILES, passes=3) == [10, 20, 30]
    assert machine.visits == 9


def test_what_met_only_a_slow_spell_is_timed_again(monkeypatch):
    machine = Machine(monkeypatch, [1, 1, 2, 1, 1, 2, 1])
    told: list[tuple[int, int]] = []
    assert time_files(FILES, passes=2, progress=lambda done, total: told.append((done, total))) == [10, 20, 30]
    assert machine.visits == 7
    assert told[-1] == (7, 7)
    assert told[0] == (1, 6)


def test_a_file_that_never_met_the_pace_is_scaled_to_it(monkeypatch):
    machine = Machine(monkeypatch, [1, 1, 2])
    assert time_files(FILES, passes=1) == [10, 20, 30]
    assert machine.visits == 3 + MOST_PASSES - 1


def test_a_machine_that_stays_slow_is_measured_as_it_is(monkeypatch):
    Machine(monkeypatch, [2])
    assert time_files(FILES, passes=1) == [20, 40, 60]


def test_more_work_takes_longer_in_the_real_runtime():
    files = [partial(kernel_file, Kernel("conv", side, (64,), 64, window=3)) for side in (4, 32)]
    small, large = time_files(files, passes=2)
    assert 0 < 4 * small < large


def test_nothing_to_time_gives_nothing():
    assert time_files([], passes=1) == []
