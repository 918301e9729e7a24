"""The chart of what attacks leave; the command behind it is tested with the pipelines."""

import pytest

from app.colours import DARK
from app.robustness_view import curves


def row(what, attack, epsilon, top1):
    return {"what": what, "attack": attack, "epsilon": epsilon, "top1": top1, "low": top1 - 0.05, "high": top1 + 0.04}


def test_every_line_begins_at_the_images_as_they_are_and_carries_its_interval():
    rows = [row("model", "none", 0, 0.9), row("model", "pgd", 8, 0.2), row("model", "pgd", 4, 0.5),
            row("model", "fgsm", 4, 0.6), row("model", "fgsm", 8, 0.4)]  # fmt: skip
    figure = curves(rows, DARK)
    assert [line.name for line in figure.data] == ["model, one step (fgsm)", "model, many steps (pgd)"]
    many = figure.data[1]
    assert (list(many.x), list(many.y)) == ([0, 4, 8], [0.9, 0.5, 0.2])
    assert list(many.error_y.array) == pytest.approx([0.04] * 3)
    assert list(many.error_y.arrayminus) == pytest.approx([0.05] * 3)


def test_file_has_lines_of_its_own():
    rows = [row(what, attack, epsilon, 0.5) for what in ("model", "tflite_int8")
            for attack, epsilon in (("none", 0), ("fgsm", 8), ("pgd", 8))]  # fmt: skip
    assert len(curves(rows, DARK).data) == 4
