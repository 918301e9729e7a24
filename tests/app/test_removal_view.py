"""What Runs shows of a step that removed channels."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from app.colours import LIGHT
from app.removal_view import accuracies, kept_channels

REPORT = {
    "macs_before": 2_000_000, "macs_after": 900_000, "params_before": 5000, "params_after": 2500,
    "validation_top1_before": 0.99, "validation_top1_after_cut": 0.1,
    "validation_top1_after_recalibration": 0.5, "validation_top1_after": 0.98,
    "layers": [
        {"layers": ["stem_conv"], "channels": 16, "kept": 8},
        {"layers": ["stage1_1_project_conv", "stage1_2_project_conv"], "channels": 32, "kept": 32},
    ],
    "controls": {"random": 0.97},
}  # fmt: skip


def test_stages_come_in_order_and_controls_last() -> None:
    rows = accuracies(REPORT)
    assert [row["top-1 on validation"] for row in rows] == ["99.0 %", "10.0 %", "50.0 %", "98.0 %", "97.0 %"]
    assert "random" in rows[-1]["network"]


def test_bars_are_what_stayed_and_what_went() -> None:
    kept, gone = kept_channels(REPORT["layers"], LIGHT).data
    assert list(kept.y) == [8, 32]
    assert list(gone.y) == [8, 0]
    assert "stage1_2_project_conv" in kept.customdata[1]


def test_only_a_removal_is_shown() -> None:
    def page() -> None:
        from app.removal_view import removal_view
        from tests.app.test_removal_view import REPORT

        removal_view({"validation_top1_after": 0.9}, "one")
        removal_view(REPORT, "two")

    test = AppTest.from_function(page, default_timeout=60).run()
    assert not test.exception
    assert [item.value for item in test.metric] == ["900 k", "2.5 k"]
