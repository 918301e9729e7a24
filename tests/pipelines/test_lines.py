"""What a command says of its progress."""

from __future__ import annotations

import re

from pipelines.commands.lines import Lines


def test_a_phase_begins_without_a_time_and_goes_on_with_what_is_left(capsys):
    told = Lines(every=0.0)
    told(0, 4, "files")
    told(1, 4, "files")
    first, second = capsys.readouterr().err.splitlines()
    assert first == "files (0 %)"
    assert re.fullmatch(r"files \(25 %, about \d+ s left\)", second)


def test_lines_of_a_phase_are_spaced_and_a_new_phase_is_told_at_once(capsys):
    told = Lines(every=60.0)
    for done in range(5):
        told(done, 5, "layers")
    told(0, 1, "a file")
    assert capsys.readouterr().err.splitlines() == ["layers (0 %)", "a file (0 %)"]
